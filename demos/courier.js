// Something came for a tab: that tab's own event fetches it, once.
let last = 0;

function deliver() {
  const { to, number } = props.value ?? {};
  if (!places.includes(to) || number === last) return;
  last = number;
  trigger(to);
}

watch("value", deliver);

// --- an Easel picture that falls anywhere opens the tab of its method, which puts its controls back ----------------
const HEAD = 100_000; // bytes in which the recipe begins
const panelOf = (key) => document.querySelector(`#${key}-result`)?.closest("[role=tabpanel]");

async function methodOf(file) {
  const text = new TextDecoder("latin1").decode(await file.slice(0, HEAD).arrayBuffer());
  return /easel:recipe[^{]*\{[^]*?"method":\s*"(\w+)"/.exec(text)?.[1];
}

function fall(target, file, { clientX, clientY }) {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(file);
  const again = new DragEvent("drop", { dataTransfer, clientX, clientY, bubbles: true, cancelable: true });
  again.looked = true;
  target.dispatchEvent(again);
}

async function opened(key) {
  [...document.querySelectorAll("[role=tab]")].find((tab) => tab.textContent.trim() === titles[key])?.click();
  for (let n = 0; n < 100 && !panelOf(key)?.offsetParent; n++) await new Promise((done) => setTimeout(done, 50));
  return panelOf(key);
}

document.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
document.addEventListener(
  "drop",
  async (event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    if (event.looked || files.length > 1 || files[0].type !== "image/png") return;
    event.stopImmediatePropagation();
    const key = await methodOf(files[0]);
    const here = event.target;
    const known = !titles[key] || panelOf(key)?.contains(here) || here.closest?.("[role=tabpanel]:has(#compare-board)");
    fall(known ? here : ((await opened(key)) ?? here), files[0], event);
  },
  true
);
