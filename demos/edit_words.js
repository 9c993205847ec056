// The words of the prompts as Python compared them. A click on a word of the target opens its weight.
const lines = element.querySelector(".lines");
const sheet = element.querySelector(".weight");
const number = sheet.querySelector("input");
const hints = element.querySelector(".hints");
let chosen = null; // { word, at: number of its button } while its weight is open
let stop = 0; // the word that Tab comes to; arrows go on from it

Object.assign(number, { min: props.low, max: props.high });

function made(name, text, kind) {
  const node = document.createElement(name);
  node.textContent = text;
  if (kind) node.className = kind;
  return node;
}

function chip({ text, change, weight }) {
  if (change === "gone") return made("del", text);
  if (weight === null || weight === undefined) return made("span", text, change);
  const button = made("button", text, weight === 1 ? change : `${change} set`);
  button.type = "button";
  button.dataset.word = text;
  button.dataset.weight = weight;
  button.title = "Set the weight of this word";
  button.setAttribute("aria-label", `${text}${change === "new" ? ", new" : ""}, weight ${weight}`);
  if (weight !== 1) button.append(made("small", `× ${weight}`));
  return button;
}

function row({ kind, pieces }) {
  const line = made("div", "", "line");
  line.setAttribute("role", "group");
  if (kind) line.append(made("b", kind));
  line.append(...pieces.map(chip));
  return line;
}

// Typing in a prompt draws the words anew: the focus stays on the word that had it.
function draw() {
  const value = props.value ?? {};
  const held = chips().indexOf(document.activeElement);
  lines.replaceChildren(...(value.lines ?? []).map(row));
  hints.replaceChildren(...(value.hints ?? []).map((text) => made("p", text)));
  rest(held < 0 ? stop : held);
  if (held >= 0) chips()[stop]?.focus({ preventScroll: true });
  if (chosen && chips()[chosen.at]?.dataset.word !== chosen.word) chosen = null;
  show();
}

const chips = () => [...lines.querySelectorAll("button")];
const clamped = (value) => Math.min(Math.max(value, props.low), props.high);

function rest(at) {
  const found = chips();
  stop = Math.min(Math.max(at, 0), Math.max(found.length - 1, 0));
  for (const [n, button] of found.entries()) button.tabIndex = n === stop ? 0 : -1;
}

function show() {
  sheet.hidden = !chosen;
  for (const [at, button] of chips().entries()) button.setAttribute("aria-expanded", chosen?.at === at);
  if (!chosen) return;
  sheet.querySelector("span").textContent = `Weight of “${chosen.word}”`;
  number.setAttribute("aria-label", `Weight of ${chosen.word}; 1 is as it is`);
  if (document.activeElement !== number) number.value = chips()[chosen.at].dataset.weight;
}

function close() {
  const button = chosen && chips()[chosen.at];
  chosen = null;
  show();
  button?.focus({ preventScroll: true });
}

function weigh(factor) {
  if (!chosen || !Number.isFinite(factor)) return;
  number.value = Math.round(100 * clamped(factor)) / 100;
  trigger("weigh", { word: chosen.word, factor: number.valueAsNumber });
}

lines.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const at = chips().indexOf(button);
  if (chosen?.at === at) return close();
  chosen = { word: button.dataset.word, at };
  number.value = button.dataset.weight;
  show();
  number.focus({ preventScroll: true });
  number.select();
});
lines.addEventListener("focusin", (event) => rest(chips().indexOf(event.target)));
lines.addEventListener("keydown", (event) => {
  const last = chips().length - 1;
  const to = { ArrowRight: stop + 1, ArrowLeft: stop - 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  rest(to);
  chips()[stop]?.focus();
});
number.addEventListener("change", () => weigh(number.valueAsNumber));
sheet.addEventListener("click", (event) => {
  const { step, act } = event.target.dataset;
  if (step) weigh(number.valueAsNumber + Number(step));
  if (act === "reset") weigh(1);
});
sheet.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
  if (event.key === "Enter" && event.target === number) {
    event.preventDefault();
    number.blur(); // its change comes first
    close();
  }
});

watch("value", draw);
draw();
