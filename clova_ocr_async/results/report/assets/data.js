/* The run as the page has it: rows, pictures, and the state that the address bar holds. */

const rows = [];
const pictures = new Map();
const thumbs = new Map();
const disagreements = new Map();
const twins = new Set();
let run = null;

/** Read the data blocks and take them out of the document: thousands of them would weigh on every layout. */
function readBlocks() {
  for (const block of document.querySelectorAll("script.rows")) {
    for (const row of JSON.parse(block.textContent)) rows.push(row);
    block.remove();
  }
  for (const block of document.querySelectorAll("script.picture, script.thumb")) {
    (block.className === "thumb" ? thumbs : pictures).set(Number(block.dataset.row), block.textContent);
    block.remove();
  }
  for (const table of document.querySelectorAll("noscript")) table.remove();
  run = JSON.parse(byId("run").textContent);
  byId("run").remove();
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
    if (String(value) === String(usual)) continue;
    parameters.set(name, value === true ? "1" : String(value));
  }
  return `#${parameters}`;
}

/** Return the state that a fragment names. What it names wrongly is left out: a link may be old or mistyped. */
function stateOf(fragment) {
  const parameters = new URLSearchParams(fragment.replace(/^#/, ""));
  const list = (name) => (parameters.get(name) || "").split(",").filter(Boolean);
  const index = (name) => (/^\d+$/.test(parameters.get(name) || "") ? Number(parameters.get(name)) : null);
  const found = fresh();
  for (const name of ["status", "type", "flag", "cause"]) found[name] = list(name);
  found.q = parameters.get("q") || "";
  found.sort = parameters.get("sort") in SORTS ? parameters.get("sort") : "n";
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
    history[push ? "pushState" : "replaceState"](null, "", address);
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

let doubtsFor = { threshold: null, found: new Map() };
let queue = { of: null, entries: [] };

/** Forget what follows from the values, after a person has judged one. */
function forgetDoubts() {
  doubtsFor.threshold = null;
  queue.of = null;
}

/** Return why a field should be looked at, at the threshold of the page; nothing once a person has judged it. */
function reasonsOf(row, field) {
  if (field.confirmed || field.corrected) return [];
  const reasons = contradictionsOf(field);
  if (isLow(row, field)) reasons.unshift(`confidence ${field.c.toFixed(2)}`);
  return reasons;
}

/** Return the reasons that no threshold changes: failed checks, and texts that are not what they should be. */
function contradictionsOf(field) {
  return (field.why || []).filter((reason) => !reason.startsWith("confidence "));
}

/** Some documents have confidence 0.0 everywhere, which says nothing: their rows have no lowest confidence. */
function confidenceOf(row, field) {
  return typeof row.min === "number" && typeof field.c === "number" ? field.c : null;
}

function isLow(row, field) {
  const confidence = confidenceOf(row, field);
  return confidence !== null && confidence < state.t;
}

/** Return the numbers of a row's doubtful fields. */
function doubtsOf(row) {
  if (doubtsFor.threshold !== state.t) doubtsFor = { threshold: state.t, found: new Map() };
  let found = doubtsFor.found.get(row.n);
  if (!found) {
    found = [];
    (row.fields || []).forEach((field, index) => reasonsOf(row, field).length && found.push(index));
    doubtsFor.found.set(row.n, found);
  }
  return found;
}

/** Return the doubtful fields of the rows that the filters leave, worst first: what contradicts, then what is unsure. */
function doubtfulFields() {
  const found = visibleRows();
  if (queue.of === found) return queue.entries;
  const entries = [];
  for (const row of found) {
    if (row.review?.done) continue;
    for (const index of doubtsOf(row)) entries.push({ n: row.n, field: index, score: scoreOf(row, index) });
  }
  queue = { of: found, entries: entries.sort(inQueueOrder) };
  return entries;
}

function scoreOf(row, index) {
  const field = row.fields[index];
  return (contradictionsOf(field).length ? 0 : 1) + (confidenceOf(row, field) ?? 1);
}

function inQueueOrder(one, other) {
  return one.score - other.score || one.n - other.n || one.field - other.field;
}
