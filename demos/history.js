// The list: pages of thumbnails, moved in by keys or by mouse. Python answers each event with a new value.
const find = (query) => element.querySelector(query);
const grid = find(".grid");
const chosen = new Set(); // names
let shown = { pictures: [], methods: [], method: "", page: 0, pages: 1, total: 0 };
let at = 0; // the place that the keys are on
let number = 0; // of the last answer

const where = (change = {}) => ({ method: shown.method, page: shown.page, ...change });
const several = (count) => `${count} ${count === 1 ? "picture" : "pictures"}`;
const date = (seconds) => new Date(1000 * seconds).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
const thumbs = () => [...grid.querySelectorAll(".thumb")];

function say(text, bad = false) {
  find(".note").textContent = text;
  find(".note").classList.toggle("bad", bad);
}

// Deletes after a yes; the answer brings the list as it is then.
let yes = () => {};
function sure(text, act) {
  find(".sure p").textContent = text;
  yes = act;
  find(".sure").showModal();
  find(".sure .no").focus();
}
find(".sure .no").addEventListener("click", () => find(".sure").close());
find(".sure .yes").addEventListener("click", () => {
  find(".sure").close();
  yes();
});

function drop(names) {
  if (names.length) sure(`Delete ${several(names.length)} for good?`, () => trigger("remove", where({ names })));
}

// --- drawing

function tile({ name, title, words, seed, when, small }, place) {
  const item = make("li");
  const thumb = make("button", "", { type: "button", class: "thumb", tabindex: place === at ? 0 : -1 });
  thumb.append(make("img", "", { src: small, alt: `${title}: ${words || "no words"}, seed ${seed}` }));
  thumb.addEventListener("click", () => look(place));
  thumb.addEventListener("focus", () => (at = place));
  const tick = make("input", "", { type: "checkbox", "aria-label": `Select ${title}, seed ${seed}`, tabindex: thumb.tabIndex });
  tick.addEventListener("change", () => choose(name, tick.checked));
  item.append(thumb, tick, make("b", title), make("span", words || "\u00a0", { title: words }));
  item.append(make("span", `Seed ${seed}`), make("span", date(when)));
  return item;
}

function draw() {
  chosen.clear();
  at = Math.max(0, Math.min(at, shown.pictures.length - 1));
  grid.replaceChildren(...shown.pictures.map(tile));
  const options = [["", "All methods", shown.total], ...shown.methods];
  find(".method").replaceChildren(...options.map(([key, title, n]) => make("option", `${title} (${n})`, { value: key })));
  find(".method").value = shown.method;
  find(".empty").hidden = shown.pictures.length > 0;
  find(".empty").textContent = shown.total
    ? "None of these pictures can be drawn."
    : "Nothing yet. Run a method on another tab, and its picture is here, also tomorrow.";
  find(".pager").hidden = shown.pages < 2;
  find(".pager span").textContent = `Page ${shown.page + 1} of ${shown.pages}`;
  find(".newer").disabled = shown.page === 0;
  find(".older").disabled = shown.page + 1 >= shown.pages;
  find(".all").disabled = !shown.total;
  find(".keys").hidden = !shown.total;
  mark();
}

function mark() {
  for (const [place, item] of [...grid.children].entries()) {
    const on = chosen.has(shown.pictures[place].name);
    item.classList.toggle("on", on);
    item.querySelector("input").checked = on;
  }
  find(".drop").disabled = !chosen.size;
  find(".drop").textContent = chosen.size ? `Delete ${chosen.size} selected…` : "Delete selected";
}

function choose(name, on) {
  chosen[on ? "add" : "delete"](name);
  mark();
}

// --- what is done with it

function move(place) {
  at = Math.max(0, Math.min(place, shown.pictures.length - 1));
  for (const [k, item] of [...grid.children].entries())
    for (const part of item.querySelectorAll("button, input")) part.tabIndex = k === at ? 0 : -1;
  thumbs()[at]?.focus();
}

grid.addEventListener("keydown", (event) => {
  if (!event.target.matches(".thumb")) return;
  const columns = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: shown.pictures.length };
  const name = shown.pictures[at].name;
  if (event.key in steps) move(at + steps[event.key]);
  else if (event.key === " ") choose(name, !chosen.has(name));
  else if (event.key === "Delete" || event.key === "Backspace") drop(chosen.size ? [...chosen] : [name]);
  else return;
  event.preventDefault();
});
find(".method").addEventListener("change", ({ target }) => trigger("look", { method: target.value, page: 0 }));
find(".newer").addEventListener("click", () => trigger("look", where({ page: shown.page - 1 })));
find(".older").addEventListener("click", () => trigger("look", where({ page: shown.page + 1 })));
find(".drop").addEventListener("click", () => drop([...chosen]));
find(".all").addEventListener("click", () =>
  sure(`Delete all your pictures, ${shown.total} in number, for good?`, () => trigger("clear", {}))
);
