// The run from left to right and its two ends, which push one another along.
const STEP = 0.05;
const FINE = 0.01; // with Shift
const bar = element.querySelector(".bar");
const presets = element.querySelector(".presets");
const ends = [...bar.querySelectorAll(".end")];
const NAMES = ["scene_until", "subject_from"];
let at = [0.3, 0.6];

const clamp = (value) => Math.min(Math.max(value, 0), 1);
const rounded = (value, step) => Number((Math.round(clamp(value) / step) * step).toFixed(4));
const percent = (value) => `${Math.round(100 * value)} %`;

function show() {
  const [first, last] = at;
  const place = (query, style, wide) => {
    const part = bar.querySelector(query);
    Object.assign(part.style, style);
    part.classList.toggle("narrow", wide * bar.clientWidth < 70);
  };
  place(".scene", { width: `calc(${100 * first}% + 11px)` }, first);
  place(".fused", { left: `${100 * first}%`, width: `${100 * (last - first)}%` }, last - first);
  place(".subject", { width: `calc(${100 * (1 - last)}% + 11px)` }, 1 - last);
  for (const [n, end] of ends.entries()) {
    end.style.left = `${100 * at[n]}%`;
    end.setAttribute("aria-valuenow", Math.round(100 * at[n]));
    end.setAttribute("aria-valuetext", n ? `${percent(at[n])} of the run` : at[n] ? `${percent(at[n])} of the run` : "never");
    end.setAttribute(n ? "aria-valuemin" : "aria-valuemax", n ? Math.round(100 * first) : Math.round(100 * last));
    end.title = `${end.getAttribute("aria-label")} ${percent(at[n])}`;
  }
  for (const button of presets.children) {
    const [a, b] = button.dataset.ends.split(",").map(Number);
    button.ariaPressed = a === first && b === last;
  }
}

// The other end gives way, so that the two never cross.
function become(first, last) {
  if (first === at[0] && last === at[1]) return;
  at = [first, last];
  show();
  props.value = { scene_until: first, subject_from: last };
  trigger("input");
}
const moved = (n, value) => (n ? become(Math.min(at[0], value), value) : become(value, Math.max(at[1], value)));

function valueAt(event) {
  const box = bar.getBoundingClientRect();
  return rounded((event.clientX - box.left) / box.width, event.shiftKey ? FINE : STEP);
}

let held = null; // the end that a pointer holds
bar.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  event.preventDefault();
  const value = valueAt(event);
  const on = ends.indexOf(event.target.closest(".end"));
  held = on >= 0 ? on : Math.abs(value - at[0]) < Math.abs(value - at[1]) || value < at[0] ? 0 : 1;
  ends[held].focus({ preventScroll: true });
  try {
    bar.setPointerCapture(event.pointerId);
  } catch (error) {
    if (error.name !== "NotFoundError") throw error; // a pointer that has gone already
  }
  if (on < 0) moved(held, value);
});
bar.addEventListener("pointermove", (event) => held !== null && moved(held, valueAt(event)));
for (const name of ["pointerup", "pointercancel"]) bar.addEventListener(name, () => (held = null));

for (const [n, end] of ends.entries()) {
  end.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? FINE : STEP;
    const by = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step, PageUp: 0.1, PageDown: -0.1 }[event.key];
    const to = { Home: n ? at[0] : 0, End: n ? 1 : at[1] }[event.key];
    if (by === undefined && to === undefined) return;
    event.preventDefault();
    moved(n, to ?? rounded(at[n] + by, FINE));
  });
}

for (const [label, first, last] of props.presets) {
  const button = Object.assign(document.createElement("button"), { type: "button", title: label });
  button.textContent = label.split(/[:(]/)[0].trim();
  button.dataset.ends = `${first},${last}`;
  button.addEventListener("click", () => become(first, last));
  presets.append(button);
}

function receive() {
  at = NAMES.map((name, n) => props.value?.[name] ?? at[n]);
  show();
}
new ResizeObserver(show).observe(bar);
watch("value", receive);
receive();
setTimeout(() => trigger("input")); // what the stages cost is told from the beginning
