// The sheet, whose cells arrive one by one, what can be taken away, and the blind vote.
const NAMES = { sheet: "Sheet (PNG)", table: "CSV", report: "report.json" };
let drawn = ""; // the table that stands there, as text

function drawSheet() {
  const { sheet, running = false, progress = {} } = value();
  const meter = find(".meter");
  meter.hidden = !running;
  meter.querySelector("span").textContent = progress.text ?? "";
  meter.querySelector("progress").value = progress.total ? (progress.done + (progress.part ?? 0)) / progress.total : 0;
  find(".blank").hidden = Boolean(sheet);
  find(".sheet table").hidden = !sheet;
  find(".files").hidden = !sheet || !Object.keys(sheet.files ?? {}).length;
  find(".notes").hidden = !sheet?.notes?.length;
  const now = JSON.stringify(sheet ?? null);
  if (now === drawn || !sheet) return;
  drawn = now;
  find(".heading").textContent = sheet.heading;
  find(".notes ul").replaceChildren(...sheet.notes.map((text) => make("li", text)));
  table(sheet);
  files(sheet.files ?? {});
}

function table({ columns, rows, cells }) {
  const head = make("thead");
  const line = make("tr");
  const named = rows.some(Boolean);
  line.append(...(named ? [make("td")] : []), ...columns.map((name) => make("th", name, { scope: "col" })));
  head.append(line);
  const body = make("tbody");
  rows.forEach((name, row) => {
    const across = make("tr");
    if (named) across.append(make("th", name, { scope: "row" }));
    for (const one of cells.filter((cell) => cell.row === row)) across.append(cell(one, columns, name));
    body.append(across);
  });
  find(".sheet table").replaceChildren(head, body);
}

function cell({ column, picture, file, caption, reason }, columns, row) {
  const box = make("td");
  if (picture) {
    const told = [columns[column], row].filter(Boolean).join(", ");
    const link = make("a", "", { href: file, download: "", title: "Download this picture with its recipe" });
    link.append(make("img", "", { src: picture, alt: told, loading: "lazy" }));
    box.append(link, make("div", caption, { class: "caption" }));
  } else {
    box.append(make("div", reason || "…", { class: "waiting" }));
  }
  return box;
}

function files(found) {
  const bar = find(".files");
  bar.replaceChildren();
  if (found.page) {
    const open = make("button", "Look closely", { type: "button", title: "Linked zoom, slider, blink and difference in a new tab" });
    open.addEventListener("click", () => viewer(found.page));
    bar.append(open, make("a", "HTML", { href: found.page, download: "comparison.html" }));
  }
  for (const [name, label] of Object.entries(NAMES)) {
    if (found[name]) bar.append(make("a", label, { href: found[name], download: "" }));
  }
}

// The server sends HTML as a download; the page needs nothing but itself, so it opens from memory.
async function viewer(address) {
  const tab = window.open("", "_blank");
  const html = await (await fetch(address)).blob();
  const page = URL.createObjectURL(new Blob([html], { type: "text/html" }));
  if (tab) tab.location = page;
}

function drawVote() {
  const { vote, running = false } = value();
  const box = find(".vote");
  box.hidden = !vote || running;
  if (!vote) return;
  const [one, other] = box.querySelectorAll("img");
  find(".pair").hidden = !vote.left;
  find(".ballot").hidden = !vote.left;
  if (one.getAttribute("src") !== vote.left) one.src = vote.left;
  if (other.getAttribute("src") !== vote.right) other.src = vote.right;
  const more = vote.left ? `${vote.remaining} to go.` : "Every pair has been voted on.";
  box.querySelector(".said").textContent = [vote.said, more].filter(Boolean).join(" ");
  const tally = find(".tally");
  tally.hidden = !vote.tally.length;
  const lines = [["", "won", "lost", "tied"], ...vote.tally].map((cells) => {
    const line = make("tr");
    line.append(...cells.map((text, n) => make(n ? "td" : "th", String(text))));
    return line;
  });
  tally.replaceChildren(...lines);
}

for (const button of element.querySelectorAll(".ballot button")) {
  button.addEventListener("click", () => ask("vote", { side: button.dataset.side }));
}
