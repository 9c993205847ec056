// The words of the prompt as Python found them, each in its layer's colour.
const line = element.querySelector(".line");
const said = element.querySelector(".said");
const hue = (layer) => Math.round((layer * 137.5 + 210) % 360); // the golden angle keeps neighbours apart

function chip({ text, layer }, lacking) {
  if (layer === null || layer === undefined) return document.createTextNode(text);
  const node = document.createElement("b");
  node.textContent = text;
  node.style.setProperty("--hue", hue(layer));
  node.title = lacking ? `Layer ${layer + 1} from the back: not in the prompt` : `Layer ${layer + 1} from the back`;
  if (lacking) node.className = "lacking";
  return node;
}

function draw() {
  const { pieces = [], lacking = [], said: sentence = "", bad = false } = props.value ?? {};
  line.replaceChildren(...pieces.map((piece) => chip(piece, false)), ...lacking.map((piece) => chip(piece, true)));
  said.textContent = sentence;
  said.hidden = !sentence;
  said.className = bad ? "said bad" : "said";
}

watch("value", draw);
draw();
