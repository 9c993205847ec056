// What is shown comes as HTML from Python and replaces only what has changed. Nothing is asked while nobody looks.
const EVERY = 2000; // milliseconds between two looks at a page that is open
const find = (query) => element.querySelector(query);
const drawn = {};

function draw() {
  const value = props.value ?? {};
  for (const part of ["job", "memory", "table"]) {
    if (!value[part] && part !== "job") continue;
    if (drawn[part] === value[part]) continue;
    drawn[part] = value[part];
    const held = document.activeElement?.closest?.(`.${part}`) && document.activeElement.dataset.key;
    const asked = find(`.${part} .ask:not([hidden])`);
    const typed = asked?.querySelector("input")?.value;
    find(`.${part}`).innerHTML = value[part];
    find(`.${part}`).hidden = !value[part];
    if (asked) reopen(asked.closest(".do").querySelector("[data-do=ask]").dataset.key, typed);
    if (held) find(`.${part} [data-key="${held}"]`)?.focus({ preventScroll: true });
  }
  for (const place of element.querySelectorAll(".free")) place.textContent = value.free;
  if (value.note) say(value.note, value.bad);
}

// A question that is open stays open, with what was typed, when what is around it changes.
function reopen(key, typed) {
  const button = find(`[data-key="${key}"]`);
  if (!button) return;
  show(button, true);
  const field = button.closest(".do").querySelector("input");
  if (field) field.value = typed ?? "";
}

function say(text, bad = false) {
  find(".said").textContent = text;
  find(".said").hidden = !text;
  find(".said").classList.toggle("bad", Boolean(bad));
}

const looked = () => element.offsetParent !== null && !document.hidden;
const look = () => looked() && trigger("look", { stamp: props.value?.stamp ?? "" });

const ACTS = {
  dismiss: ({ key }) => {
    say("");
    trigger("dismiss", { key });
  },
  free: () => {
    say("");
    trigger("free");
  },
  halt: () => trigger("halt"),
  check: ({ method, preset }) => {
    say("Checking…");
    trigger("check", { method: method ?? "", preset: preset ?? "" });
  },
  ask: (_, button) => ask(button, true),
  cancel: (_, button) => ask(button, false),
  fetch: ({ method, preset }, button) => {
    const field = button.closest(".ask").querySelector("input");
    say("");
    trigger("fetch", { method, preset, token: field?.value.trim() ?? "" });
    if (field) field.value = "";
    ask(button, false);
  },
};

function show(button, on) {
  const cell = button.closest(".do");
  cell.querySelector(".ask").hidden = !on;
  cell.querySelector("[data-do=ask]").hidden = on;
}

function ask(button, on) {
  show(button, on);
  button.closest(".do").querySelector(on ? "input, [data-do=fetch]" : "[data-do=ask]").focus();
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) ACTS[button.dataset.do](button.dataset, button);
});
watch("value", draw);
draw();
setInterval(look, EVERY);
new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && look()).observe(element);
