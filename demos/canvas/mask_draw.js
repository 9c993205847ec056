// Painting the mask canvas. A cover is the mask as the server sent it, made into pictures that can be laid over.
const TINTS = [[99, 102, 241], [236, 72, 153], [34, 197, 94]];
let tint = TINTS[0];
const DOT = 7; // radius of a click's mark in CSS pixels
const INCLUDE = "#15803d";
const EXCLUDE = "#b91c1c";

const blank = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

// The first tint that is far from a picture's colours (the tenth nearest of its 256 blocks decides), or the farthest.
function setTint(picture) {
  const context = blank(16, 16).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, 16, 16);
  const { data } = context.getImageData(0, 0, 16, 16);
  const far = ([r, g, b]) => {
    const apart = (i) => Math.hypot(data[i] - r, data[i + 1] - g, data[i + 2] - b);
    return Array.from({ length: 256 }, (_, i) => apart(4 * i)).sort((x, y) => x - y)[10];
  };
  tint = TINTS.find((other) => far(other) > 90) ?? TINTS.reduce((best, other) => (far(other) > far(best) ? other : best));
}

// An empty cover for a picture of this size; brush strokes are seen on it before the server has answered.
function emptyCover(value) {
  const k = Math.min(1, 1536 / Math.max(value.width, value.height));
  const [width, height] = [Math.max(1, Math.round(value.width * k)), Math.max(1, Math.round(value.height * k))];
  return { tint: blank(width, height), edge: blank(width, height), width, height, version: 0 };
}

// The mask's grey levels as the tint's alpha, and its outline: pixels inside beside one outside.
function coverOf(picture) {
  const [width, height] = [picture.naturalWidth, picture.naturalHeight];
  const cover = { tint: blank(width, height), edge: blank(width, height), width, height, version: 0 };
  const context = cover.tint.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const levels = context.getImageData(0, 0, width, height);
  const edges = new ImageData(width, height);
  const grey = (i) => levels.data[4 * i + 3]; // already moved into alpha, for the row above and the pixel before
  for (let i = 0; i < width * height; i += 1) {
    const level = levels.data[4 * i];
    [levels.data[4 * i], levels.data[4 * i + 1], levels.data[4 * i + 2]] = tint;
    levels.data[4 * i + 3] = level;
    const inside = level >= 128;
    for (const other of [i % width ? i - 1 : i, i >= width ? i - width : i]) {
      if (other !== i && grey(other) >= 128 !== inside) edges.data[4 * (inside ? i : other) + 3] = 255;
    }
  }
  context.putImageData(levels, 0, 0);
  const line = cover.edge.getContext("2d");
  line.putImageData(edges, 0, 0);
  line.globalCompositeOperation = "source-in";
  line.fillStyle = "#fff";
  line.fillRect(0, 0, width, height);
  return cover;
}

// One brush stroke, in pixels of the picture, on a canvas that is `k` times its size.
function drawStroke(context, stroke, k, colour, operation) {
  context.save();
  context.globalCompositeOperation = operation;
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = 2 * stroke.radius * k;
  context.lineCap = context.lineJoin = "round";
  const path = new Path2D();
  stroke.points.forEach(([x, y], i) => (i ? path.lineTo(x * k, y * k) : path.moveTo(x * k, y * k)));
  if (stroke.points.length === 1) {
    const [[x, y]] = stroke.points;
    path.arc(x * k, y * k, stroke.radius * k, 0, 2 * Math.PI);
    context.fill(path);
  } else {
    context.stroke(path);
  }
  context.restore();
}

function strokeOnCover(cover, stroke, value, inverted) {
  const operation = stroke.erase !== inverted ? "destination-out" : "source-over";
  drawStroke(cover.tint.getContext("2d"), stroke, cover.width / value.width, `rgb(${tint})`, operation);
  cover.version += 1;
}

// The strokes as Python reads them: 128 untouched, 255 painted, 0 erased. Beyond 16 megapixels browsers refuse a
// canvas, so a larger picture's strokes are sent smaller.
function strokesPicture(strokes, value) {
  const k = Math.min(1, Math.sqrt(16e6 / (value.width * value.height)));
  const paper = blank(Math.round(value.width * k), Math.round(value.height * k));
  const context = paper.getContext("2d");
  context.fillStyle = "rgb(128,128,128)";
  context.fillRect(0, 0, paper.width, paper.height);
  for (const stroke of strokes) drawStroke(context, stroke, k, stroke.erase ? "#000" : "#fff", "source-over");
  return new Promise((done) => paper.toBlob((blob) => done(new File([blob], "strokes.png", { type: "image/png" }))));
}

