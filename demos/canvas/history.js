// Undo and redo over whole values: they are small, never edited in place, and files are only named in them.
const DEPTH = 100;

// `text` turns a value into what is compared: two values of one text are one entry.
function createHistory(text) {
  let entries = [];
  let place = -1;
  return {
    // Adds a value unless it reads as the current one does; says whether it did.
    push(scene) {
      if (place >= 0 && text(entries[place]) === text(scene)) return false;
      entries = [...entries.slice(0, place + 1), scene].slice(-DEPTH);
      place = entries.length - 1;
      return true;
    },
    current: () => entries[place] ?? null,
    can: (steps) => entries[place + steps] !== undefined,
    travel(steps) {
      if (entries[place + steps] === undefined) return null;
      place += steps;
      return entries[place];
    },
  };
}
