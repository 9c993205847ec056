// Pointer, wheel and key input of the mask canvas. A gesture is a draft that `board` shows and, when it ends, keeps.
const SLIP = 5; // CSS pixels that a click may move without being a drag
const LONG = 450; // ms after which a resting finger excludes
const STEP = 8; // CSS pixels that an arrow key moves the cross by
const TOOL_KEYS = { i: "include", x: "exclude", b: "box", p: "brush", e: "erase" };

function listenToMask(board) {
  const fingers = new Map(); // pointer id -> current screen point
  let gesture = null; // { kind, start on the screen, and what the kind needs }
  let timer = 0;
  let space = false;

  const inside = (point) => {
    const { width, height } = board.value;
    return point.x >= 0 && point.y >= 0 && point.x <= width && point.y <= height;
  };
  const within = (point) => {
    const { width, height } = board.value;
    return { x: rounded(clamp(point.x, 0, width), 2), y: rounded(clamp(point.y, 0, height), 2) };
  };
  const excludes = (event) => event.button === 2 || event.shiftKey || board.tool === "exclude";
  const paints = () => board.tool === "brush" || board.tool === "erase";

  function begin(event) {
    if (!board.ready() || event.button > 2) return;
    canvas.focus({ preventScroll: true });
    const start = pointOf(event);
    fingers.set(event.pointerId, start);
    capture(event.pointerId);
    board.hideCross();
    if (fingers.size === 2) return twoFingers();
    if (fingers.size > 2) return undefined;
    if (event.button === 1 || space) return (event.preventDefault(), (gesture = { kind: "pan", start }));
    const at = board.toScene(start);
    if (event.altKey) return board.removeNear(start);
    if (!inside(at)) return undefined;
    if (paints()) return beginStroke(start, at, event);
    gesture = { kind: "dot", start, label: excludes(event) ? 0 : 1, touch: event.pointerType === "touch" };
    if (gesture.touch) timer = setTimeout(() => longPress(start), LONG);
    if (!gesture.touch) board.draft({ point: [within(at).x, within(at).y, gesture.label] });
    return undefined;
  }

  function longPress(start) {
    if (!gesture || gesture.kind !== "dot") return;
    const at = within(board.toScene(start));
    gesture = null;
    navigator.vibrate?.(15);
    board.addPoint(at.x, at.y, 0);
  }

  function beginStroke(start, at, event) {
    const erase = board.tool === "erase" || event.button === 2 || event.shiftKey;
    const spot = within(at);
    gesture = { kind: "stroke", start, touch: event.pointerType === "touch" };
    board.beginStroke(erase, spot);
  }

  function twoFingers() {
    clearTimeout(timer);
    board.cancelDraft();
    gesture = { kind: "pinch", from: [...fingers.values()] };
  }

  function move(event) {
    const point = pointOf(event);
    board.hover = event.pointerType === "touch" ? null : point;
    if (!fingers.has(event.pointerId)) return board.refresh();
    const before = fingers.get(event.pointerId);
    fingers.set(event.pointerId, point);
    if (!gesture) return undefined;
    if (gesture.kind === "pinch") return pinch();
    if (gesture.kind === "pan") return board.pan(point.x - before.x, point.y - before.y);
    const at = within(board.toScene(point));
    if (gesture.kind === "stroke") return board.continueStroke(at);
    if (Math.hypot(point.x - gesture.start.x, point.y - gesture.start.y) > SLIP) drag();
    if (gesture.kind === "box") return board.draft({ box: spanned(gesture.from, at) });
    if (!gesture.touch) board.draft({ point: [at.x, at.y, gesture.label] });
    return undefined;
  }

  // A click that moves: with the box tool a box, with a finger nothing (no dot where nobody meant one).
  function drag() {
    clearTimeout(timer);
    if (board.tool === "box" && gesture.kind === "dot" && gesture.label) {
      gesture = { kind: "box", start: gesture.start, from: within(board.toScene(gesture.start)) };
    } else if (gesture.touch && gesture.kind === "dot") {
      gesture = null;
      board.cancelDraft();
    }
  }

  function pinch() {
    const to = [...fingers.values()];
    const [a, b] = gesture.from;
    if (to.length < 2) return;
    const apart = (p, q) => Math.max(1, Math.hypot(p.x - q.x, p.y - q.y));
    const middle = (p, q) => ({ x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 });
    const [was, is] = [middle(a, b), middle(to[0], to[1])];
    board.zoomAt(apart(to[0], to[1]) / apart(a, b), was);
    board.pan(is.x - was.x, is.y - was.y);
    gesture.from = to;
  }

  function end(event) {
    if (!fingers.delete(event.pointerId)) return;
    clearTimeout(timer);
    const done = gesture;
    if (done?.kind === "pinch") {
      if (fingers.size === 0) gesture = null;
      return;
    }
    gesture = null;
    if (!done || event.type === "pointercancel") return board.cancelDraft();
    const at = within(board.toScene(pointOf(event)));
    if (done.kind === "stroke") return board.endStroke();
    if (done.kind === "box") return board.setBox(spanned(done.from, at));
    if (done.kind === "dot") return board.addPoint(at.x, at.y, done.label);
    return undefined;
  }

  function wheel(event) {
    if (!board.ready() || (document.activeElement !== canvas && !event.ctrlKey)) return; // else the page scrolls
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 16 : 1);
    board.zoomAt(Math.exp(-clamp(pixels, -120, 120) * (event.ctrlKey ? 0.01 : 0.002)), pointOf(event));
  }

  function key(event) {
    if (!board.ready() || travelled(event, board.travel)) return undefined;
    if (event.ctrlKey || event.metaKey) return event.key === "Enter" ? (event.preventDefault(), board.use()) : undefined;
    const act = actOf(event);
    if (!act) return undefined;
    event.preventDefault();
    return act();
  }

  function actOf(event) {
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const far = event.shiftKey ? 6 : 1;
    if (arrow) return () => board.moveCross(arrow[0] * STEP * far, arrow[1] * STEP * far);
    if (event.altKey) return null;
    if (TOOL_KEYS[event.key.toLowerCase()]) return () => board.choose(TOOL_KEYS[event.key.toLowerCase()]);
    return {
      Enter: () => board.atCross(event.shiftKey),
      " ": () => ((space = true), (canvas.style.cursor = "grab")),
      Delete: board.removeLast,
      Backspace: board.removeLast,
      "+": () => board.zoomAt(1.25),
      "=": () => board.zoomAt(1.25),
      "-": () => board.zoomAt(0.8),
      0: board.fit,
      "[": () => board.resizeBrush(0.85),
      "]": () => board.resizeBrush(1.18),
      v: board.look,
      V: board.look,
      "?": () => (find(".keys").open = !find(".keys").open),
      Escape: () => (gesture || board.corner ? ((gesture = null), board.cancelDraft()) : board.close()),
    }[event.key];
  }

  // What has begun on one picture does not end on another.
  board.interrupt = () => (clearTimeout(timer), (gesture = null));
  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("pointerleave", () => ((board.hover = null), board.refresh()));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", wheel, { passive: false });
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("keyup", (event) => event.key === " " && ((space = false), (canvas.style.cursor = "")));
}

const spanned = (a, b) => [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
