// Wiring: `board` holds the value being worked on, shows it, and hands finished gestures to Gradio.
const LIMITS = props.limits;
const EMPTY = { background: null, preview: null, width: 0, height: 0, layers: [], selected: null, incoming: null };
const MARGIN = 14; // CSS pixels between the scene and the stage's edge
const urlOf = (file, preview) => (preview ?? file).url;
const find = (query) => element.querySelector(query);
const canvas = find("canvas");
const context = canvas.getContext("2d");
const pictures = new Map(); // URL -> loaded image
const homes = new Map(); // layer id -> the placement it came with
const past = createHistory();

const board = {
  canvas,
  scene: props.value ?? EMPTY,
  view: { k: 1, x: 0, y: 0, width: 0, height: 0 },
  toScene: (point) => toScene(point, board.view),
  chosen: () => board.scene.layers.find((layer) => layer.id === board.scene.selected && layer.visible),

  layerAt(point) {
    const layers = byDepth(board.scene.layers).reverse();
    return layers.find((layer) => layer.visible && isInside(point, layer, board.scene));
  },

  // Shows a changed layer without telling Python.
  show(layer) {
    const next = tidy(layer, board.scene);
    const layers = board.scene.layers.map((other) => (other.id === next.id ? next : other));
    board.scene = { ...board.scene, layers };
    refresh();
  },

  // Ends a gesture: one step of history, one event.
  commit() {
    if (!past.push(board.scene)) return;
    props.value = board.scene;
    announce();
    refresh();
    trigger("input");
  },

  select(id) {
    board.scene = { ...board.scene, selected: id };
    refresh();
  },

  selectNext() {
    const order = byDepth(board.scene.layers).filter((layer) => layer.visible && !layer.locked);
    if (!order.length) return;
    const place = order.findIndex((layer) => layer.id === board.scene.selected);
    board.select(order[(place + 1) % order.length].id);
    announce();
  },

  remove() {
    const layers = board.scene.layers.filter((layer) => layer.id !== board.scene.selected);
    board.scene = { ...board.scene, layers, selected: null };
    board.commit();
  },

  flip() {
    const layer = board.chosen();
    board.show({ ...layer, flip: !layer.flip });
    board.commit();
  },

  reset() {
    const layer = board.chosen();
    if (!layer || layer.locked) return;
    board.show({ ...layer, ...homes.get(layer.id) });
    board.commit();
  },

  travel(steps) {
    const scene = past.travel(steps);
    if (!scene) return;
    board.scene = props.value = scene;
    announce();
    refresh();
    trigger("input");
  },
};

function layOut() {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const dense = Math.min(window.devicePixelRatio || 1, 2);
  const [columns, rows] = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  context.setTransform(dense, 0, 0, dense, 0, 0);
  if (board.scene.background) board.view = viewOf(board.scene, width, height, MARGIN);
  const accent = getComputedStyle(canvas).getPropertyValue("--color-accent").trim() || "#4f46e5";
  paint(context, board.scene, pictures, board.view, { width, height, accent });
}

let frame = 0;
function refresh() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(layOut);
  showNumbers();
  const { background, layers } = board.scene;
  const state = !background ? "empty" : layers.length ? "ready" : "scene";
  find(".board").dataset.state = state;
  find(".hint").textContent =
    state === "empty" ? "Drop a scene here, or pick an example above." : "Now drop or choose the object to place.";
  canvas.setAttribute("aria-label", spoken());
  const layer = board.chosen();
  for (const name of ["flip", "reset", "remove"]) find(`[data-act=${name}]`).disabled = !layer || layer.locked;
  find("[data-act=undo]").disabled = !past.can(-1);
  find("[data-act=redo]").disabled = !past.can(1);
}

function spoken() {
  const layer = board.chosen();
  if (!board.scene.background) return "Scene: empty";
  if (!layer) return `Scene with ${board.scene.layers.length || "no"} object${board.scene.layers.length === 1 ? "" : "s"}`;
  const percent = (part) => `${Math.round(part * 100)} percent`;
  return (
    `Object at ${percent(layer.x)} across and ${percent(layer.y)} down, ${percent(layer.scale)} wide, ` +
    `turned ${Math.round(layer.angle)} degrees${layer.flip ? ", flipped" : ""}`
  );
}
const announce = () => (find(".said").textContent = spoken());

