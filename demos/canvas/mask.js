// Wiring: `board` holds what the user did, shows it at once, and asks Python for the mask that follows.
const MARGIN = 10; // CSS pixels between the picture and the stage's edge
const MODES = ["overlay", "cutout", "mask"];
const LIKENESS = { overlay: "Overlay", cutout: "Cut-out", mask: "Mask" };
const HINTS = {
  include: "Click what belongs to it; right-click, Shift+click or a long press leaves a part out.",
  exclude: "Click what does not belong to it.",
  box: "Drag a box around it; a plain click adds a dot.",
  brush: "Paint what belongs to it; with Shift you rub out.",
  erase: "Rub out what does not belong to it.",
};
const ADDING = "Clicks add to this mask; right-click or Exclude takes away from it. The bin starts over.";
const papers = new Map(); // strokes as text -> the file they were sent as
let past = createHistory(keyOf);

const board = {
  value: { ...NOTHING, ...props.value },
  state: CLEAN,
  answer: null, // what Python said of the state, or of one shortly before it
  cover: null,
  view: { k: 1, x: 0, y: 0, width: 0, height: 0 },
  zoom: { level: 1, x: 0, y: 0 }, // picture pixel in the middle of the stage
  tool: "include",
  mode: "overlay",
  opacity: 0.5,
  size: 32, // of the brush in CSS pixels: finer on the picture while zoomed in
  hover: null,
  cross: null,
  corner: null, // of a box that is drawn by keys
  now: null, // the gesture that is going on: { point }, { box } or { stroke }
  preparing: false,
  note: "",
  told: { key: "", note: "" }, // what was said of a state before its mask came
  lent: null, // the box that colours were given, for the way back
  bad: false,
  refused: false, // there can be no mask of this state
  toScene: (point) => toScene(point, board.view),
  refresh,
  ready: () => Boolean(board.value.image) && !find(".board").hidden,
  radius: () => rounded(board.size / 2 / board.view.k, 2),

  // --- gestures: shown while they last, kept when they end
  draft(now) {
    board.now = now;
    refresh();
  },
  cancelDraft() {
    const stroke = board.now?.stroke;
    board.now = board.corner = null;
    if (stroke) drawCover(); // the stroke was on it already
    refresh();
  },
  addPoint(x, y, label) {
    keep({ ...board.state, points: [...board.state.points, [x, y, label]] });
  },
  setBox(box) {
    keep({ ...board.state, box: box.map((v) => rounded(v, 1)) });
  },
  beginStroke(erase, spot) {
    const stroke = { erase: erase !== board.state.invert, radius: board.radius(), points: [[spot.x, spot.y]] };
    board.cover ??= emptyCover(board.value);
    board.now = { stroke };
    strokeOnCover(board.cover, stroke, board.value, board.state.invert);
    refresh();
  },
  continueStroke(spot) {
    const { stroke } = board.now ?? {};
    if (!stroke) return;
    const [x, y] = stroke.points.at(-1);
    if (Math.hypot(spot.x - x, spot.y - y) * board.view.k < 1.5) return;
    stroke.points.push([spot.x, spot.y]);
    strokeOnCover(board.cover, { ...stroke, points: [[x, y], [spot.x, spot.y]] }, board.value, board.state.invert);
    refresh();
  },
  endStroke() {
    if (board.now?.stroke) keep({ ...board.state, strokes: [...board.state.strokes, board.now.stroke] });
  },
  removeNear(spot) {
    const far = board.state.points.map(([x, y]) => {
      const dot = toScreen({ x, y }, board.view);
      return Math.hypot(dot.x - spot.x, dot.y - spot.y);
    });
    const nearest = far.indexOf(Math.min(...far, 3 * DOT));
    if (nearest >= 0) keep({ ...board.state, points: board.state.points.filter((_, i) => i !== nearest) });
  },
  removeLast() {
    if (board.state.points.length) keep({ ...board.state, points: board.state.points.slice(0, -1) });
  },
  clear: () => keep(CLEAN),

  // Another way where the model is unsure: colours alone, in the box of what was found; and back.
  colours() {
    const { state, lent } = board;
    if (state.model === "grabcut") return keep({ ...state, model: "auto", box: state.box === lent ? null : state.box });
    board.lent = state.box || state.start ? null : (board.answer?.box ?? null);
    return keep({ ...state, model: "grabcut", box: board.lent ?? state.box });
  },
  travel(steps) {
    const state = past.travel(steps);
    if (state) become(state);
  },

  // --- the keyboard's cross
  hideCross() {
    board.cross = null;
  },
  moveCross(dx, dy) {
    const { width, height } = board.value;
    const at = board.cross ?? { x: board.zoom.x, y: board.zoom.y };
    const x = rounded(clamp(at.x + dx / board.view.k, 0, width), 2);
    board.cross = { x, y: rounded(clamp(at.y + dy / board.view.k, 0, height), 2) };
    const spot = toScreen(board.cross, board.view);
    const out = (v, size) => (v < 24 ? 24 - v : v > size - 24 ? size - 24 - v : 0);
    if (board.zoom.level > 1) board.pan(out(spot.x, board.view.width), out(spot.y, board.view.height));
    if (board.corner) board.now = { box: spanned(board.corner, board.cross) };
    announce(`${Math.round((100 * board.cross.x) / width)} percent across, ${Math.round((100 * board.cross.y) / height)} down`);
    refresh();
  },
  atCross(exclude) {
    const spot = board.cross ?? { x: board.zoom.x, y: board.zoom.y };
    board.cross = spot;
    if (board.tool === "brush" || board.tool === "erase") {
      board.beginStroke(exclude || board.tool === "erase", spot);
      return board.endStroke();
    }
    if (board.tool !== "box" || exclude) return board.addPoint(spot.x, spot.y, exclude || board.tool === "exclude" ? 0 : 1);
    if (!board.corner) return ((board.corner = spot), refresh());
    const box = spanned(board.corner, spot);
    board.corner = null;
    return box[0] < box[2] && box[1] < box[3] ? board.setBox(box) : board.cancelDraft();
  },

  // --- looking
  choose(tool) {
    board.tool = tool;
    board.corner = null;
    refresh();
  },
  look() {
    board.mode = MODES[(MODES.indexOf(board.mode) + 1) % MODES.length];
    announce(`${LIKENESS[board.mode]} shown`);
    refresh();
  },
  resizeBrush(times) {
    board.size = Math.round(clamp(board.size * times, 4, 120));
    refresh();
  },
  zoomAt(times, spot) {
    const { view, zoom } = board;
    const middle = spot ?? { x: view.width / 2, y: view.height / 2 };
    const at = board.toScene(middle);
    const whole = view.k / zoom.level;
    const level = clamp(zoom.level * times, 1, Math.max(8, 16 / whole));
    const k = whole * level;
    board.zoom = { level, x: at.x - (middle.x - view.width / 2) / k, y: at.y - (middle.y - view.height / 2) / k };
    lookAgain();
  },
  pan(dx, dy) {
    const { zoom, view } = board;
    board.zoom = { ...zoom, x: zoom.x - dx / view.k, y: zoom.y - dy / view.k };
    lookAgain();
  },
  fit() {
    board.zoom = { level: 1, x: board.value.width / 2, y: board.value.height / 2 };
    lookAgain();
  },
  closer: () => board.zoomAt(1.5),
  farther: () => board.zoomAt(1 / 1.5),

  // --- the way out
  remove() {
    begin({ ...NOTHING, opened: true });
    publish();
    refresh();
    canvas.focus({ preventScroll: true });
  },
  close() {
    if (props.inline) return;
    board.value = { ...board.value, opened: false };
    publish();
    refresh();
    trigger("close");
  },
  use() {
    if (find("[data-act=use]").disabled) return;
    publish();
    trigger("use");
  },
};

