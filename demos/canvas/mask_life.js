// What is seen around the picture, and what reaches the canvas from outside: sliders, files, values and answers.
const shell = find(".board");
const pictureOf = (value) => value.image && pictures.get(urlOf(value.image, value.preview));

// Puts the view where `zoom` says: the whole picture in the middle, or closer with some of it in the middle.
function lookAgain() {
  const { value, zoom } = board;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!value.width || !width) return;
  const k = viewOf(value, width, height, MARGIN).k * zoom.level;
  const whole = zoom.level < 1.01;
  zoom.x = whole ? value.width / 2 : clamp(zoom.x, 0, value.width);
  zoom.y = whole ? value.height / 2 : clamp(zoom.y, 0, value.height);
  board.view = { k, x: width / 2 - zoom.x * k, y: height / 2 - zoom.y * k, width, height };
  refresh();
}

function layOut() {
  if (shell.hidden) return;
  const dark = document.body.classList.contains("dark");
  const look = { ...fitBacking(), dark, value: board.value, mode: board.mode, opacity: board.opacity };
  const picture = pictureOf(board.value);
  if (!picture) return context.clearRect(0, 0, look.width, look.height);
  const { view, state, now } = board;
  paintMask(context, picture, board.cover, view, look);
  if (board.mode !== "overlay" && !now) return undefined;
  const box = now?.box ?? state.box;
  if (box) paintBox(context, box, view, look.accent);
  paintDots(context, now?.point ? [...state.points, now.point] : state.points, view);
  if (board.corner && !box) paintDots(context, [[board.corner.x, board.corner.y, 1]], view);
  const brush = board.tool === "brush" || board.tool === "erase";
  const at = board.cross ?? (board.hover && board.toScene(board.hover));
  if (brush && at) paintBrush(context, at, board.radius(), view);
  if (board.cross) paintCross(context, board.cross, view);
  return undefined;
}

let frame = 0;
let stage = "";
function refresh() {
  const { width, height } = board.view;
  if (width !== canvas.clientWidth || height !== canvas.clientHeight) {
    board.view = { ...board.view, width: canvas.clientWidth, height: canvas.clientHeight };
    lookAgain();
  }
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(layOut);
  showState();
}

function showState() {
  const { state, value, answer } = board;
  shell.hidden = !(props.inline || value.opened);
  shell.dataset.state = value.image ? "ready" : "empty";
  shell.classList.toggle("inline", Boolean(props.inline));
  shell.setAttribute("aria-label", value.title || "Mask");
  canvas.setAttribute("aria-label", `${value.title || "Picture"}. ${answer ? spokenOf(answer) : "No mask yet"}`);
  for (const button of element.querySelectorAll("[data-tool]")) button.ariaPressed = button.dataset.tool === board.tool;
  for (const button of element.querySelectorAll("[data-flag]")) button.ariaPressed = state[button.dataset.flag];
  const able = { undo: past.can(-1), redo: past.can(1), clear: !isBlank(state), use: !isBlank(state) && !board.refused };
  for (const [name, on] of Object.entries(able)) find(`[data-act=${name}]`).disabled = !on;
  find(".save").classList.toggle("off", !able.use);
  find("[data-act=use]").textContent = props.verb;
  find("[data-act=use]").hidden = !props.verb;
  if (props.told.empty) find(".empty p").textContent = props.told.empty;
  find("[data-act=remove]").textContent = props.told.remove ?? "";
  find("[data-act=remove]").hidden = !props.told.remove || !value.image;
  find(".level").textContent = `${Math.round(board.zoom.level * 100)} %`;
  find("[data-for=brush]").hidden = board.tool !== "brush" && board.tool !== "erase";
  const note = find(".note");
  note.querySelector("b").textContent = value.title && !board.note ? `${value.title}.` : "";
  const adding = state.start && !state.points.length && board.tool === "include";
  const idle = board.tool === "include" && isBlank(state) ? props.told.idle : "";
  note.querySelector("span").textContent = board.note || (adding ? ADDING : idle || HINTS[board.tool]);
  note.classList.toggle("bad", board.bad);
  note.setAttribute("role", board.bad ? "alert" : "status");
  const working = board.preparing ? "Preparing the picture… you can click already." : "Finding the outline…";
  find(".working").textContent = working;
  find(".working").hidden = !board.preparing && !asking.waiting;
  showSure();
  showSliders();
}

// How sure the model is, and another way where it is not.
function showSure() {
  const { answer, state } = board;
  const colours = answer?.model === "grabcut";
  const scored = answer && answer.score !== null && !colours;
  find(".sure").hidden = !answer || !(scored || colours);
  find(".sure").textContent = colours ? "Outlined by colour (GrabCut)" : `Predicted IoU ${answer?.score?.toFixed(2)}`;
  find(".sure").title = colours ? "" : "How well the model expects its mask to fit: 1 is perfect";
  const unsure = scored && answer.score < props.doubt && !asking.waiting;
  const chosen = state.model === "grabcut";
  find(".doubt").hidden = !unsure && !chosen;
  find(".doubt span").textContent = chosen ? "" : "The model is unsure of this outline.";
  find("[data-act=colours]").textContent = chosen ? "Back to the model" : "Refine with GrabCut";
}

