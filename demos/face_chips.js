// Who is who in the prompt, as Python's tokenizer reads it; a marker is written where the caret stands.
const find = (query) => element.querySelector(query);
const made = (name, text) => Object.assign(document.createElement(name), { textContent: text });
const box = () => document.querySelector(props.prompt);

function chip({ noun, slot, picture }, place) {
  const item = document.createElement("li");
  const tied = slot >= 0;
  const face = document.createElement(picture ? "img" : "i");
  if (picture) Object.assign(face, { src: picture, alt: "" });
  item.className = tied && picture ? "" : "loose";
  item.append(face, made("b", `${place + 1} ${noun}`), made("small", tied ? `token ${slot}` : "not in the prompt"));
  const who = picture ? `picture ${place + 1}` : "no picture yet";
  item.title = tied ? `“${noun}”, token ${slot} of the prompt: ${who}` : `Person ${place + 1} has no marker in the prompt`;
  item.setAttribute("aria-label", item.title);
  return item;
}

function draw() {
  const { chips = [], used = 0, length = 0, said = "", bad = false, offer = "", offered = "" } = props.value ?? {};
  find(".chips").replaceChildren(...chips.map(chip));
  find(".used").textContent = used ? `${used} of ${length} tokens` : "";
  find(".said").textContent = said;
  find(".said").className = bad ? "said bad" : "said";
  find(".offer").hidden = !offer;
  find(".offer").textContent = `Use “${offered}”`;
}

// After the word that the caret is in or behind, with one space on either side; Ctrl+Z takes it back.
find(".insert").addEventListener("click", () => {
  const text = box();
  if (!text) return;
  const { value } = text;
  let at = text.selectionEnd ?? value.length;
  while (at < value.length && /[\p{L}\p{N}'’-]/u.test(value[at])) at += 1;
  while (at > 0 && value[at - 1] === " ") at -= 1;
  const written = `${at > 0 ? " " : ""}${props.marker}${value[at] === " " || value[at] === "," ? "" : " "}`;
  text.focus();
  text.setSelectionRange(at, at);
  if (document.execCommand("insertText", false, written)) return; // what keeps the box's own undo
  text.setRangeText(written, at, at, "end");
  text.dispatchEvent(new Event("input", { bubbles: true }));
});
find(".offer").addEventListener("click", () => {
  trigger("take", { offer: props.value.offer });
  box()?.focus();
});

watch("value", draw);
draw();