// --- what the user did becomes the state, and the state a question ------------------------------------------
const asking = createAsking({
  async paper(strokes) {
    const text = JSON.stringify(strokes);
    if (!papers.has(text)) papers.set(text, await sent(await strokesPicture(strokes, board.value)));
    if (!papers.get(text)) papers.delete(text);
    return papers.get(text);
  },
  send() {
    publish();
    trigger("segment");
    refresh();
  },
  show(answer, strokes) {
    board.answer = answer && !answer.bad ? answer : null;
    board.note = answer?.note || (board.told.key === keyOf(board.state) ? board.told.note : "");
    board.bad = board.refused = Boolean(answer?.bad);
    drawCover(strokes);
    publish();
    announce(answer ? answer.note || spokenOf(answer) : "No mask");
    refresh();
  },
});

function keep(state) {
  board.now = null;
  if (past.push(state)) become(state);
}

function become(state) {
  board.state = state;
  asking.ask(state);
  refresh();
}

// The value that Python gets: the state without its strokes, which go as a picture, and the mask if it is of it.
function publish() {
  const { strokes, ...state } = board.state;
  const fresh = asking.waiting ? null : board.answer;
  board.value = {
    ...board.value,
    ...state,
    paint: papers.get(JSON.stringify(strokes)) ?? null,
    revision: asking.revision,
    answered: fresh ? asking.revision : -1,
    mask: fresh?.mask ?? null,
    score: fresh?.score ?? null,
  };
  props.value = board.value;
}

// The answer's mask made into pictures, with the strokes on it that it does not know of yet.
function drawCover(known = board.covered ?? 0) {
  board.covered = known;
  const { answer } = board;
  const { strokes, invert } = board.state;
  const source = answer?.overlay;
  const lay = (cover) => {
    const later = [...strokes.slice(known), ...(board.now?.stroke ? [board.now.stroke] : [])];
    if (later.length) cover ??= emptyCover(board.value);
    for (const stroke of later) strokeOnCover(cover, stroke, board.value, invert);
    board.cover = cover;
    refresh();
  };
  if (!source) return lay(null);
  const picture = new Image();
  picture.onload = () => board.answer === answer && lay(coverOf(picture));
  picture.src = source;
  return undefined;
}
