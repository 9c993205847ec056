// Painting: a pure function of (context, scene, pictures, view, look). Pictures are a Map from URL to loaded image.
const KNOB_ARM = 30; // CSS pixels from the object's edge to the rotate knob
const KNOB = 7; // radius of a handle
const byDepth = (layers) => [...layers].sort((a, b) => a.z - b.z);

function paint(context, scene, pictures, view, look) {
  context.clearRect(0, 0, look.width, look.height);
  context.imageSmoothingQuality = "high";
  const ground = scene.background && pictures.get(urlOf(scene.background, scene.preview));
  if (!ground) return;
  const frame = [view.x, view.y, scene.width * view.k, scene.height * view.k];
  for (const layer of byDepth(scene.layers)) paintLayer(context, layer, scene, pictures, view, 0.25);
  context.drawImage(ground, ...frame);
  context.save();
  context.beginPath();
  context.rect(...frame);
  context.clip();
  for (const layer of byDepth(scene.layers)) paintLayer(context, layer, scene, pictures, view, 1);
  context.restore();
  const chosen = scene.layers.find((layer) => layer.id === scene.selected && layer.visible);
  if (chosen) paintHandles(context, chosen, scene, view, look);
}

function paintLayer(context, layer, scene, pictures, view, strength) {
  const picture = pictures.get(urlOf(layer.image, layer.preview));
  if (!picture || !layer.visible) return;
  const [left, top, right, bottom] = layer.box;
  const shrink = picture.naturalWidth / layer.width; // a preview is smaller than the file that Python reads
  const box = boxOf(layer, scene);
  const centre = toScreen(box, view);
  const [width, height] = [box.width * view.k, box.height * view.k];
  context.save();
  context.globalAlpha = layer.opacity * strength;
  context.translate(centre.x, centre.y);
  context.rotate(radians(layer.angle));
  context.scale(layer.flip ? -1 : 1, 1);
  context.drawImage(
    picture,
    left * shrink, top * shrink, (right - left) * shrink, (bottom - top) * shrink,
    -width / 2, -height / 2, width, height,
  );
  context.restore();
}

function paintHandles(context, layer, scene, view, look) {
  const corners = cornersOf(layer, scene).map((corner) => toScreen(corner, view));
  const outline = new Path2D();
  corners.forEach((corner, i) => (i ? outline.lineTo(corner.x, corner.y) : outline.moveTo(corner.x, corner.y)));
  outline.closePath();
  if (!layer.locked) {
    const knob = knobOf(layer, scene, view);
    outline.moveTo(knob.foot.x, knob.foot.y);
    outline.lineTo(knob.x, knob.y);
  }
  context.lineJoin = "round";
  strokeTwice(context, outline, look.accent);
  if (layer.locked) return;
  for (const spot of [...corners, knobOf(layer, scene, view)]) {
    const disc = new Path2D();
    disc.arc(spot.x, spot.y, KNOB, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill(disc);
    context.lineWidth = 2;
    context.strokeStyle = look.accent;
    context.stroke(disc);
  }
}
