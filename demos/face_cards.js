// Cards of people: which there are, and their order, is decided here; Python adds them and says what it sees on them.
const find = (query) => element.querySelector(query);
const list = find(".cards");
const adder = find(".add");
const nodes = new Map(); // id -> card
const waiting = []; // files that are sent one after the other
const PATIENCE = 60_000; // ms after which an answer is no longer waited for
let cards = []; // { id, noun }, in order
let sending = null; // { file: its count, since }
let count = 0;

const say = (text) => (find(".sr-only").textContent = text);
const placeOf = (id) => cards.findIndex((card) => card.id === id);

function busy(text, bad = false) {
  const line = find(".busy");
  line.textContent = text;
  line.hidden = !text;
  line.className = bad ? "busy bad" : "busy";
}

// What Python gets with every event; pictures stay where they are.
function keep(event, data = {}) {
  props.value = { cards: cards.map(({ id, noun }) => ({ id, noun })), fresh: false, answered: 0 };
  if (event) trigger(event, data);
}

function made(id) {
  const node = find("template").content.firstElementChild.cloneNode(true);
  nodes.set(id, node);
  const part = (query) => node.querySelector(query);
  part("[data-act=left]").addEventListener("click", () => move(id, placeOf(id) - 1));
  part("[data-act=right]").addEventListener("click", () => move(id, placeOf(id) + 1));
  part("[data-act=remove]").addEventListener("click", () => remove(id));
  part(".noun").setAttribute("list", find("datalist").id);
  part(".noun").addEventListener("change", ({ target }) => {
    const card = cards[placeOf(id)];
    card.noun = target.value.trim();
    keep("rename", { id, place: placeOf(id), noun: card.noun });
  });
  part(".noun").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());
  part(".face").addEventListener("keydown", (event) => {
    const to = { ArrowLeft: placeOf(id) - 1, ArrowRight: placeOf(id) + 1, Home: 0, End: cards.length - 1 }[event.key];
    if (to === undefined && event.key !== "Delete") return;
    event.preventDefault();
    if (event.key === "Delete") return remove(id);
    move(id, to);
  });
  dragged(node, part(".face"), id);
  return node;
}

function show() {
  const focused = document.activeElement;
  cards.forEach(({ id, noun }, place) => {
    const node = nodes.get(id) ?? made(id);
    if (list.children[place] !== node) list.insertBefore(node, list.children[place] ?? null);
    const part = (query) => node.querySelector(query);
    const name = `Person ${place + 1}, ${noun || "no word"}`;
    part("b").textContent = place + 1;
    part(".face").setAttribute("aria-label", `${name}; arrows change the order, Delete removes`);
    part(".face").title = "Drag to change the order";
    if (document.activeElement !== part(".noun")) part(".noun").value = noun;
    part(".noun").setAttribute("aria-label", `Word for person ${place + 1} in the prompt`);
    const told = { left: `Move ${name} forward`, right: `Move ${name} back`, remove: `Remove ${name}` };
    for (const [act, text] of Object.entries(told)) {
      const button = part(`[data-act=${act}]`);
      button.setAttribute("aria-label", text);
      button.title = text;
    }
    part("[data-act=left]").disabled = place === 0;
    part("[data-act=right]").disabled = place === cards.length - 1;
  });
  for (const [id, node] of nodes) {
    if (placeOf(id) >= 0) continue;
    node.remove();
    nodes.delete(id);
  }
  adder.hidden = cards.length >= props.most;
  list.append(adder);
  if (focused !== document.activeElement && list.contains(focused)) focused.focus({ preventScroll: true });
}

function move(id, to) {
  const from = placeOf(id);
  if (to < 0 || to >= cards.length || to === from) return;
  const [card] = cards.splice(from, 1);
  cards.splice(to, 0, card);
  show();
  say(`Person ${from + 1} is now person ${to + 1}`);
  keep("order");
}

function remove(id) {
  const place = placeOf(id);
  cards = cards.filter((card) => card.id !== id);
  show();
  const next = cards[Math.min(place, cards.length - 1)];
  (next ? nodes.get(next.id).querySelector(".face") : adder.querySelector("input")).focus({ preventScroll: true });
  say(`Person ${place + 1} removed`);
  busy("");
  keep("remove", { id });
}