function showSliders() {
  for (const range of element.querySelectorAll("[data-set]")) {
    const [low, high] = props.sliders[range.dataset.set];
    Object.assign(range, { min: low, max: high, value: board.state[range.dataset.set] });
    range.nextElementSibling.textContent = `${board.state[range.dataset.set]} px`;
  }
  const shown = { size: [board.size, " px"], opacity: [Math.round(board.opacity * 100), " %"] };
  for (const range of element.querySelectorAll("[data-look]")) {
    const [value, unit] = shown[range.dataset.look];
    range.value = value;
    range.nextElementSibling.textContent = value + unit;
  }
}

const spokenOf = (answer) => `The mask covers ${Math.round(answer.part * 100)} percent of the picture`;
const announce = (text) => (find(".said").textContent = text);

// --- controls
for (const range of element.querySelectorAll("[data-set]")) {
  const state = () => ({ ...board.state, [range.dataset.set]: range.valueAsNumber });
  range.addEventListener("input", () => become(state())); // live: one question at a time, the last one wins
  range.addEventListener("change", () => keep(state()));
}
for (const range of element.querySelectorAll("[data-look]")) {
  range.addEventListener("input", () => {
    if (range.dataset.look === "size") board.size = range.valueAsNumber;
    else board.opacity = range.valueAsNumber / 100;
    refresh();
  });
}
const press = (query, act) => {
  for (const button of element.querySelectorAll(query)) button.addEventListener("click", () => act(button.dataset));
};
const acts = { undo: () => board.travel(-1), redo: () => board.travel(1) };
press("[data-act]", ({ act }) => (acts[act] ?? board[act])());
press("[data-tool]", ({ tool }) => board.choose(tool));
press("[data-flag]", ({ flag }) => keep({ ...board.state, [flag]: !board.state[flag] }));
press("[data-save]", ({ save }) => {
  find(".save").open = false;
  publish();
  trigger("save", { kind: save, tint: tint });
});
for (const sheet of element.querySelectorAll("details")) {
  sheet.addEventListener("keydown", (event) => event.key === "Escape" && (sheet.open = false));
  sheet.addEventListener("focusout", (event) => !sheet.contains(event.relatedTarget) && (sheet.open = false));
}

// --- from outside
async function open(file, role) {
  const incoming = file && (await sent(file, "Reading the file…"));
  if (!incoming) return;
  publish();
  props.value = { ...board.value, incoming, role };
  trigger("receive");
}

function receive() {
  const value = props.value ?? NOTHING;
  const shown = board.value.opened;
  busy("");
  if (value.image?.path === board.value.image?.path && stage === stageOf(value)) {
    board.value = { ...board.value, opened: value.opened, title: value.title, purpose: value.purpose };
  } else {
    begin(value);
  }
  refresh();
  if (value.opened && !shown) canvas.focus({ preventScroll: true });
}

// Another picture, or the same one afresh: nothing of what was before stays.
const stageOf = (value) => `${value.image?.path} ${value.begun}`;
function begin(value) {
  stage = stageOf(value);
  board.interrupt();
  const given = Object.fromEntries(Object.keys(CLEAN).map((name) => [name, value[name] ?? CLEAN[name]]));
  asking.forget();
  papers.clear();
  past = createHistory(keyOf);
  Object.assign(board, { value, state: { ...given, strokes: [] }, answer: null, cover: null, note: "" });
  Object.assign(board, { bad: false, refused: false, now: null, corner: null, cross: null, hover: null, tool: "include", mode: "overlay" });
  past.push(board.state);
  if (!value.image) return;
  const url = urlOf(value.image, value.preview);
  load(url, () => (setTint(pictures.get(url)), refresh()));
  if (pictures.get(url)) setTint(pictures.get(url));
  board.zoom = { level: 1, x: value.width / 2, y: value.height / 2 };
  board.view = { ...board.view, width: 0 };
  board.preparing = true;
  trigger("prepare");
  asking.ask(board.state);
}

function answered() {
  const told = props.answer;
  if (!told || told.image !== board.value.image?.path) return;
  board.preparing = false;
  asking.take(told);
  refresh();
}

// What is not a mask: the picture is prepared, a dropped mask is read, a file is ready, something was wrong.
function heard() {
  const { news } = props;
  if (!news || news.image !== (board.value.image?.path ?? null)) return;
  busy("");
  if (news.prepared) board.preparing = false;
  if (news.start) begun(news);
  if (news.file) save(news.file);
  if (news.note) Object.assign(board, { note: news.note, bad: Boolean(news.bad) });
  refresh();
}

// A dropped mask takes the place of everything that was done; what is said of it stays until the next step.
function begun({ start, note }) {
  const state = { ...board.state, points: [], box: null, strokes: [], start };
  board.told = { key: keyOf(state), note: note ?? "" };
  keep(state);
}

function save({ path, orig_name }) {
  const link = document.createElement("a");
  link.href = board.value.image.url.replace(/file=.*$/, `file=${path}`);
  link.download = orig_name;
  link.click();
}

acceptFiles(open);
listenToMask(board);
watch("value", receive);
watch("answer", answered);
watch("news", heard);
watchStage(refresh);
receive();
