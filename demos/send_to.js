// The list is asked for when it is opened: what can take the input depends on what is there by then.
const find = (query) => element.querySelector(query);
const open = find(".open");
const menu = find(".menu");
const said = menu.querySelector("p");
const GROUPS = [["input", "What stands on the left"], ["result", "This result, as the scene"]];

function show(on) {
  menu.hidden = !on;
  open.setAttribute("aria-expanded", String(on));
}

function clear(text) {
  menu.replaceChildren(said);
  said.textContent = text;
}

function draw() {
  const value = props.value ?? {};
  clear(value.said ?? "");
  for (const [what, title] of GROUPS) {
    const targets = value[what] ?? [];
    if (!targets.length) continue;
    menu.insertBefore(Object.assign(document.createElement("b"), { textContent: title }), said);
    for (const target of targets) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: target.title });
      button.setAttribute("aria-label", `${title}, to ${target.title}`);
      button.addEventListener("click", () => {
        clear("Sending…");
        trigger("send", { to: target.key, what });
      });
      menu.insertBefore(button, said);
    }
  }
  if (value.number && !said.textContent && menu.children.length === 1) show(false); // it is on its way
}

open.addEventListener("click", () => {
  show(menu.hidden);
  if (menu.hidden) return;
  clear("Looking who can take it…");
  trigger("send", { to: "", what: "" });
});
element.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || menu.hidden) return;
  show(false);
  open.focus();
});
watch("value", draw);
