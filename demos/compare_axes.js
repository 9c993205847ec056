// What is varied: rows of a field and its values, as they are typed.
const axes = []; // { name, values }

// Fields that every chosen method has: an axis over another one would be refused.
function known() {
  const keys = chosen().filter((one) => !one.baseline).map((one) => one.key);
  return (value().fields ?? []).filter((field) => keys.length && keys.every((key) => field.keys.includes(key)));
}

function drawAxes() {
  const list = find(".axes .list");
  const fields = known();
  find(".axes .add").disabled = axes.length >= 6 || fields.length <= axes.length;
  list.replaceChildren(...axes.map((axis, place) => row(axis, place, fields)));
}

function row(axis, place, fields) {
  const line = make("div", "", { class: "axis" });
  const name = make("select", "", { "aria-label": `Axis ${place + 1}` });
  const taken = new Set(axes.filter((other) => other !== axis).map((other) => other.name));
  const offered = fields.filter((field) => !taken.has(field.name));
  if (!offered.some((field) => field.name === axis.name)) name.append(make("option", axis.name, { value: axis.name }));
  for (const field of offered) name.append(make("option", field.label, { value: field.name }));
  name.value = axis.name;
  const hint = fields.find((field) => field.name === axis.name)?.hint ?? "";
  const typed = make("input", "", { "aria-label": `Values of axis ${place + 1}`, placeholder: hint, title: hint });
  typed.value = axis.values;
  const away = make("button", "×", { type: "button", "aria-label": `Remove axis ${place + 1}` });
  name.addEventListener("change", () => {
    Object.assign(axis, { name: name.value, values: "" });
    drawAxes();
    changed();
  });
  typed.addEventListener("input", () => {
    axis.values = typed.value;
    changed(400);
  });
  away.addEventListener("click", () => {
    axes.splice(place, 1);
    drawAxes();
    changed();
    find(".axes .add").focus();
  });
  line.append(name, typed, away);
  return line;
}

find(".axes .add").addEventListener("click", () => {
  const used = new Set(axes.map((axis) => axis.name));
  const free = known().filter((field) => !used.has(field.name));
  if (!free.length) return;
  axes.push({ name: free[0].name, values: "" });
  drawAxes();
  find(".axes .list").lastElementChild.querySelector("input").focus();
});

// --- words and the object's place, for inputs that have none ------------------------------------------------------
function typed(group, name, label, tip, attributes) {
  const line = make("label", label, { title: tip });
  const box = make("input", "", { "data-name": name, ...attributes });
  box.addEventListener("input", () => {
    choice[group][name] = box.type === "number" ? box.valueAsNumber : box.value;
    changed(400);
  });
  line.append(box);
  find(`.${group}`).append(line);
}
for (const [name, label, tip] of props.words) typed("words", name, label, tip, { maxlength: 2000 });
for (const [name, label, tip, usual, low, high] of props.place) {
  typed("place", name, label, tip, { type: "number", step: "any", min: low, max: high, placeholder: usual });
}
for (const control of element.querySelectorAll("[data-choice]")) control.addEventListener("change", () => changed());
