/* The run as the page has it: rows, pictures, and the state that the address bar holds. */

const rows = [];
const pictures = new Map();
const thumbs = new Map();
const disagreements = new Map();
const twins = new Set();
let run = null;

/** Read the data blocks and take them out of the document, where they would weigh on every layout. */
async function readBlocks() {
  let read = 0;
  for (const block of document.querySelectorAll("script.rows")) {
    addRows(JSON.parse(taken(block)));
    // Between tasks the browser frees the text of the blocks before, which is larger than all that was read from it.
    if (++read % 10 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
  for (const block of document.querySelectorAll("script.picture")) {
    pictures.set(Number(block.dataset.row), taken(block));
  }
  for (const block of document.querySelectorAll("script.thumbs")) {
    for (const line of taken(block).trim().split("\n")) {
      const [row, text] = line.split(" ");
      thumbs.set(Number(row), text);
    }
  }
  byId("data").remove();
}

/** Take a block out of the document and return its text: of those that are read already nothing is held. */
function taken(block) {
  block.remove();
  return block.textContent;
}

const paths = new Map();

/** Add rows. Ten thousand rows have the same few paths, of which one copy is kept. */
function addRows(read, found = rows) {
  for (const row of read) {
    for (const field of row.fields || []) {
      const path = field.p.length < 200 ? paths.get(field.p) : field.p;
      if (path === undefined) paths.set(field.p, field.p);
      else field.p = path;
    }
    found.push(row);
  }
}

/** Index what the run says of its rows. */
function readRun() {
  for (const found of run.checks || []) disagreements.set(`${found.row} ${found.name}`, found.values || []);
  for (const group of run.copies || []) for (const n of group) twins.add(n);
}

/** Return the address of an embedded picture. The first letters of base64 tell what a file begins with. */
function dataUrl(base64) {
  const kinds = { "/9j": "jpeg", iVB: "png", Ukl: "webp" };
  return `data:image/${kinds[base64.slice(0, 3)] || "png"};base64,${base64}`;
}

const fresh = () => ({
  view: "summary",
  q: "",
  status: [],
  type: [],
  flag: [],
  cause: [],
  sort: "n",
  down: false,
  t: 0.9,
  open: null,
  field: null,
});
let state = fresh();

/** Return the fragment of a state; what is as in a fresh page is left out, so that links stay short. */
function fragmentOf(wanted) {
  const parameters = new URLSearchParams();
  for (const [name, usual] of Object.entries(fresh())) {
    const value = wanted[name];
    if (Array.isArray(value)) value.forEach((one) => parameters.append(name, one));
    else if (value !== usual) parameters.set(name, value === true ? "1" : String(value));
  }
  return `#${parameters}`;
}

/** Return the state that a fragment names. What it names wrongly is left out: a link may be old or mistyped. */
function stateOf(fragment) {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const index = (name) => (/^\d+$/.test(parameters.get(name) || "") ? Number(parameters.get(name)) : null);
  const found = fresh();
  for (const name of Object.keys(GROUPS)) found[name] = parameters.getAll(name);
  found.q = parameters.get("q") || "";
  found.sort = Object.hasOwn(SORTS, parameters.get("sort")) ? parameters.get("sort") : "n";
  found.down = parameters.get("down") === "1";
  found.t = Math.min(1, Math.max(0, Number(parameters.get("t") ?? 0.9) || 0));
  found.open = rows[index("open")] ? index("open") : null;
  found.field = found.open !== null && rows[found.open].fields?.[index("field")] ? index("field") : null;
  found.view = parameters.get("view") === "list" || found.open !== null ? "list" : "summary";
  return found;
}

/** Change the state, the address bar and the page. A step that the back button should undo is pushed. */
function go(changes, { push = false } = {}) {
  state = { ...state, ...changes };
  if (state.open !== null) state.view = "list";
  const fragment = fragmentOf(state);
  if (fragment !== (location.hash || "#")) {
    // An empty fragment is written as the bare path: "#" alone would scroll to the top.
    const address = fragment === "#" ? location.pathname + location.search : fragment;
    try {
      history[push ? "pushState" : "replaceState"](null, "", address);
    } catch {
      // Safari refuses more than a hundred changes in half a minute, as a key that is held down makes them. The page
      // goes on, and the next change writes the address.
    }
  }
  render();
}

/** Return the label of a field: that of its column in the tables, with a number where the answer has several. */
function labelOf(row, path) {
  const known = run.documents?.[row.document]?.fields || {};
  const bare = path.replace(/\[\d+\]/g, "");
  const label = own(known[path] || known[bare]) || bare.replace(/^(result|passportResult)\./, "");
  const last = [...path.matchAll(/\[(\d+)\]/g)].pop();
  return last && (Number(last[1]) > 0 || path.includes(".items[")) ? `${label} ${Number(last[1]) + 1}` : label;
}

/** The value a list shows of a document: what people know it by. */
const MAIN_FIELDS = [
  "result.totalPrice.price",
  "result.number",
  "result.name[0]",
  "result.companyName[0]",
  "result.corpName[0]",
  "result.ic.name[0]",
  "result.dl.name[0]",
  "result.ac.name[0]",
  "result.pp.fullNameKor[0]",
  "result.pp.surName[0]",
  "passportResult.documentNumber",
];

function mainField(row) {
  for (const path of MAIN_FIELDS) {
    const found = row.fields?.find((field) => field.p === path);
    if (found) return found;
  }
  return null;
}

let doubts = { threshold: null, found: [] };
let queue = { of: null, entries: [] };

/** Forget what follows from the values, after a person has judged one. */
function forgetDoubts() {
  doubts.threshold = null;
  queue.of = null;
}

/** Return why a field should be looked at, at the threshold of the page; nothing once a person has judged it. */
function reasonsOf(row, field) {
  if (field.confirmed || field.corrected) return [];
  const reasons = (field.why || []).filter(isContradiction);
  if (isLow(row, field)) reasons.unshift(`confidence ${field.c.toFixed(2)}`);
  return reasons;
}

/** A failed check, or a text that is not what it should be, is a reason at any threshold. */
function isContradiction(reason) {
  return !reason.startsWith("confidence ");
}

/** Some documents have confidence 0.0 everywhere, which says nothing: their rows have no lowest confidence. */
function confidenceOf(row, field) {
  return typeof row.min === "number" && typeof field.c === "number" ? field.c : null;
}

function isLow(row, field) {
  const confidence = confidenceOf(row, field);
  return confidence !== null && confidence < state.t;
}

/** Return the doubtful fields of a row: their numbers and how bad they are. */
function doubtsOf(row) {
  if (doubts.threshold !== state.t) doubts = { threshold: state.t, found: [] };
  let found = doubts.found[row.n];
  if (!found) {
    found = [];
    (row.fields || []).forEach((field, index) => {
      if (field.confirmed || field.corrected) return;
      if (isLow(row, field) || field.why?.some(isContradiction))
        found.push({ n: row.n, field: index, score: scoreOf(row, index) });
    });
    doubts.found[row.n] = found;
  }
  return found;
}

/** Return the doubtful fields of the rows that the filters leave, worst first: contradictions, then low confidences. */
function doubtfulFields() {
  const found = visibleRows();
  if (queue.of !== found)
    queue = { of: found, entries: found.flatMap((row) => (row.review?.done ? [] : doubtsOf(row))).sort(inQueueOrder) };
  return queue.entries;
}

function scoreOf(row, index) {
  const field = row.fields[index];
  return (field.why?.some(isContradiction) ? 0 : 1) + (confidenceOf(row, field) ?? 1);
}

function inQueueOrder(one, other) {
  return one.score - other.score || one.n - other.n || one.field - other.field;
}
