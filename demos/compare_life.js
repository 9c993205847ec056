// Files that come in, the run and its end, and what Python answers.
async function bring(files) {
  for (const file of files) {
    try {
      const { path } = await upload(file);
      ask("bring", { path, name: file.name });
    } catch (error) {
      find(".note").textContent = `“${file.name}” could not be sent.`;
      find(".note").classList.add("bad");
    }
  }
}

find(".pick input").addEventListener("change", ({ target }) => {
  bring([...target.files]);
  target.value = "";
});
const zone = element.closest("[role=tabpanel]") ?? element;
function over(event, on) {
  if (!event.dataTransfer?.types.includes("Files")) return false;
  event.preventDefault();
  find(".side").classList.toggle("over", on);
  return true;
}
zone.addEventListener("dragover", (event) => over(event, true));
zone.addEventListener("dragleave", (event) => over(event, zone.contains(event.relatedTarget)));
zone.addEventListener("drop", (event) => over(event, false) && bring([...event.dataTransfer.files]));

find(".go").addEventListener("click", () => {
  clearTimeout(timer);
  ask("run");
});
find(".halt").addEventListener("click", () => ask("halt"));

function receive() {
  drawInputs();
  drawMethods();
  if (!find(".axes").contains(document.activeElement)) drawAxes();
  drawEstimate();
  drawSheet();
  drawVote();
  if (value().number === number) return;
  number = value().number;
  if (value().inputs?.length) changed();
}

watch("value", receive);
receive();
