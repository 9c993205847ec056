// One column of the strip at a time: sprites of a single picture, so that a step costs no request.
const fold = element.querySelector("details");
const slider = fold.querySelector("input");
const bars = fold.querySelector(".bars");
const tiles = props.rows.map((label) => {
  const figure = document.createElement("figure");
  const tile = figure.appendChild(document.createElement("div"));
  tile.setAttribute("role", "img");
  figure.appendChild(document.createElement("figcaption")).textContent = label;
  fold.querySelector(".tiles").append(figure);
  return tile;
});
fold.querySelector("summary").textContent = props.title;
fold.querySelector(".text").textContent = props.text;

const part = (place, of) => (of > 1 ? `${(100 * place) / (of - 1)}%` : "0%"); // how CSS counts positions in percent

function show() {
  const { strip, steps = [], areas = [] } = props.value ?? {};
  if (!strip || !fold.open) return;
  const at = Math.min(slider.valueAsNumber, steps.length - 1);
  const share = `${Math.round(100 * areas[at])} %`;
  const said = `${steps[at] + 1}: the people's model draws ${share}`;
  for (const [row, tile] of tiles.entries()) {
    tile.style.backgroundImage = `url("${strip.url}")`;
    tile.style.backgroundSize = `${100 * steps.length}% ${100 * tiles.length}%`;
    tile.style.backgroundPosition = `${part(at, steps.length)} ${part(row, tiles.length)}`;
    tile.setAttribute("aria-label", `${props.rows[row]}, step ${steps[at] + 1}`);
  }
  fold.querySelector("output").textContent = said;
  slider.setAttribute("aria-valuetext", `Step ${said}`);
  for (const [n, bar] of [...bars.children].entries()) bar.className = n === at ? "now" : "";
}

function receive() {
  const { strip, steps = [], areas = [] } = props.value ?? {};
  fold.hidden = !strip;
  slider.max = Math.max(steps.length - 1, 0);
  slider.value = slider.max;
  bars.replaceChildren(
    ...areas.map((area, n) => {
      const bar = document.createElement("i");
      bar.style.setProperty("--area", `${100 * area}%`);
      bar.title = `Step ${steps[n] + 1}: ${Math.round(100 * area)} %`;
      bar.dataset.place = n;
      return bar;
    }),
  );
  show();
}

slider.addEventListener("input", show);
slider.setAttribute("aria-label", "Step that both models ran");
fold.addEventListener("toggle", show);
bars.addEventListener("click", ({ target }) => {
  if (!target.dataset.place) return;
  slider.value = target.dataset.place;
  show();
});
watch("value", receive);
receive();
