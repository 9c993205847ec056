// Wiring: `board` holds the value being worked on, shows it, and hands finished gestures to Gradio.
const LIMITS = props.limits;
const EMPTY = { background: null, preview: null, width: 0, height: 0, layers: [], selected: null, incoming: null };
const MARGIN = 14; // CSS pixels between the scene and the stage's edge
const homes = new Map(); // layer id -> the placement it came with
const past = createHistory(({ selected, incoming, role, ...scene }) => JSON.stringify(scene));

const board = {
  canvas,
  scene: props.value ?? EMPTY,
  view: { k: 1, x: 0, y: 0, width: 0, height: 0 },
  toScene: (point) => toScene(point, board.view),
  ready: () => Boolean(board.scene.background),
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

  // The host opens a mask canvas on the background.
  extract() {
    props.value = board.scene;
    trigger("extract");
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
  const look = fitBacking();
  if (board.scene.background) board.view = viewOf(board.scene, look.width, look.height, MARGIN);
  paint(context, board.scene, pictures, board.view, look);
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
  find("[data-act=extract]").disabled = !background;
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
  const incoming = file && (await sent(file, "Reading the picture…"));
  if (!incoming) return;
  props.value = { ...board.scene, incoming, role };
  trigger("upload");
}
acceptFiles(open);

// --- life: pictures load, Python changes the value, the stage changes size ---------------------------------
function receive() {
  const value = props.value ?? EMPTY;
  board.scene = { ...value, selected: value.selected ?? board.scene.selected, incoming: null };
  if (value.background) load(urlOf(value.background, value.preview), refresh);
  for (const layer of value.layers) {
    load(urlOf(layer.image, layer.preview), refresh);
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
watchStage(refresh);
receive();
