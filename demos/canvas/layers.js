// Wiring: `board` holds the collage being worked on, shows it, and hands finished gestures to Gradio.
const LIMITS = props.limits;
const EMPTY = { width: 512, height: 512, colour: "#969696", layers: [], selected: null, incoming: null, role: null };
const MARGIN = 24; // CSS pixels between the canvas and the stage's edge: handles of a backdrop lie there
const AGAIN = 450; // ms after which a second click is not a double-click
const FULL = `There are ${props.most} layers already; please delete one first.`;
const homes = new Map(); // layer id -> the placement it came with
const past = createHistory(({ selected, incoming, role, dropped, ...scene }) => JSON.stringify(scene));

const board = {
  canvas,
  scene: settled({ ...EMPTY, ...props.value }),
  view: { k: 1, x: 0, y: 0, width: 0, height: 0 },
  shown: { freedom: false, words: false },
  kept: null, // a layer taken up from beneath others: a drag inside it is its own
  clicked: 0,
  tappedOn: null,
  ready: () => true,
  toScene: (point) => toScene(point, board.view),
  picked: () => layerOf(board.scene, board.scene.selected),
  chosen: () => (board.picked()?.visible ? board.picked() : undefined),

  under: (point) =>
    board.scene.layers.filter((layer) => layer.visible && isInside(point, layer, board.scene)).reverse(),
  layerAt(point) {
    const below = board.under(point);
    return below.find((layer) => layer.id === board.kept && !layer.locked) ?? below[0];
  },

  // A click that moved nothing takes the topmost layer; another one on it takes what lies under it.
  tapped(point) {
    const below = board.under(point);
    const soon = Date.now() - board.clicked < AGAIN;
    const place = below.findIndex((layer) => layer.id === board.scene.selected);
    if (!soon && board.tappedOn === board.scene.selected && below.length > 1) {
      board.take(below[(place + 1) % below.length].id);
    }
    board.clicked = Date.now();
    board.tappedOn = board.scene.selected;
  },
  doubled() {
    if (board.picked()) rowOf(board.picked().id).querySelector(".words").focus();
  },

  // Shows a changed layer without telling Python.
  show(layer) {
    board.become(withChanged(board.scene, tidy(layer, board.scene)));
  },
  become(scene) {
    board.scene = scene;
    refresh();
  },

  // Ends a gesture: one step of history, one event.
  commit() {
    if (!past.push(board.scene)) return;
    props.value = board.scene;
    say("");
    announce();
    refresh();
    trigger("input");
  },
  keep(scene) {
    board.become(scene);
    board.commit();
  },

  select(id) {
    if (board.kept !== id) board.kept = null;
    if (board.scene.selected === id) return;
    board.tappedOn = null;
    board.become({ ...board.scene, selected: id });
    props.value = board.scene;
  },
  // Takes a layer up wherever it lies: by its row, or from under another.
  take(id) {
    board.select(id);
    board.kept = id;
  },
  selectNext() {
    const order = board.scene.layers.filter((layer) => layer.visible);
    if (!order.length) return;
    const place = order.findIndex((layer) => layer.id === board.scene.selected);
    board.take(order[(place + 1) % order.length].id);
    announce();
  },

  // --- what is done to the selected layer; a locked one only lets itself be hidden, copied and unlocked
  change(changes) {
    const layer = board.picked();
    if (!layer || layer.locked) return;
    board.show({ ...layer, ...changes });
    board.commit();
  },
  flip: () => board.change({ flip: !board.picked()?.flip }),
  reset: () => board.change(homes.get(board.scene.selected)),
  fill: () => board.picked() && board.change(covering(board.picked(), board.scene)),
  remove() {
    const layer = board.picked();
    if (layer && !layer.locked) board.keep({ ...without(board.scene, layer.id), selected: null });
  },
  duplicate() {
    const layer = board.picked();
    if (!layer) return;
    if (board.scene.layers.length >= props.most) return say(FULL);
    const scene = duplicated(board.scene, layer.id);
    const { x, y, scale, angle, flip } = layerOf(scene, scene.selected);
    homes.set(scene.selected, { x, y, scale, angle, flip });
    board.keep(scene);
    board.kept = scene.selected;
  },
  raise(steps) {
    const layer = board.picked();
    if (layer && !layer.locked) board.keep(reordered(board.scene, layer.id, layer.z + steps));
  },
  up: (event) => board.raise(event.shiftKey ? Infinity : 1), // an event of a key or a button
  down: (event) => board.raise(event.shiftKey ? -Infinity : -1),
  toggle(id, name) {
    const layer = layerOf(board.scene, id);
    if (layer) board.keep(withChanged(board.scene, { ...layer, [name]: !layer[name] }));
  },

  // Keys of the editor beyond those of every canvas; says whether it was one of them.
  key(event) {
    const id = board.scene.selected;
    const duplicate = event.key.toLowerCase() === "d" && (event.ctrlKey || event.metaKey);
    const plain = {
      PageUp: board.up,
      PageDown: board.down,
      h: () => board.toggle(id, "visible"),
      l: () => board.toggle(id, "locked"),
    };
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = duplicate ? board.duplicate : !(event.ctrlKey || event.metaKey || event.altKey) && plain[name];
    if (!act || !board.picked()) return false;
    event.preventDefault();
    act(event);
    return true;
  },

  // The host opens a mask canvas.
  extract() {
    if (board.scene.layers.length >= props.most) return say(FULL);
    props.value = board.scene;
    trigger("extract");
  },

  travel(steps) {
    board.commit(); // what was typed a moment ago is a step of its own
    const scene = past.travel(steps);
    if (!scene) return;
    const selected = [board.scene.selected, scene.selected].find((id) => layerOf(scene, id)) ?? null;
    board.scene = props.value = { ...scene, selected };
    announce();
    refresh();
    trigger("input");
  },
};

function layOut() {
  const look = { ...fitBacking(), ...board.shown };
  board.view = viewOf(board.scene, look.width, look.height, MARGIN);
  paintCollage(context, board.scene, pictures, board.view, look);
}

let frame = 0;
function refresh() {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(layOut);
  find(".board").dataset.state = board.scene.layers.length ? "ready" : "empty";
  canvas.setAttribute("aria-label", spoken());
  find("[data-act=undo]").disabled = !past.can(-1);
  find("[data-act=redo]").disabled = !past.can(1);
  showRows();
  showPanel();
  showSettings();
}

function spoken() {
  const { layers } = board.scene;
  const layer = board.picked();
  if (!layers.length) return "Collage: no layers yet";
  if (!layer) return `Collage with ${layers.length} layer${layers.length === 1 ? "" : "s"}, none selected`;
  const percent = (part) => `${Math.round(part * 100)} percent`;
  const states = [layer.flip && "flipped", !layer.visible && "hidden", layer.locked && "locked"].filter(Boolean);
  return [
    `${layer.prompt.trim() || "Layer without words"}, ${layers.length - layer.z} of ${layers.length} from the front`,
    `at ${percent(layer.x)} across and ${percent(layer.y)} down, ${percent(layer.scale)} wide`,
    `turned ${Math.round(layer.angle)} degrees`,
    ...states,
  ].join(", ");
}
const announce = () => (find(".said").textContent = spoken());

// A sentence over the stage, until something is done.
function say(sentence) {
  busy(sentence);
}
