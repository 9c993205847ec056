// Collages from collages: pure functions of a scene, whose layers lie back to front.
const newId = () => Array.from({ length: 8 }, () => Math.floor(Math.random() * 16).toString(16)).join("");
const layerOf = (scene, id) => scene.layers.find((layer) => layer.id === id);
const withChanged = (scene, layer) =>
  settled({ ...scene, layers: scene.layers.map((other) => (other.id === layer.id ? layer : other)) });
const without = (scene, id) => settled({ ...scene, layers: scene.layers.filter((layer) => layer.id !== id) });

// The layer at another place, counted from the back.
function reordered(scene, id, place) {
  const others = scene.layers.filter((layer) => layer.id !== id);
  const at = clamp(place, 0, others.length);
  const order = [...others.slice(0, at), layerOf(scene, id), ...others.slice(at)];
  return settled({ ...scene, layers: order.map((layer, z) => ({ ...layer, z })) });
}

// A copy just above the layer, a little aside.
function duplicated(scene, id) {
  const layer = layerOf(scene, id);
  const copy = tidy({ ...layer, id: newId(), x: layer.x + 0.04, y: layer.y + 0.04, locked: false, visible: true }, scene);
  const layers = scene.layers.flatMap((other) => (other === layer ? [layer, copy] : [other]));
  return { ...settled({ ...scene, layers: layers.map((other, z) => ({ ...other, z })) }), selected: copy.id };
}

// As large as needed to leave nothing of the canvas free.
function covering(layer, scene) {
  const [left, top, right, bottom] = layer.box;
  const scale = Math.max(1, ((right - left) / (bottom - top)) * (scene.height / scene.width));
  return { ...layer, x: 0.5, y: 0.5, scale, angle: 0 };
}

function covers(layer, scene) {
  const box = boxOf(layer, scene);
  const over = (centre, length, side) => centre - length / 2 < 2 && centre + length / 2 > side - 2;
  return layer.angle === 0 && over(box.x, box.width, scene.width) && over(box.y, box.height, scene.height);
}

// Another format: backdrops still cover the canvas, the rest keeps its size and its place in proportion.
function resized(scene, width, height) {
  const next = { ...scene, width, height };
  const layers = scene.layers.map((layer) =>
    covers(layer, scene) ? covering(layer, next) : tidy({ ...layer, scale: (layer.scale * scene.width) / width }, next),
  );
  return settled({ ...next, layers });
}

// What Python made of `base`, with what was done by hand in the meantime: `mine` is what `base` has become.
function merged(base, mine, theirs) {
  const shared = theirs.layers.some((layer) => layerOf(base, layer.id));
  if (base.layers.length && !shared) return theirs; // another collage altogether
  const changed = new Map(theirs.layers.map((layer) => [layer.id, layer]));
  const kept = byDepth(mine.layers).map((layer) => {
    const answer = changed.get(layer.id);
    const same = !answer || answer.image.path === layerOf(base, layer.id)?.image.path;
    return same ? layer : { ...layer, ...answer, prompt: layer.prompt };
  });
  const added = byDepth(theirs.layers).filter((layer) => !layerOf(base, layer.id));
  const layers = [...kept, ...added].map((layer, z) => ({ ...layer, z }));
  const { width, height, colour } = mine;
  return settled({ ...theirs, width, height, colour, layers });
}