// --- number boxes: percent and degrees; they follow the canvas and the canvas follows them -----------------
const UNIT = { x: 100, y: 100, scale: 100, angle: 1 };
function showNumbers() {
  const layer = board.chosen();
  for (const box of element.querySelectorAll("[data-field]")) {
    box.disabled = !layer || layer.locked;
    if (box === document.activeElement && box.dataset.typing) continue;
    box.value = layer ? rounded(layer[box.dataset.field] * UNIT[box.dataset.field], 1) : "";
  }
}
for (const box of element.querySelectorAll("[data-field]")) {
  const settle = () => {
    delete box.dataset.typing;
    showNumbers();
  };
  box.addEventListener("input", () => {
    const value = box.valueAsNumber / UNIT[box.dataset.field];
    if (!Number.isFinite(value) || !board.chosen()) return;
    box.dataset.typing = "yes"; // a half-typed number is not rewritten under the cursor
    board.show({ ...board.chosen(), [box.dataset.field]: value });
    commitSoon();
  });
  box.addEventListener("blur", settle);
  box.addEventListener("keydown", (event) => event.key === "Enter" && settle());
}

// --- pictures in: buttons, drop and paste; Python reads the file and answers with a new value --------------
async function open(file, role) {
  if (!file) return;
  busy("Reading the picture…");
  try {
    const { path, url } = await upload(file);
    const meta = { _type: "gradio.FileData" };
    props.value = { ...board.scene, incoming: { path, url, orig_name: file.name, meta }, role };
    trigger("upload");
  } catch (error) {
    busy(`The picture could not be sent: ${error.message}`);
  }
}
function busy(text) {
  find(".busy").textContent = text;
  find(".busy").hidden = !text;
}
for (const label of element.querySelectorAll(".pick")) {
  const input = label.querySelector("input");
  input.setAttribute("aria-label", `${label.textContent.trim().replace("…", "")}: choose a picture`);
  input.addEventListener("change", () => {
    open(input.files[0], label.dataset.role ?? "any");
    input.value = "";
  });
}
const stage = find(".stage");
const zone = element.closest("[role=tabpanel]") ?? stage; // a file may fall anywhere on the tab
const over = (event, on) => (event.preventDefault(), stage.classList.toggle("over", on));
zone.addEventListener("dragover", (event) => over(event, true));
zone.addEventListener("dragleave", (event) => over(event, zone.contains(event.relatedTarget)));
zone.addEventListener("drop", (event) => (over(event, false), open(event.dataTransfer.files[0], "any")));
canvas.addEventListener("paste", (event) => open([...event.clipboardData.files][0], "any"));

// --- life: pictures load, Python changes the value, the stage changes size ---------------------------------
function load(url) {
  if (!url || pictures.has(url)) return;
  pictures.set(url, null);
  const picture = new Image();
  picture.onload = () => (pictures.set(url, picture), refresh());
  picture.onerror = () => pictures.delete(url);
  picture.src = url;
}
function receive() {
  const value = props.value ?? EMPTY;
  board.scene = { ...value, selected: value.selected ?? board.scene.selected, incoming: null };
  if (value.background) load(urlOf(value.background, value.preview));
  for (const layer of value.layers) {
    load(urlOf(layer.image, layer.preview));
    const { x, y, scale, angle, flip } = layer;
    if (!homes.has(layer.id)) homes.set(layer.id, { x, y, scale, angle, flip });
  }
  past.push(board.scene);
  busy("");
  refresh();
}
for (const button of element.querySelectorAll("[data-act]")) {
  const act = { undo: () => board.travel(-1), redo: () => board.travel(1) };
  button.addEventListener("click", () => (act[button.dataset.act] ?? board[button.dataset.act])());
}
const { commitSoon } = listen(board);
watch("value", receive);
new ResizeObserver(refresh).observe(stage);
new MutationObserver(refresh).observe(document.body, { attributeFilter: ["class"] }); // light and dark
receive();