// --- a card is dragged by its picture; a line shows where it will go ---------------------------------------------
function dragged(node, face, id) {
  let from = null; // { x, y, place } while a drag lasts

  function placeAt(x, y) {
    const others = cards.filter((card) => card.id !== id).map((card) => nodes.get(card.id));
    for (const other of others) delete other.dataset.drop;
    const before = others.filter((other) => {
      const box = other.getBoundingClientRect();
      return y > box.bottom || (y >= box.top && x > box.left + box.width / 2);
    }).length;
    const mark = others[before] ?? others[before - 1];
    if (mark) mark.dataset.drop = others[before] ? "before" : "after";
    return before;
  }

  function end(event) {
    if (!from) return;
    const { place } = from;
    from = null;
    node.classList.remove("dragged");
    for (const other of nodes.values()) delete other.dataset.drop;
    if (place !== null && event.type === "pointerup") move(id, place);
  }

  face.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    from = { x: event.clientX, y: event.clientY, place: null };
    try {
      face.setPointerCapture(event.pointerId);
    } catch (error) {
      if (error.name !== "NotFoundError") throw error; // a pointer that has gone already
    }
  });
  face.addEventListener("pointermove", (event) => {
    if (!from) return;
    const far = Math.hypot(event.clientX - from.x, event.clientY - from.y) > 6;
    if (from.place === null && !far) return;
    node.classList.add("dragged");
    from.place = placeAt(event.clientX, event.clientY);
  });
  for (const name of ["pointerup", "pointercancel"]) face.addEventListener(name, end);
}

// --- pictures by button, drop and paste -------------------------------------------------------------------------
function add(files, dropped = false) {
  for (const file of files) waiting.push({ file, dropped });
  if (!sending || Date.now() - sending.since > PATIENCE) sendNext();
}

function sendNext() {
  const next = waiting.shift();
  sending = null;
  if (!next) return;
  const { file, dropped } = next;
  if (cards.length >= props.most && !dropped) return full(); // a result that was dropped only restores settings
  if (file.size > props.bytes) {
    busy(`“${file.name}” is larger than ${props.bytes / 2 ** 20} MB; please make it smaller.`, true);
    return sendNext();
  }
  sending = { file: ++count, since: Date.now() };
  busy("Reading the picture…");
  const reader = new FileReader();
  reader.onload = () => keep("bring", { data: reader.result, name: file.name, file: count, dropped });
  reader.onerror = () => {
    busy(`“${file.name}” could not be read.`, true);
    sendNext();
  };
  reader.readAsDataURL(file);
}

function full() {
  waiting.length = 0;
  busy(`${props.most} people are the most; remove one first.`, true);
}

const zone = element.closest("[role=tabpanel]") ?? list;
function over(event, on) {
  if (!event.dataTransfer?.types.includes("Files")) return false;
  event.preventDefault();
  list.classList.toggle("over", on);
  return true;
}
adder.querySelector("input").addEventListener("change", ({ target }) => {
  add([...target.files]);
  target.value = "";
});
zone.addEventListener("dragover", (event) => over(event, true));
zone.addEventListener("dragleave", (event) => over(event, zone.contains(event.relatedTarget)));
zone.addEventListener("drop", (event) => over(event, false) && add([...event.dataTransfer.files], true));
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length || !list.offsetParent) return;
  event.preventDefault();
  add(files);
});

// --- what Python answers ------------------------------------------------------------------------------------------
function receive() {
  const { cards: given = [], fresh = false, answered = 0 } = props.value ?? {};
  if (fresh) {
    cards = given.map(({ id, noun }) => ({ id, noun }));
    busy("");
  }
  for (const card of given) {
    const known = cards[placeOf(card.id)];
    if (known) known.noun = card.noun;
    else if (answered && cards.length < props.most) cards.push({ id: card.id, noun: card.noun });
  }
  show();
  for (const { id, picture, said, name } of given) {
    const node = nodes.get(id);
    if (!node || !picture) continue;
    node.querySelector("img").src = picture;
    node.querySelector(".said").textContent = said;
    node.querySelector(".face").title = `${name}: drag to change the order`;
  }
  keep();
  if (!answered || sending?.file !== answered) return;
  busy("");
  sendNext();
}

const names = find("datalist");
names.id = `face-nouns-${Math.random().toString(36).slice(2)}`;
for (const noun of props.nouns) names.append(Object.assign(document.createElement("option"), { value: noun }));
watch("value", receive);
receive();
