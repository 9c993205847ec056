// A layer's dials: what follows from its size, plain names for what the method calls otherwise, presets.
const DIALS = Object.keys(props.dials.ends);
const NAMES = { auto: "Automatic", backdrop: "Backdrop", object: "Object", keep: "Keep", reinvent: "Reinvent" };

// The larger of the unrotated width and height, each as a fraction of the canvas's own.
function extentOf(layer, scene) {
  const [left, top, right, bottom] = layer.box;
  return Math.max(layer.scale, (((layer.scale * (bottom - top)) / (right - left)) * scene.width) / scene.height);
}

// The authors' rule; `models.collage.dials.auto` is the same in Python.
function autoDials(extent, topmost) {
  const small = 1 - clamp(extent, 0, 1);
  return {
    positive: 0.2 + 0.4 * small,
    negative: 0.9 - 0.5 * (1 - small),
    noise: topmost ? 0.4 : 0.7 - 0.2 * small,
    canny: 0.3 + 0.6 * small,
  };
}

// Layers numbered from back to front, with the dials of those that follow their size.
function settled(scene) {
  const order = byDepth(scene.layers);
  const top = order.findLast((layer) => layer.visible)?.id;
  const layers = order.map((layer, z) => {
    const dials = layer.auto ? autoDials(extentOf(layer, scene), layer.id === top) : {};
    return { ...layer, z, ...dials };
  });
  return { ...scene, layers };
}

const held = props.dials.plain; // the weights of a layer that fully stays in place
const plainOf = (layer) => ({
  stay: clamp((layer.positive / held.positive + layer.negative / held.negative) / 2, 0, 1),
  look: layer.canny,
  freedom: layer.noise,
});
const FROM_PLAIN = {
  stay: (s) => ({ positive: rounded(held.positive * s, 4), negative: rounded(held.negative * s, 4) }),
  look: (canny) => ({ canny }),
  freedom: (noise) => ({ noise }),
};

function presetOf(layer) {
  if (layer.auto) return "auto";
  const alike = (dials) => DIALS.every((name) => Math.abs(dials[name] - layer[name]) < 1e-6);
  return Object.keys(props.presets).find((name) => alike(props.presets[name])) ?? "own";
}
const withPreset = (layer, name) =>
  name === "auto" ? { ...layer, auto: true } : { ...layer, ...props.presets[name], auto: false };
