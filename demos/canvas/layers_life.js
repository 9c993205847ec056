// What reaches the editor from outside: files, values from Python, another size of the stage.
const waiting = []; // files that are sent one after the other: { file, role, dropped }
const PATIENCE = 60_000; // ms after which an answer is no longer waited for
let posted = null; // the collage that Python is adding a file to
let since = 0;

// Pictures by button, drop and paste; Python reads each file and answers with a new value.
function open(file, role, all) {
  if (!file) return;
  const dropped = role === "any";
  for (const one of role === "replace" ? [file] : all) {
    const collage = one.name.toLowerCase().endsWith(".zip");
    waiting.push({ file: one, role: collage ? "collage" : dropped ? "layer" : role, dropped });
  }
  if (!posted || Date.now() - since > PATIENCE) sendNext();
}

async function sendNext() {
  const next = waiting.shift();
  if (!next) return;
  if (next.role === "layer" && board.scene.layers.length >= props.most) {
    waiting.length = 0;
    say(FULL);
    return;
  }
  board.commit();
  posted = board.scene;
  since = Date.now();
  const { file, role, dropped } = next;
  const incoming = await sent(file, role === "collage" ? "Opening the collage…" : "Reading the picture…");
  if (!incoming) {
    posted = null;
    sendNext();
    return;
  }
  posted = board.scene;
  props.value = { ...board.scene, incoming, role, dropped };
  trigger("upload");
}
acceptFiles(open);

function receive() {
  const value = { ...EMPTY, ...props.value };
  const given = { ...value, selected: value.selected ?? board.scene.selected, incoming: null, role: null, dropped: false };
  const busyBy = posted && JSON.stringify(posted.layers) !== JSON.stringify(board.scene.layers) ? posted : null;
  board.scene = busyBy ? merged(busyBy, board.scene, given) : settled(given);
  posted = null;
  props.value = board.scene;
  for (const layer of board.scene.layers) {
    load(urlOf(layer.image, layer.preview), refresh);
    const { x, y, scale, angle, flip } = layer;
    if (!homes.has(layer.id)) homes.set(layer.id, { x, y, scale, angle, flip });
  }
  past.push(board.scene);
  busy("");
  refresh();
  sendNext();
}

for (const button of element.querySelectorAll("[data-act]")) {
  const act = { undo: () => board.travel(-1), redo: () => board.travel(1) };
  button.addEventListener("click", (event) => (act[button.dataset.act] ?? board[button.dataset.act])(event));
}

// Undo and order work everywhere in the editor, also while a row is in focus.
find(".board").addEventListener("keydown", (event) => {
  if (event.defaultPrevented || travelled(event, board.travel)) return;
  const step = { PageUp: board.up, PageDown: board.down }[event.key];
  if (!step || !list.contains(event.target) || !board.picked()) return;
  event.preventDefault();
  step(event);
});
find(".board").addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (event.target !== canvas && files.length) open(files[0], "any", [...files]);
});

const { commitSoon } = listen(board);
watch("value", receive);
watchStage(refresh);
receive();
