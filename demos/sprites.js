// The picker: nothing is loaded before it is opened, and then one sheet whose parts are shown.
const fold = element.querySelector("details");
const search = element.querySelector("input");
const tiles = element.querySelector(".tiles");
const none = element.querySelector(".none");

function fill() {
  const rows = Math.ceil(props.names.length / props.columns);
  const part = (place, of) => `${of > 1 ? (100 * place) / (of - 1) : 0}%`; // how CSS counts positions in percent
  for (const [number, name] of props.names.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = name;
    button.setAttribute("aria-label", `Add ${name}`);
    button.dataset.number = number;
    Object.assign(button.style, {
      backgroundImage: `url("${props.sheet}")`,
      backgroundSize: `${100 * props.columns}% ${100 * rows}%`,
      backgroundPosition: `${part(number % props.columns, props.columns)} ${part(Math.floor(number / props.columns), rows)}`,
    });
    tiles.append(button);
  }
}

function sift() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const button of tiles.children) {
    button.hidden = !wanted.every((word) => button.title.includes(word));
    found += !button.hidden;
  }
  none.hidden = found > 0;
}

fold.addEventListener("toggle", () => {
  if (!fold.open) return;
  if (!tiles.children.length) fill();
  search.focus({ preventScroll: true });
});
search.addEventListener("input", sift);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  [...tiles.children].find((button) => !button.hidden)?.click();
});
tiles.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) trigger("pick", { number: Number(button.dataset.number) });
});
fold.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  fold.open = false;
  fold.querySelector("summary").focus();
});
document.addEventListener("pointerdown", (event) => {
  if (fold.open && !fold.contains(event.target)) fold.open = false;
});
