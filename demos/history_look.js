// One picture large, with its settings, and what comes from Python.
const large = find(".look");
let seen = null; // the name of what is looked at
let file = null; // its file, once Python has answered

function look(place) {
  if (!shown.pictures[place]) return;
  at = place;
  const { name, title, words, small, when } = shown.pictures[place];
  [seen, file] = [name, null];
  Object.assign(large.querySelector("img"), { src: small, alt: words || title });
  large.querySelector(".title").textContent = title;
  large.querySelector(".made").textContent = date(when);
  large.querySelector("dl").replaceChildren(make("dt", "Reading…"));
  large.querySelector(".before").disabled = place === 0;
  large.querySelector(".after").disabled = place + 1 >= shown.pictures.length;
  ready(false);
  if (!large.open) large.showModal();
  trigger("open", { name });
}

function ready(on) {
  large.querySelector(".go").disabled = !on;
  large.querySelector(".take").toggleAttribute("href", on);
  if (on) Object.assign(large.querySelector(".take"), { href: file.url, download: seen });
}

function fill(opened) {
  if (opened.name !== seen || !large.open) return;
  file = opened.file;
  large.querySelector("img").src = file.url;
  const lines = opened.settings.flatMap(([label, value]) => [make("dt", label), make("dd", value)]);
  large.querySelector("dl").replaceChildren(...lines);
  ready(true);
}

// The same as if the file had been dropped on the page: the head of the page finds its tab and lets it fall there.
async function toItsTab() {
  const name = seen;
  const picture = await (await fetch(file.url)).blob();
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([picture], name, { type: "image/png" }));
  large.close();
  element.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}

large.querySelector(".go").addEventListener("click", () =>
  toItsTab().catch(() => {
    large.close();
    say("The picture could not be fetched; please look again.", true);
  })
);
large.querySelector(".before").addEventListener("click", () => look(at - 1));
large.querySelector(".after").addEventListener("click", () => look(at + 1));
large.querySelector(".close").addEventListener("click", () => large.close());
large.querySelector(".away").addEventListener("click", () => drop([seen]));
large.addEventListener("click", (event) => event.target === large && large.close());
large.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") look(at - 1);
  else if (event.key === "ArrowRight") look(at + 1);
  else if (event.key === "Delete" || event.key === "Backspace") drop([seen]);
  else return;
  event.preventDefault();
});
large.addEventListener("close", () => move(at));

// --- what Python says

function receive() {
  const value = props.value ?? {};
  if (!value.number || value.number === number) return;
  number = value.number;
  if (value.note || value.listing) say(value.note ?? "", value.bad);
  if (value.opened) fill(value.opened);
  if (value.bad && large.open) large.close();
  if (!value.listing) return;
  const held = grid.contains(document.activeElement) || large.open;
  shown = value.listing;
  if (large.open && !shown.pictures.some((one) => one.name === seen)) large.close();
  draw();
  if (held && !large.open) move(at);
}

const unkept = (props.unkept ?? []).join(", ");
find(".about").textContent =
  "Pictures made on this page, kept for you alone: your login, or without one this browser, is the key to them." +
  (unkept ? ` ${unkept} is not kept, since its results show people.` : "");
watch("value", receive);
receive();
new IntersectionObserver(([entry]) => entry.isIntersecting && !large.open && trigger("look", where())).observe(grid.parentElement);
