// Inputs and methods. What is chosen is kept here and goes along with every event; Python answers with the rest.
const find = (query) => element.querySelector(query);
const choice = { words: {}, place: {} };
const left = new Set(); // methods that were taken out
let number = -1; // of the inputs that the estimate is for

const value = () => props.value ?? {};
const able = () => (value().contenders ?? []).filter((one) => !one.lack);
const chosen = () => able().filter((one) => !left.has(one.key));

function chosenNow() {
  return {
    ...choice,
    methods: chosen().map((one) => one.key),
    axes: axes.map(({ name, values }) => ({ name, values })),
    crop: find("[data-choice=crop]").checked,
    paste_back: find("[data-choice=paste_back]").value,
  };
}

const ask = (event, data = {}) => trigger(event, { ...data, choice: chosenNow() });
let timer = 0;
function changed(wait = 150) {
  clearTimeout(timer);
  timer = setTimeout(() => ask("choose"), wait);
}

function drawInputs() {
  const { inputs = [], note = "", bad = false, placing = false } = value();
  find(".inputs").replaceChildren(...inputs.map(input));
  find(".empty").hidden = inputs.length > 0;
  find(".note").textContent = note;
  find(".note").classList.toggle("bad", bad);
  find(".place").hidden = !placing;
}

function input({ name, pictures, words }, place) {
  const item = make("li");
  const away = make("button", "Remove", { type: "button", "aria-label": `Remove ${name}` });
  away.addEventListener("click", () => ask("remove", { place }));
  const parts = make("div", "", { class: "parts" });
  for (const { label, address } of pictures) {
    const figure = make("figure");
    figure.append(make("img", "", { src: address, alt: `${name}: ${label}` }), make("figcaption", label));
    parts.append(figure);
  }
  item.append(make("b", name), away, parts, ...words.map(([label, text]) => make("i", `${label}: ${text}`)));
  return item;
}

function drawMethods() {
  const { contenders = [], inputs = [] } = value();
  const box = find(".methods");
  const held = box.contains(document.activeElement) ? document.activeElement.value : null;
  box.replaceChildren(find("legend"));
  for (const one of contenders) {
    const label = make("label", "", one.lack ? { class: "off", title: one.lack } : {});
    const tick = make("input", "", { type: "checkbox", value: one.key });
    tick.disabled = Boolean(one.lack);
    tick.checked = !one.lack && !left.has(one.key);
    tick.addEventListener("change", () => {
      left[tick.checked ? "delete" : "add"](one.key);
      drawAxes();
      changed();
    });
    label.append(tick, one.title);
    box.append(label);
  }
  const lacks = inputs.length ? contenders.filter((one) => one.lack).map((one) => one.lack) : [];
  if (lacks.length) {
    const why = make("details", "", { class: "lack" });
    why.append(make("summary", `Why ${lacks.length} cannot take this`), ...lacks.map((text) => make("p", text)));
    box.append(why);
  }
  if (held) box.querySelector(`[value="${held}"]`)?.focus({ preventScroll: true });
}

function drawEstimate() {
  const { estimate = "", refused = false, running = false, inputs = [] } = value();
  const none = inputs.length > 0 && !chosen().length;
  find(".estimate").textContent = none ? "Please choose at least one method." : estimate;
  find(".estimate").classList.toggle("bad", refused || none);
  find(".go").hidden = running;
  find(".go").disabled = refused || none || !inputs.length;
  find(".halt").hidden = !running;
}
