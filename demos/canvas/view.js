// Between a picture's pixels and the screen: a view is where the picture's corner lies and how large a pixel is.
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const rounded = (value, digits) => Number(value.toFixed(digits));

// Where the scene lies on a stage of CSS size `width` x `height`: contained, centred, with room for the handles.
function viewOf(scene, width, height, margin) {
  const k = Math.min((width - 2 * margin) / scene.width, (height - 2 * margin) / scene.height);
  return { k, x: (width - scene.width * k) / 2, y: (height - scene.height * k) / 2, width, height };
}
const toScreen = (point, view) => ({ x: view.x + point.x * view.k, y: view.y + point.y * view.k });
const toScene = (point, view) => ({ x: (point.x - view.x) / view.k, y: (point.y - view.y) / view.k });
