// Undo and redo over whole values: they are small, never edited in place, and files are only named in them.
const DEPTH = 100;

function createHistory() {
  let entries = [];
  let place = -1;
  const text = ({ selected, incoming, role, ...scene }) => JSON.stringify(scene);
  return {
    // Adds a value unless nothing but the selection differs from the current one; says whether it did.
    push(scene) {
      if (place >= 0 && text(entries[place]) === text(scene)) return false;
      entries = [...entries.slice(0, place + 1), scene].slice(-DEPTH);
      place = entries.length - 1;
      return true;
    },
    can: (steps) => entries[place + steps] !== undefined,
    travel(steps) {
      if (entries[place + steps] === undefined) return null;
      place += steps;
      return entries[place];
    },
  };
}
