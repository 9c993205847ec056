// Placement arithmetic. A layer's x, y (centre of its tight alpha box) and scale (that box's unrotated width) are
// fractions of the scene; everything below in pixels is scene pixels, and only `view` knows about the screen.
const EDGE = 1 / 8; // the part of an object that stays inside the scene on each axis
const radians = (degrees) => (degrees * Math.PI) / 180;
const wrapAngle = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

function turned(x, y, degrees) {
  const c = Math.cos(radians(degrees));
  const s = Math.sin(radians(degrees));
  return { x: c * x - s * y, y: s * x + c * y };
}

function boxOf(layer, scene) {
  const [left, top, right, bottom] = layer.box;
  const width = layer.scale * scene.width;
  const height = (width * (bottom - top)) / (right - left);
  return { x: layer.x * scene.width, y: layer.y * scene.height, width, height };
}

// The four corners, clockwise from the object's own top left.
function cornersOf(layer, scene) {
  const box = boxOf(layer, scene);
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([sx, sy]) => {
    const p = turned((sx * box.width) / 2, (sy * box.height) / 2, layer.angle);
    return { x: box.x + p.x, y: box.y + p.y };
  });
}

function isInside(point, layer, scene) {
  const box = boxOf(layer, scene);
  const p = turned(point.x - box.x, point.y - box.y, -layer.angle);
  return Math.abs(p.x) <= box.width / 2 && Math.abs(p.y) <= box.height / 2;
}

// The same placement within the ranges that Python accepts, and never wholly outside the scene.
function tidy(layer, scene) {
  const [left, top, right, bottom] = layer.box;
  const tallest = (LIMITS.scale[1] * scene.height * (right - left)) / ((bottom - top) * scene.width);
  const scale = clamp(layer.scale, LIMITS.scale[0], Math.max(LIMITS.scale[0], Math.min(LIMITS.scale[1], tallest)));
  const next = { ...layer, scale: rounded(scale, 5), angle: rounded(wrapAngle(layer.angle), 2) };
  const corners = cornersOf(next, scene);
  const reach = (axis, size) => {
    const values = corners.map((corner) => corner[axis] / size);
    return (Math.max(...values) - Math.min(...values)) * (0.5 - EDGE);
  };
  const [rx, ry] = [reach("x", scene.width), reach("y", scene.height)];
  next.x = rounded(clamp(layer.x, -Math.min(rx, -LIMITS.x[0]), 1 + Math.min(rx, LIMITS.x[1] - 1)), 5);
  next.y = rounded(clamp(layer.y, -Math.min(ry, -LIMITS.y[0]), 1 + Math.min(ry, LIMITS.y[1] - 1)), 5);
  return next;
}

// The rotate knob above the object's top edge and the foot of its arm, on the screen; below the bottom edge where the
// stage has no room above.
function knobOf(layer, scene, view) {
  const box = boxOf(layer, scene);
  const centre = toScreen(box, view);
  const half = (box.height / 2) * view.k;
  const reach = (length) => {
    const arm = turned(0, -length, layer.angle);
    return { x: centre.x + arm.x, y: centre.y + arm.y };
  };
  const above = reach(half + KNOB_ARM);
  const inside = above.x > KNOB && above.y > KNOB && above.x < view.width - KNOB && above.y < view.height - KNOB;
  const side = inside ? 1 : -1;
  return { ...reach(side * (half + KNOB_ARM)), foot: reach(side * half) };
}

const moved = (layer, dx, dy) => ({ ...layer, x: layer.x + dx, y: layer.y + dy });

// Pulls corner `index` to `point`; the opposite corner stays, or the centre with `aboutCentre`.
function scaledByCorner(layer, scene, index, point, aboutCentre) {
  const corners = cornersOf(layer, scene);
  const centre = boxOf(layer, scene);
  const anchor = aboutCentre ? { x: centre.x, y: centre.y } : corners[(index + 2) % 4];
  const d = { x: corners[index].x - anchor.x, y: corners[index].y - anchor.y };
  const wanted = ((point.x - anchor.x) * d.x + (point.y - anchor.y) * d.y) / (d.x * d.x + d.y * d.y);
  const t = tidy({ ...layer, scale: layer.scale * Math.max(wanted, 0.01) }, scene).scale / layer.scale;
  const next = { ...layer, scale: layer.scale * t };
  if (!aboutCentre) {
    next.x = (anchor.x + (d.x * t) / 2) / scene.width;
    next.y = (anchor.y + (d.y * t) / 2) / scene.height;
  }
  return next;
}

function turnedTowards(layer, scene, from, to, snap) {
  const centre = boxOf(layer, scene);
  const heading = (p) => (Math.atan2(p.y - centre.y, p.x - centre.x) * 180) / Math.PI;
  const angle = layer.angle + heading(to) - heading(from);
  return { ...layer, angle: snap ? Math.round(angle / 15) * 15 : angle };
}

// Two fingers: the segment a-b becomes the segment c-d; the object moves, turns and grows with it.
function pinched(layer, scene, [a, b], [c, d]) {
  const before = { x: b.x - a.x, y: b.y - a.y };
  const after = { x: d.x - c.x, y: d.y - c.y };
  const growth = Math.hypot(after.x, after.y) / Math.max(Math.hypot(before.x, before.y), 1e-6);
  const turn = ((Math.atan2(after.y, after.x) - Math.atan2(before.y, before.x)) * 180) / Math.PI;
  const box = boxOf(layer, scene);
  const offset = turned(box.x - (a.x + b.x) / 2, box.y - (a.y + b.y) / 2, turn);
  return {
    ...layer,
    x: ((c.x + d.x) / 2 + offset.x * growth) / scene.width,
    y: ((c.y + d.y) / 2 + offset.y * growth) / scene.height,
    scale: layer.scale * growth,
    angle: layer.angle + turn,
  };
}
