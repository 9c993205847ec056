// The list of layers, the one in front first: rows that stay the same elements, so that focus and typing stay too.
const list = find(".rows");
const panel = find(".panel");
const rows = new Map(); // layer id -> its row
const rowOf = (id) => rows.get(id);
const TYPING = 700; // ms without a further letter before words are a step of history

function showRows() {
  const ids = new Set(board.scene.layers.map((layer) => layer.id));
  for (const [id, row] of rows) if (!ids.has(id)) dropRow(id, row);
  const order = [...board.scene.layers].reverse();
  const focused = document.activeElement;
  order.forEach((layer, place) => {
    const row = rows.get(layer.id) ?? madeRow(layer.id);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
    showRow(row, layer);
  });
  if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
  find(".none").hidden = order.length > 0;
  reveal(board.scene.selected);
}

// Scrolls the list, and only the list, to a row that has just been opened.
let revealed = null;
function reveal(id) {
  const row = rowOf(id);
  const { parentElement: side } = list;
  if (!row || revealed === id) return;
  revealed = id;
  const [top, bottom] = [row.offsetTop, row.offsetTop + row.offsetHeight];
  if (bottom > side.scrollTop + side.clientHeight) side.scrollTop = Math.min(bottom - side.clientHeight, top);
  if (top < side.scrollTop) side.scrollTop = top;
}

function dropRow(id, row) {
  const inside = row.contains(document.activeElement);
  if (row.contains(panel)) find(".board").append(panel);
  row.remove();
  rows.delete(id);
  if (inside) canvas.focus({ preventScroll: true });
}

function madeRow(id) {
  const row = find("template").content.firstElementChild.cloneNode(true);
  rows.set(id, row);
  row.dataset.id = id;
  const part = (name) => row.querySelector(name);
  part(".eye").addEventListener("click", () => board.toggle(id, "visible"));
  part(".lock").addEventListener("click", () => board.toggle(id, "locked"));
  part(".head").addEventListener("click", (event) => {
    if (!event.target.closest(".eye, .lock")) board.take(id);
  });
  part(".words").addEventListener("focus", () => board.take(id));
  part(".words").addEventListener("input", ({ target }) => {
    const layer = layerOf(board.scene, id);
    if (!layer || layer.locked) return;
    board.become(withChanged(board.scene, { ...layer, prompt: target.value }));
    commitSoon(TYPING);
  });
  part(".words").addEventListener("blur", board.commit);
  part(".words").addEventListener("keydown", (event) => event.key === "Enter" && board.commit());
  part(".thumb").addEventListener("keydown", (event) => walk(event, id));
  dragged(row, id);
  return row;
}

// Up and down between the rows, with the keyboard in a row's picture.
function walk(event, id) {
  const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  const next = step && board.scene.layers[layerOf(board.scene, id).z + step];
  if (event.key === "Delete") {
    event.preventDefault();
    board.take(id);
    board.remove();
  }
  if (!next) return;
  event.preventDefault();
  board.take(next.id);
  rowOf(next.id).querySelector(".thumb").focus();
}

function showRow(row, layer) {
  const part = (name) => row.querySelector(name);
  const name = layer.prompt.trim() || "layer without words";
  const selected = layer.id === board.scene.selected;
  row.classList.toggle("selected", selected);
  row.classList.toggle("hidden", !layer.visible);
  row.classList.toggle("locked", layer.locked);
  row.classList.toggle("wordless", !layer.prompt.trim());
  part(".thumb").setAttribute("aria-label", `Select: ${name}`);
  part(".thumb").ariaPressed = selected;
  const words = part(".words");
  if (words.value.trim() !== layer.prompt.trim() || document.activeElement !== words) words.value = layer.prompt;
  words.readOnly = layer.locked;
  words.setAttribute("aria-label", "Words for this layer");
  label(part(".eye"), layer.visible ? `Hide: ${name}` : `Show: ${name}`, !layer.visible);
  label(part(".lock"), layer.locked ? `Unlock: ${name}` : `Lock: ${name}`, layer.locked);
  const picture = pictures.get(urlOf(layer.image, layer.preview));
  const drawn = [picture?.src, layer.flip, layer.box].join();
  if (row.drawn !== drawn) paintThumb(part(".thumb canvas"), layer, picture);
  row.drawn = drawn;
  if (selected && panel.parentElement !== row) row.append(panel);
}

function label(button, text, pressed) {
  button.ariaLabel = button.title = text;
  button.ariaPressed = pressed;
}

// --- rows are dragged by their dots or their picture; a line shows where the row will go ----------------------
function dragged(row, id) {
  let from = null; // { y, place } while a drag lasts

  // Where the pointer is among the other rows, counted from the top of the list.
  function placeAt(y) {
    const others = [...list.children].filter((other) => other !== row);
    const middle = (other) => other.querySelector(".head").getBoundingClientRect();
    const place = others.filter((other) => y > middle(other).top + middle(other).height / 2).length;
    for (const other of others) delete other.dataset.drop;
    const mark = others[place] ?? others[place - 1];
    if (mark) mark.dataset.drop = others[place] ? "before" : "after";
    return place;
  }

  function end(event) {
    if (!from) return;
    const { place } = from;
    from = null;
    row.classList.remove("dragged");
    for (const other of list.children) delete other.dataset.drop;
    if (place === null || event.type !== "pointerup") return;
    board.keep(reordered({ ...board.scene, selected: id }, id, board.scene.layers.length - 1 - place));
  }

  function begin(event) {
    if (event.button > 0 || layerOf(board.scene, id).locked) return;
    from = { y: event.clientY, place: null };
    event.currentTarget.setPointerCapture(event.pointerId);
  }

  function move(event) {
    if (!from || (from.place === null && Math.abs(event.clientY - from.y) < 5)) return;
    row.classList.add("dragged");
    from.place = placeAt(event.clientY);
    const view = list.parentElement.getBoundingClientRect();
    const out = event.clientY < view.top + 24 ? -8 : event.clientY > view.bottom - 24 ? 8 : 0;
    list.parentElement.scrollBy(0, out);
  }

  for (const grip of row.querySelectorAll(".grip, .thumb")) {
    grip.addEventListener("pointerdown", begin);
    grip.addEventListener("pointermove", move);
    grip.addEventListener("pointerup", end);
    grip.addEventListener("pointercancel", end);
  }
}
