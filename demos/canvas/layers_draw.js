// Painting a collage: layers on a plain canvas, and what can be laid over them.
const HEAT = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // kept to made anew, as in results
const SHAPE = document.createElement("canvas"); // a layer's shape in one colour
const SHEET = document.createElement("canvas");

function heatColour(level) {
  const at = clamp(level, 0, 1) * (HEAT.length - 1);
  const from = Math.min(Math.floor(at), HEAT.length - 2);
  return `rgb(${HEAT[from].map((v, k) => Math.round(v + (HEAT[from + 1][k] - v) * (at - from))).join(" ")})`;
}

function paintCollage(context, scene, pictures, view, look) {
  const frame = [view.x, view.y, scene.width * view.k, scene.height * view.k];
  const order = byDepth(scene.layers).filter((layer) => layer.visible);
  context.clearRect(0, 0, look.width, look.height);
  context.imageSmoothingQuality = "high";
  for (const layer of order) paintLayer(context, layer, scene, pictures, view, 0.25);
  context.save();
  context.beginPath();
  context.rect(...frame);
  context.clip();
  context.fillStyle = scene.colour;
  context.fillRect(...frame);
  for (const layer of order) paintLayer(context, layer, scene, pictures, view, 1);
  if (look.freedom) paintFreedom(context, order, scene, pictures, view, look);
  context.restore();
  if (look.words || look.freedom) paintLabels(context, order, scene, view, look);
  const chosen = order.find((layer) => layer.id === scene.selected);
  if (chosen) paintHandles(context, chosen, scene, view, look);
}

// Each layer's visible shape in the colour of its noise level; where none is, the highest level of all.
function paintFreedom(context, order, scene, pictures, view, look) {
  const { canvas: target } = context;
  const sheets = [SHAPE, SHEET].map((sheet) => {
    Object.assign(sheet, { width: target.width, height: target.height });
    const on = sheet.getContext("2d");
    on.setTransform(context.getTransform());
    return on;
  });
  const [shape, heat] = sheets;
  heat.fillStyle = heatColour(Math.max(0, ...order.map((layer) => layer.noise)));
  heat.fillRect(0, 0, look.width, look.height);
  for (const layer of order) {
    shape.globalCompositeOperation = "source-over";
    shape.clearRect(0, 0, look.width, look.height);
    paintLayer(shape, layer, scene, pictures, view, 1);
    shape.globalCompositeOperation = "source-in";
    shape.fillStyle = heatColour(layer.noise);
    shape.fillRect(0, 0, look.width, look.height);
    heat.drawImage(SHAPE, 0, 0, look.width, look.height);
  }
  context.globalAlpha = 0.72;
  context.drawImage(SHEET, 0, 0, look.width, look.height);
  context.globalAlpha = 1;
}

// A label at each layer's centre, or below the one that is there already; the selected one's has the accent's rim.
function paintLabels(context, order, scene, view, look) {
  const first = (layer) => Number(layer.id === scene.selected);
  const taken = []; // [x, y, half width] of the labels so far
  context.font = "500 13px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (const layer of [...order].reverse().sort((a, b) => first(b) - first(a))) {
    const percent = `${Math.round(layer.noise * 100)} %`;
    const words = layer.prompt.trim() || "no words yet";
    const text = shortened(context, [look.words && words, look.freedom && percent].filter(Boolean).join(" · "), look.width * 0.6);
    const half = context.measureText(text).width / 2 + 9;
    const centre = toScreen(boxOf(layer, scene), view);
    const x = clamp(centre.x, half + 4, look.width - half - 4);
    let y = clamp(centre.y, 16, look.height - 16);
    const meets = ([x2, y2, half2]) => Math.abs(x - x2) < half + half2 + 2 && Math.abs(y - y2) < 26;
    for (let met = taken.find(meets); met && y < look.height - 42; met = taken.find(meets)) y = met[1] + 26;
    taken.push([x, y, half]);
    context.beginPath();
    context.roundRect(x - half, y - 12, 2 * half, 24, 12);
    context.fillStyle = "rgba(24, 24, 27, .86)";
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = first(layer) ? look.accent : "rgba(255, 255, 255, .55)";
    context.stroke();
    context.fillStyle = "#fff";
    context.fillText(text, x, y + 0.5);
  }
}

function shortened(context, text, room) {
  let kept = text;
  while (kept.length > 4 && context.measureText(kept).width > room) kept = `${kept.slice(0, -2).trimEnd()}…`;
  return kept;
}

// A layer's own pixels, as large as a row's little canvas can show them.
function paintThumb(thumb, layer, picture) {
  const on = thumb.getContext("2d");
  on.clearRect(0, 0, thumb.width, thumb.height);
  if (!picture) return;
  const [left, top, right, bottom] = layer.box;
  const shrink = picture.naturalWidth / layer.width;
  const k = Math.min(thumb.width / (right - left), thumb.height / (bottom - top));
  const [width, height] = [(right - left) * k, (bottom - top) * k];
  on.save();
  on.translate(thumb.width / 2, thumb.height / 2);
  on.scale(layer.flip ? -1 : 1, 1);
  on.imageSmoothingQuality = "high";
  on.drawImage(
    picture,
    left * shrink, top * shrink, (right - left) * shrink, (bottom - top) * shrink,
    -width / 2, -height / 2, width, height,
  );
  on.restore();
}
