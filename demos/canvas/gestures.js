// Pointer, wheel and key input. Each function turns an event into a changed layer; `board` owns the state.
const GRAB = { mouse: 12, pen: 16, touch: 22 }; // CSS pixels around a handle that still catch it
const PAUSE = 200; // ms without a further key or wheel step before a run of them is one gesture
const STILL = 3; // CSS pixels that a click may wander

function listen(board) {
  const { canvas } = board;
  const fingers = new Map(); // pointer id -> current screen point
  let gesture = null; // { kind, layer at the start, points at the start, corner }
  let waiting = 0;

  function commitSoon(pause = PAUSE) {
    clearTimeout(waiting);
    waiting = setTimeout(board.commit, pause);
  }

  function gripAt(point, kind) {
    const layer = board.chosen();
    if (!layer || layer.locked) return null;
    const near = (spot) => Math.hypot(spot.x - point.x, spot.y - point.y) <= GRAB[kind];
    if (near(knobOf(layer, board.scene, board.view))) return { kind: "turn" };
    const corner = cornersOf(layer, board.scene).findIndex((spot) => near(toScreen(spot, board.view)));
    return corner < 0 ? null : { kind: "scale", corner };
  }

  function begin(event) {
    if (!board.ready() || event.button > 0) return;
    canvas.focus({ preventScroll: true });
    fingers.set(event.pointerId, pointOf(event));
    capture(event.pointerId);
    if (fingers.size === 2 && board.chosen() && !board.chosen().locked) {
      gesture = { kind: "pinch", layer: board.chosen(), from: [...fingers.values()].map(board.toScene) };
      return;
    }
    if (fingers.size > 1) return;
    const point = pointOf(event);
    const grip = gripAt(point, event.pointerType || "mouse");
    const under = grip ? board.chosen() : board.layerAt(board.toScene(point));
    board.select(under ? under.id : null);
    if (!under) return;
    gesture = { kind: under.locked ? "rest" : "move", ...grip, layer: under, from: [board.toScene(point)], start: grip ? null : point };
    if (under.locked) return;
    canvas.style.cursor = grip ? canvas.style.cursor : "grabbing";
  }

  function move(event) {
    const point = pointOf(event);
    if (!fingers.has(event.pointerId)) return hover(point, event.pointerType);
    fingers.set(event.pointerId, point);
    if (!gesture) return undefined;
    const { start } = gesture;
    if (start && Math.hypot(point.x - start.x, point.y - start.y) > STILL) gesture.start = null;
    return gesture.start || gesture.kind === "rest" ? undefined : board.show(next(gesture, event));
  }

  function next({ kind, layer, from, corner }, event) {
    const points = [...fingers.values()].map(board.toScene);
    const [to] = points;
    if (kind === "pinch") return points.length < 2 ? layer : pinched(layer, board.scene, from, points);
    if (kind === "turn") return turnedTowards(layer, board.scene, from[0], to, event.shiftKey);
    if (kind === "scale") return scaledByCorner(layer, board.scene, corner, to, event.altKey);
    const { width, height } = board.scene;
    return moved(layer, (to.x - from[0].x) / width, (to.y - from[0].y) / height);
  }

  function hover(point, kind) {
    const grip = board.ready() && gripAt(point, kind || "mouse");
    const resting = grip ? (grip.kind === "turn" ? "crosshair" : diagonal(grip.corner)) : null;
    const over = board.ready() && board.layerAt(board.toScene(point));
    canvas.style.cursor = resting || (over ? "grab" : "default");
  }

  // The double arrow that runs along the diagonal through this corner as it is seen on the screen.
  function diagonal(index) {
    const corner = cornersOf(board.chosen(), board.scene)[index];
    const centre = boxOf(board.chosen(), board.scene);
    return (corner.x - centre.x) * (corner.y - centre.y) > 0 ? "nwse-resize" : "nesw-resize";
  }

  function end(event) {
    if (!fingers.delete(event.pointerId)) return;
    if (gesture && (gesture.kind !== "pinch" || fingers.size === 0)) {
      const { start } = gesture;
      gesture = null;
      board.commit();
      if (start && event.type === "pointerup") board.tapped?.(board.toScene(start));
    } else if (gesture) {
      gesture = { ...gesture, kind: "rest" }; // one finger of a pinch is still down: wait for it
    }
    hover(pointOf(event), event.pointerType);
  }

  function wheel(event) {
    const layer = board.chosen();
    if (!layer || layer.locked || document.activeElement !== canvas) return; // else the page scrolls
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 16 : 1);
    board.show({ ...layer, scale: layer.scale * Math.exp(-clamp(pixels, -120, 120) * 0.0012) });
    commitSoon();
  }

  function key(event) {
    if (travelled(event, board.travel) || board.key?.(event) || event.ctrlKey || event.metaKey) return undefined;
    const layer = board.chosen();
    if (event.key === "Escape") return board.select(null);
    if (event.key === "Enter") return (event.preventDefault(), board.selectNext());
    if (!layer || layer.locked || event.altKey) return undefined;
    if (event.key === "Delete" || event.key === "Backspace") return (event.preventDefault(), board.remove());
    const changed = KEYS[event.key]?.(layer, event.shiftKey ? 10 : 1);
    if (!changed) return undefined;
    event.preventDefault();
    board.show(changed);
    return commitSoon();
  }

  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("wheel", wheel, { passive: false });
  canvas.addEventListener("keydown", key);
  canvas.addEventListener("dblclick", () => (board.doubled ?? board.reset)());
  return { commitSoon };
}

const NUDGE = 0.005; // of the scene's width or height; ten times that with Shift
const KEYS = {
  ArrowLeft: (layer, times) => moved(layer, -NUDGE * times, 0),
  ArrowRight: (layer, times) => moved(layer, NUDGE * times, 0),
  ArrowUp: (layer, times) => moved(layer, 0, -NUDGE * times),
  ArrowDown: (layer, times) => moved(layer, 0, NUDGE * times),
  "[": (layer) => ({ ...layer, angle: layer.angle - 2 }),
  "]": (layer) => ({ ...layer, angle: layer.angle + 2 }),
  "{": (layer) => ({ ...layer, angle: layer.angle - 15 }),
  "}": (layer) => ({ ...layer, angle: layer.angle + 15 }),
  "+": (layer) => ({ ...layer, scale: layer.scale * 1.04 }),
  "=": (layer) => ({ ...layer, scale: layer.scale * 1.04 }),
  "-": (layer) => ({ ...layer, scale: layer.scale / 1.04 }),
  f: (layer) => ({ ...layer, flip: !layer.flip }),
  F: (layer) => ({ ...layer, flip: !layer.flip }),
};
