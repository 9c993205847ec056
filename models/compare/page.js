'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const by = (id) => document.getElementById(id);
const root = document.documentElement;
const look = { zoom: 1, x: 0, y: 0 };  // x, y in widths of a picture, so that pictures of any size move alike
let chosen = [], timer = 0;

const make = (tag, text = '', attributes = {}) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const named = (cell) => [data.columns[cell.column], data.rows[cell.row]].filter(Boolean).join(', ');

function build() {
  by('heading').textContent = data.heading || 'Comparison';
  const head = make('tr');
  head.append(make('td'), ...data.columns.map((name) => make('th', name, { scope: 'col' })));
  by('grid').append(head);
  data.rows.forEach((name, row) => {
    const line = make('tr');
    line.append(make('th', name, { scope: 'row' }));
    for (const cell of data.cells.filter((one) => one.row === row)) line.append(place(cell));
    by('grid').append(line);
  });
  for (const note of data.notes) by('notes').append(make('li', note));
}

function place(cell) {
  const box = make('td');
  if (!cell.picture) {
    box.append(make('div', cell.reason || 'Empty', { class: 'empty' }));
    return box;
  }
  const button = make('button', '', { class: 'cell', type: 'button', 'aria-pressed': 'false' });
  const view = make('div', '', { class: 'view' });
  view.append(make('img', '', { src: data.pictures[cell.picture], alt: named(cell), draggable: 'false' }));
  button.append(view);
  button.addEventListener('click', () => { if (!moved) choose(cell, button); });
  watch(view);
  box.append(button, make('p', cell.caption));
  return box;
}

// --- linked zoom

function apply() {
  cut();
  look.zoom = Math.min(32, Math.max(1, look.zoom));
  const room = look.zoom - 1;
  look.x = Math.min(0, Math.max(-room, look.x));
  look.y = Math.min(0, Math.max(-room, look.y));
  root.style.setProperty('--zoom', look.zoom);
  for (const view of document.querySelectorAll('.view')) {
    view.classList.toggle('near', look.zoom > 3);
    view.style.setProperty('--x', `${look.x * view.clientWidth}px`);
    view.style.setProperty('--y', `${look.y * view.clientHeight}px`);
  }
}

function zoom(factor, x = 0.5, y = 0.5) {
  const before = look.zoom;
  look.zoom = Math.min(32, Math.max(1, before * factor));
  look.x = x - (x - look.x) * look.zoom / before;
  look.y = y - (y - look.y) * look.zoom / before;
  apply();
}

let held = null, moved = false;
function watch(view) {
  view.addEventListener('wheel', (event) => {
    event.preventDefault();
    const box = view.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }, { passive: false });
  view.addEventListener('pointerdown', (event) => { held = { view, x: event.clientX, y: event.clientY }; moved = false; });
}
addEventListener('pointermove', (event) => {
  if (!held) return;
  const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
  if (Math.hypot(dx, dy) < 4 && !moved) return;
  moved = true;
  look.x += dx / held.view.clientWidth;
  look.y += dy / held.view.clientHeight;
  Object.assign(held, { x: event.clientX, y: event.clientY });
  apply();
});
for (const name of ['pointerup', 'pointercancel']) addEventListener(name, () => { held = null; });
addEventListener('keydown', (event) => {
  if (event.target.tagName === 'INPUT' || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = 0.2;
  const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (event.key === '+' || event.key === '=') zoom(1.25);
  else if (event.key === '-') zoom(0.8);
  else if (event.key === '0') { Object.assign(look, { zoom: 1, x: 0, y: 0 }); apply(); }
  else if (moves[event.key] && look.zoom > 1) { look.x += moves[event.key][0]; look.y += moves[event.key][1]; apply(); }
  else return;
  event.preventDefault();
});
addEventListener('resize', apply);

// --- two pictures over each other

function choose(cell, button) {
  const at = chosen.findIndex((one) => one.button === button);
  if (at >= 0) chosen.splice(at, 1);
  else chosen = [...chosen.slice(-1), { cell, button }];
  for (const one of document.querySelectorAll('button.cell')) {
    one.setAttribute('aria-pressed', chosen.some((other) => other.button === one));
  }
  show();
}

const mode = () => document.querySelector('input[name=mode]:checked').value;

function show() {
  clearInterval(timer);
  by('pair').hidden = chosen.length < 2;
  if (chosen.length < 2) return;
  const [first, second] = chosen.map((one) => one.cell);
  by('above').src = data.pictures[first.picture];
  by('below').src = data.pictures[second.picture];
  by('names').textContent = `${named(first)}  |  ${named(second)}`;
  by('heat').hidden = mode() !== 'difference';
  by('cut').hidden = mode() !== 'slider';
  by('above').hidden = mode() === 'difference';
  by('amount').textContent = '';
  cut();
  if (mode() === 'blink') {
    timer = setInterval(() => { by('above').hidden = !by('above').hidden; }, 600);
    by('amount').textContent = 'The pictures take turns.';
  }
  if (mode() === 'difference') Promise.all([by('above').decode(), by('below').decode()]).then(heat, () => {});
  apply();
}

function cut() {
  // The picture is zoomed by a transform, so the cut is given in its own coordinates.
  const at = mode() === 'slider' ? by('cut').value / 100 : 1;
  const own = mode() === 'slider' ? Math.min(1, Math.max(0, (at - look.x) / look.zoom)) : 1;
  by('above').style.clipPath = `inset(0 ${100 - 100 * own}% 0 0)`;
}

function heat() {
  const [above, below, canvas] = [by('above'), by('below'), by('heat')];
  const [width, height] = [canvas.width, canvas.height] = [below.naturalWidth, below.naturalHeight];
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  const read = (picture) => { pen.drawImage(picture, 0, 0, width, height); return pen.getImageData(0, 0, width, height); };
  const [a, b] = [read(above), read(below)];
  let sum = 0;
  for (let k = 0; k < a.data.length; k += 4) {
    let most = 0;
    for (let c = 0; c < 3; c++) {
      const difference = Math.abs(a.data[k + c] - b.data[k + c]);
      most = Math.max(most, difference);
      sum += difference;
    }
    const t = Math.min(1, most / 96);  // black, blue, red, yellow, white
    b.data[k] = 255 * Math.min(1, Math.max(0, 2 * t - 0.4));
    b.data[k + 1] = 255 * Math.max(0, 2 * t - 1);
    b.data[k + 2] = 255 * Math.max(t < 0.5 ? 1.6 * t : 1.6 * (1 - t), 4 * t - 3);
  }
  pen.putImageData(b, 0, 0);
  by('amount').textContent = `Mean difference ${(sum / (3 * width * height)).toFixed(2)} of 255; bright = large, white from 96.`;
}

for (const one of document.querySelectorAll('input[name=mode]')) one.addEventListener('change', show);
by('cut').addEventListener('input', cut);
by('swap').addEventListener('click', () => { chosen.reverse(); show(); });
by('close').addEventListener('click', () => {
  chosen = [];
  for (const one of document.querySelectorAll('button.cell')) one.setAttribute('aria-pressed', 'false');
  show();
});
watch(by('stage'));
build();
apply();
