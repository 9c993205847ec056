// What a user did, as one small value that is never edited in place, and what Python has answered to it.
const CLEAN = {
  points: [], box: null, strokes: [], start: null, grow: 0, feather: 0,
  fill_holes: false, keep_largest: false, invert: false, soft_edges: true, model: "auto",
};
const NOTHING = { image: null, preview: null, width: 0, height: 0, title: "", purpose: "", opened: false, begun: 0 };
const REMEMBERED = 30; // answers kept for undo and redo, which need no second asking then
const keyOf = (state) => JSON.stringify(state);
const isBlank = (state) => !state.points.length && !state.box && !state.strokes.length && !state.start;

// Asks Python for the mask of the newest state. Every asking has a revision; an answer to an older one than is shown
// already is only remembered. `paper(strokes)` gives the file of strokes, `send` posts, `show` gets answers.
function createAsking({ paper, send, show }) {
  let revision = Date.now(); // later than any revision of an earlier page
  let shown = 0;
  let last = "";
  const asked = new Map(); // revision -> { key, strokes: how many there were }
  const answers = new Map(); // state as text -> answer

  function remember(key, answer) {
    answers.delete(key);
    answers.set(key, answer);
    if (answers.size > REMEMBERED) answers.delete(answers.keys().next().value);
  }

  return {
    get waiting() {
      return shown < revision && asked.has(revision);
    },
    get revision() {
      return revision;
    },
    async ask(state) {
      const key = keyOf(state);
      if (key === last) return;
      last = key;
      revision += 1;
      const mine = revision;
      if (isBlank(state) || answers.has(key)) {
        shown = mine;
        show(answers.get(key) ?? null, state.strokes.length);
        return;
      }
      asked.set(mine, { key, strokes: state.strokes.length });
      const paint = state.strokes.length ? await paper(state.strokes) : null;
      if (state.strokes.length && !paint) last = ""; // it could not be sent: the same may be asked again
      else if (mine === revision) send();
    },
    // Takes an answer in, and shows it unless a newer one is shown already.
    take(answer) {
      const question = asked.get(answer.revision);
      if (!question) return;
      if (!answer.bad) remember(question.key, answer);
      if (answer.revision <= shown) return;
      shown = answer.revision;
      for (const older of asked.keys()) if (older <= shown) asked.delete(older);
      show(answer, question.strokes);
    },
    forget() {
      revision += 1;
      shown = revision;
      last = "";
      asked.clear();
      answers.clear();
    },
  };
}
