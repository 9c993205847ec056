// What both canvases share: the canvas and its backing store, loaded pictures, files from outside, pointer positions.
const urlOf = (file, preview) => (preview ?? file).url;
const find = (query) => element.querySelector(query);
const canvas = find("canvas");
const context = canvas.getContext("2d");
const pictures = new Map(); // URL -> loaded image

// Makes the backing store as fine as the screen, and returns the stage's size in CSS pixels with the accent colour.
function fitBacking() {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const dense = Math.min(window.devicePixelRatio || 1, 2);
  const [columns, rows] = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  context.setTransform(dense, 0, 0, dense, 0, 0);
  const accent = getComputedStyle(canvas).getPropertyValue("--color-accent").trim() || "#4f46e5";
  return { width, height, accent };
}

const pointOf = (event) => {
  const bounds = canvas.getBoundingClientRect();
  return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
};

// A pointer that has gone already (or a synthetic one) cannot be captured; the gesture works without.
function capture(id) {
  try {
    canvas.setPointerCapture(id);
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
  }
}

// Ctrl+Z, Ctrl+Shift+Z and Ctrl+Y; says whether it was one of them.
function travelled(event, travel) {
  const name = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || (name !== "z" && name !== "y")) return false;
  event.preventDefault();
  travel(name === "y" || event.shiftKey ? 1 : -1);
  return true;
}

function load(url, done) {
  if (!url || pictures.has(url)) return;
  pictures.set(url, null);
  const picture = new Image();
  picture.onload = () => (pictures.set(url, picture), done());
  picture.onerror = () => pictures.delete(url);
  picture.src = url;
}

function busy(text) {
  find(".busy").textContent = text;
  find(".busy").hidden = !text;
}

// Sends a file to the server and returns it as a value that Gradio knows.
async function sent(file, saying) {
  if (saying) busy(saying);
  try {
    const { path, url } = await upload(file);
    return { path, url, orig_name: file.name, meta: { _type: "gradio.FileData" } };
  } catch (error) {
    busy(`The picture could not be sent: ${error.message}`);
    return null;
  }
}

// Files by button, by drop anywhere on the tab and by paste; `open(file, role, all)` gets the first and all of them while
// the stage is shown.
function acceptFiles(open) {
  for (const label of element.querySelectorAll(".pick")) {
    const input = label.querySelector("input");
    input.setAttribute("aria-label", `${label.textContent.trim().replace("…", "")}: choose a picture`);
    input.addEventListener("change", () => {
      open(input.files[0], label.dataset.role ?? "any", [...input.files]);
      input.value = "";
    });
  }
  const taken = ({ files }) => open(files[0], "any", [...files]);
  const stage = find(".stage");
  const zone = element.closest("[role=tabpanel]") ?? stage;
  const over = (event, on) => {
    if (!stage.offsetParent) return false;
    event.preventDefault();
    stage.classList.toggle("over", on);
    return true;
  };
  zone.addEventListener("dragover", (event) => over(event, true));
  zone.addEventListener("dragleave", (event) => over(event, zone.contains(event.relatedTarget)));
  zone.addEventListener("drop", (event) => over(event, false) && taken(event.dataTransfer));
  canvas.addEventListener("paste", (event) => taken(event.clipboardData));
}

// Calls back when the stage changes its size, or light and dark change places.
function watchStage(refresh) {
  new ResizeObserver(refresh).observe(find(".stage"));
  new MutationObserver(refresh).observe(document.body, { attributeFilter: ["class"] });
}

// A white line under the accent line, so that it can be seen on any picture.
function strokeTwice(context, path, accent) {
  for (const [width, colour] of [[4, "rgba(255,255,255,.85)"], [1.75, accent]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke(path);
  }
}
