// Results as rows of thumbnails: a row goes on to the right while a picture is changed, and branches below.
const strip = element.querySelector(".versions");
const tree = element.querySelector(".tree");

function thumbnail({ number, parent, seed, small, chosen }) {
  const button = document.createElement("button");
  const picture = document.createElement("img");
  button.type = "button";
  button.ariaPressed = String(chosen);
  button.dataset.number = number;
  const made = parent === null ? "" : `, made of ${parent}`;
  button.title = `Look at result ${number}: seed ${seed}${made}`;
  button.setAttribute("aria-label", button.title);
  picture.src = small.url;
  picture.alt = "";
  button.append(picture, `${number} · seed ${seed}`);
  return button;
}

function arrow(text, depth = 0) {
  const mark = document.createElement("i");
  mark.textContent = text;
  mark.ariaHidden = "true";
  mark.style.marginLeft = `${16 * depth}px`;
  return mark;
}

// `versions` comes with every picture followed by what was made of it: the first child stays in its parent's row.
function draw() {
  const versions = props.value?.versions ?? [];
  const held = document.activeElement?.closest?.(".versions") === strip ? document.activeElement.dataset.number : null;
  tree.replaceChildren();
  let row = null;
  let last = null;
  for (const version of versions) {
    const follows = row && version.parent !== null && version.parent === last;
    if (!follows) {
      row = document.createElement("div");
      row.className = "row";
      if (version.parent !== null) row.append(arrow(`↳ ${version.parent}`, version.depth));
      tree.append(row);
    } else {
      row.append(arrow("→"));
    }
    row.append(thumbnail(version));
    last = version.number;
  }
  strip.hidden = versions.length < 2; // one result is on the right already
  if (held) tree.querySelector(`[data-number="${held}"]`)?.focus({ preventScroll: true });
}

tree.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) trigger("pick", { number: Number(button.dataset.number) });
});

watch("value", draw);
draw();
