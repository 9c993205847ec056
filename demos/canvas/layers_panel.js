// The open row: exact numbers, dials and their presets; and the canvas's own settings below the stage.
const UNIT = { x: 100, y: 100, scale: 100, angle: 1 };
const preset = find("[data-preset]");
const format = find("[data-set=format]");
const colour = find("[data-set=colour]");
const FORMATS = { "1:1": "Square 1:1", "3:2": "Landscape 3:2", "2:3": "Portrait 2:3", "16:9": "Wide 16:9", "9:16": "Tall 9:16" };

function option(value, text) {
  return Object.assign(document.createElement("option"), { value, textContent: text });
}
for (const name of ["auto", ...Object.keys(props.presets)]) preset.append(option(name, NAMES[name] ?? name));
preset.append(Object.assign(option("own", "By hand"), { disabled: true }));
for (const name of Object.keys(props.formats)) format.append(option(name, FORMATS[name] ?? name));

function showPanel() {
  const layer = board.picked();
  panel.hidden = !layer;
  if (!layer) return;
  for (const control of panel.querySelectorAll("input, select, [data-act]")) control.disabled = layer.locked;
  find("[data-act=duplicate]").disabled = false;
  find("[data-act=up]").disabled = layer.locked || layer.z === board.scene.layers.length - 1;
  find("[data-act=down]").disabled = layer.locked || layer.z === 0;
  for (const box of panel.querySelectorAll("[data-field]")) {
    fillBox(box, rounded(layer[box.dataset.field] * UNIT[box.dataset.field], 1));
  }
  for (const box of panel.querySelectorAll("[data-dial]")) fillBox(box, rounded(layer[box.dataset.dial], 3));
  const plain = plainOf(layer);
  for (const range of panel.querySelectorAll("[data-plain]")) {
    const part = plain[range.dataset.plain];
    if (Math.abs(range.valueAsNumber - part) > 0.005 || document.activeElement !== range) range.value = part;
    range.nextElementSibling.textContent = `${Math.round(part * 100)} %`;
    range.ariaValueText = `${Math.round(part * 100)} percent`;
  }
  preset.value = presetOf(layer);
}

// A half-typed number is not rewritten under the cursor.
function fillBox(box, value) {
  if (box !== document.activeElement || !box.dataset.typing) box.value = value;
}

function typed(box, change) {
  const settle = () => {
    delete box.dataset.typing;
    board.commit();
    showPanel();
  };
  box.addEventListener("input", () => {
    const layer = board.picked();
    if (!Number.isFinite(box.valueAsNumber) || !layer || layer.locked) return;
    box.dataset.typing = "yes";
    board.show({ ...layer, ...change(box.valueAsNumber) });
    commitSoon();
  });
  box.addEventListener("blur", settle);
  box.addEventListener("keydown", (event) => event.key === "Enter" && settle());
}
for (const box of panel.querySelectorAll("[data-field]")) {
  const { field } = box.dataset;
  typed(box, (value) => ({ [field]: value / UNIT[field] }));
}
for (const box of panel.querySelectorAll("[data-dial]")) {
  const { dial } = box.dataset;
  box.max = props.dials.ends[dial];
  typed(box, (value) => ({ [dial]: clamp(value, 0, props.dials.ends[dial]), auto: false }));
}
for (const range of panel.querySelectorAll("[data-plain]")) {
  range.addEventListener("input", () => {
    board.show({ ...board.picked(), ...FROM_PLAIN[range.dataset.plain](range.valueAsNumber), auto: false });
    commitSoon();
  });
  range.addEventListener("change", () => board.commit());
}
preset.addEventListener("change", () => board.picked() && board.change(withPreset(board.picked(), preset.value)));

// --- the canvas itself --------------------------------------------------------------------------------------
function showSettings() {
  const { width, height } = board.scene;
  const known = Object.entries(props.formats).find(([, [w, h]]) => w === width && h === height);
  format.querySelector("[value=own]")?.remove();
  if (!known) format.append(option("own", `${width} × ${height}`));
  format.value = known ? known[0] : "own";
  if (document.activeElement !== colour) colour.value = board.scene.colour;
  for (const button of element.querySelectorAll("[data-show]")) button.ariaPressed = board.shown[button.dataset.show];
  find(".scale").hidden = !board.shown.freedom || !board.scene.layers.length;
}
format.addEventListener("change", () => {
  const size = props.formats[format.value];
  if (size) board.keep(resized(board.scene, ...size));
});
colour.addEventListener("input", () => {
  board.become({ ...board.scene, colour: colour.value });
  commitSoon(TYPING);
});
colour.addEventListener("change", () => board.commit());
for (const button of element.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    board.shown = { ...board.shown, [button.dataset.show]: !board.shown[button.dataset.show] };
    refresh();
  });
}