// What `fill` draws, seen through the mask; kept until the mask changes.
const seen = { cover: null, version: -1, mode: "", canvas: null };
function through(cover, mode, fill) {
  if (seen.cover === cover && seen.version === cover.version && seen.mode === mode) return seen.canvas;
  const made = blank(cover.width, cover.height);
  const context = made.getContext("2d");
  fill(context);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(cover.tint, 0, 0);
  Object.assign(seen, { cover, version: cover.version, mode, canvas: made });
  return made;
}

function paintMask(context, picture, cover, view, look) {
  context.clearRect(0, 0, look.width, look.height);
  const frame = [view.x, view.y, look.value.width * view.k, look.value.height * view.k];
  context.imageSmoothingEnabled = view.k < 3;
  context.imageSmoothingQuality = "high";
  if (look.mode === "cutout" && cover) {
    checkers(context, frame, look);
    context.drawImage(through(cover, "cutout", (c) => c.drawImage(picture, 0, 0, cover.width, cover.height)), ...frame);
    return;
  }
  if (look.mode === "mask") {
    context.fillStyle = "#000";
    context.fillRect(...frame);
    const white = (c) => ((c.fillStyle = "#fff"), c.fillRect(0, 0, c.canvas.width, c.canvas.height));
    if (cover) context.drawImage(through(cover, "mask", white), ...frame);
    return;
  }
  context.drawImage(picture, ...frame);
  if (!cover) return;
  context.globalAlpha = look.opacity;
  context.drawImage(cover.tint, ...frame);
  context.globalAlpha = 1;
  context.drawImage(cover.edge, ...frame);
}

function checkers(context, [x, y, width, height], look) {
  const side = 8;
  const tile = blank(2 * side, 2 * side);
  const paint = tile.getContext("2d");
  paint.fillStyle = look.dark ? "#3f3f46" : "#fff";
  paint.fillRect(0, 0, 2 * side, 2 * side);
  paint.fillStyle = look.dark ? "#52525b" : "#d4d4d8";
  paint.fillRect(0, 0, side, side);
  paint.fillRect(side, side, side, side);
  context.fillStyle = context.createPattern(tile, "repeat");
  context.fillRect(x, y, width, height);
}

// Clicks as discs with a plus or a minus, so that colour is not the only difference.
function paintDots(context, points, view) {
  for (const [px, py, label] of points) {
    const { x, y } = toScreen({ x: px, y: py }, view);
    const sign = new Path2D();
    sign.moveTo(x - 3.5, y);
    sign.lineTo(x + 3.5, y);
    if (label) {
      sign.moveTo(x, y - 3.5);
      sign.lineTo(x, y + 3.5);
    }
    const disc = new Path2D();
    disc.arc(x, y, DOT, 0, 2 * Math.PI);
    context.fillStyle = label ? INCLUDE : EXCLUDE;
    context.fill(disc);
    context.lineWidth = 2;
    context.strokeStyle = "#fff";
    context.stroke(disc);
    context.stroke(sign);
  }
}

function paintBox(context, box, view, accent) {
  const [a, b] = [toScreen({ x: box[0], y: box[1] }, view), toScreen({ x: box[2], y: box[3] }, view)];
  const path = new Path2D();
  path.rect(a.x, a.y, b.x - a.x, b.y - a.y);
  strokeTwice(context, path, accent);
}

// The keyboard's place: a cross with an open middle, dark on white.
function paintCross(context, point, view) {
  const { x, y } = toScreen(point, view);
  const path = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + 5 * dx, y + 5 * dy);
    path.lineTo(x + 16 * dx, y + 16 * dy);
  }
  strokeTwice(context, path, "#18181b");
}

function paintBrush(context, point, radius, view) {
  const { x, y } = toScreen(point, view);
  const ring = new Path2D();
  ring.arc(x, y, Math.max(2, radius * view.k), 0, 2 * Math.PI);
  strokeTwice(context, ring, "#18181b");
}
