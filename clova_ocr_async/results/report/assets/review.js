/* Review: corrections, which the server has on disk before they count here.

   Nothing that was typed is lost: while the server refuses or is away, the text stays in its input box. */

const KEPT_PICTURES = 8; // each may be some megabytes
const AT_ONCE = 200; // rows that are there before a person sees that they are not
const SHOWN_EVERY = 500; // milliseconds
const review = { token: null, mine: [], drafts: new Map(), returning: false };

/** Take the token from the address, so that it is neither seen nor bookmarked; a reload finds it in this tab.
    Returns whether there was one. */
function takeToken() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  try {
    if (parameters.has("token")) sessionStorage.setItem("clova-review-token", parameters.get("token"));
    review.token = sessionStorage.getItem("clova-review-token");
  } catch {
    review.token = parameters.get("token");
  }
  if (!parameters.has("token")) return false;
  parameters.delete("token");
  const rest = String(parameters);
  history.replaceState(null, "", rest ? `#${rest}` : location.pathname + location.search);
  return true;
}

/** Go on with a server that was started again, whose address was opened in this tab. Its rows may have other numbers,
    as a batch may have been at work; what was typed stays, and so does the open document. */
async function comeBack() {
  byId("broken").hidden = true;
  review.returning = true; // a change would name a row by the number that it had
  const found = [];
  await loadRows(null, found);
  const open = rows[state.open]?.request_id;
  for (const old of [rows, haystacks]) old.length = 0;
  for (const row of found) rows.push(row);
  for (const old of [disagreements, twins]) old.clear();
  for (const address of served.values()) URL.revokeObjectURL(address);
  served.clear();
  readRun();
  review.returning = false;
  forgetRows();
  opened.row = null;
  const n = open ? rows.findIndex((row) => row.request_id === open) : -1;
  state = { ...state, open: n < 0 ? null : n, field: n < 0 ? null : state.field };
  go({});
  prepareSearch();
}

/** Ask the server. Returns the status with what it answered, and status 0 where it cannot be reached. */
async function ask(path, body) {
  if (body && review.returning) return { status: 0, text: "", data: null };
  const headers = { "X-Review-Token": review.token || "" };
  if (body) headers["Content-Type"] = "application/json";
  try {
    const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, text, data: text.startsWith("{") ? JSON.parse(text) : null };
  } catch {
    return { status: 0, text: "", data: null };
  }
}

/** Fetch the rows, which the page of a review comes without: its address alone shows nothing. Of a large run the rows
    so far are shown from time to time, as the server takes some seconds for thousands of them. */
async function loadRows(showSoFar = null, found = rows) {
  let last = -SHOWN_EVERY;
  for (let from = 0; from !== null;) {
    const answer = await ask(`/api/rows?from=${from}`);
    if (answer.status !== 200) throw new Error(problemText(answer));
    addRows(answer.data.rows, found);
    from = answer.data.next;
    if (from === null) {
      run = answer.data.run;
      break;
    }
    sayLoading(found.length, answer.data.of);
    if (!showSoFar || !found.length || answer.data.of <= AT_ONCE || performance.now() - last < SHOWN_EVERY) continue;
    showSoFar();
    last = performance.now();
  }
  byId("loading").hidden = true;
}

/** Show how far the server has read the run: it answers before it knows all of it. */
function sayLoading(n, all) {
  byId("loading").hidden = false;
  byId("loading").textContent = say("review.loading", { n, all });
}

/** Return the address of a picture that the server has; it asks for the token, which an image cannot send. */
async function servedPicture(row) {
  if (!served.has(row.n)) {
    const picture = await askPicture(row);
    if (!picture) return null;
    served.set(row.n, URL.createObjectURL(picture));
    if (served.size > KEPT_PICTURES) forgetOldestPicture(row.n);
    drawCrops(row);
  }
  return served.get(row.n);
}

/** Ask the server for a picture; where it has none after all, the page says why. */
async function askPicture(row) {
  let problem = away();
  try {
    const answer = await fetch(`/api/picture?n=${row.n}`, { headers: { "X-Review-Token": review.token || "" } });
    if (answer.ok) return await answer.blob();
    problem = (await answer.json()).error;
  } catch {
    // The server is away, or was stopped while it answered.
  }
  if (stage.row?.n === row.n) sayPicture(row, problem);
  return null;
}

function forgetOldestPicture(kept) {
  const oldest = [...served.keys()].find((n) => n !== kept);
  URL.revokeObjectURL(served.get(oldest));
  served.delete(oldest);
}

/** The place of what was typed: by the call that read the field, which outlives the numbers of rows. */
function draftKey(row, index) {
  return `${row.request_id} ${index}`;
}

function valueOf(field) {
  return field.v ?? field.t;
}

/** Return the part of a field's line that corrects it: a crop of the picture, an input box, a button. */
function reviewCell(row, field, index) {
  if (field.m && run.masked) return el("div", { role: "gridcell", class: "correct quiet" }, say("review.masked"));
  const draft = review.drafts.get(draftKey(row, index));
  const input = el("input", {
    type: "text",
    value: draft ?? valueOf(field),
    "aria-label": say("review.input", { field: labelOf(row, field.p) }),
    autocomplete: "off",
    spellcheck: "false",
  });
  const problem = el("p", { class: "problem", role: "alert", hidden: true });
  input.addEventListener("keydown", (event) => onInputKey(event, row.n, index, input));
  input.addEventListener("input", () => review.drafts.set(draftKey(row, index), input.value));
  return el(
    "div",
    { role: "gridcell", class: "correct" },
    el("div", { class: "crop", "data-crop": index }, cropOf(row, field)),
    el(
      "div",
      { class: "entry" },
      input,
      el(
        "button",
        { type: "button", class: "small", tabindex: -1, onclick: () => saveField(row.n, index, input.value) },
        say("review.save"),
      ),
    ),
    problem,
  );
}

/** Return the part of the picture where a field stands. */
function cropOf(row, field) {
  const extent = extentOfField(field);
  const address = pictureOf(row);
  if (!extent || !address) return null;
  const [left, top, right, bottom] = extent;
  const margin = Math.max(6, (bottom - top) * 0.4);
  const [width, height] = row.size || extentOf(row);
  return el(
    "svg",
    {
      viewBox: `${left - margin} ${top - margin} ${right - left + 2 * margin} ${bottom - top + 2 * margin}`,
      "aria-hidden": "true",
    },
    el("image", { href: address, width, height, preserveAspectRatio: "none" }),
  );
}

function drawCrops(row) {
  if (state.open !== row.n) return;
  for (const place of byId("fields").querySelectorAll("[data-crop]")) {
    place.replaceChildren(...[cropOf(row, row.fields[place.dataset.crop])].filter(Boolean));
  }
}

function onInputKey(event, n, index, input) {
  // While an input method composes a syllable, Enter and Esc are its own.
  if (event.isComposing) return;
  if (event.key === "Enter") {
    event.preventDefault();
    saveField(n, index, input.value);
  } else if (event.key === "Escape") {
    event.preventDefault();
    review.drafts.delete(draftKey(rows[n], index));
    input.value = valueOf(rows[n].fields[index]);
    focusField();
  }
}

/** Return a text as an input box holds it: without the ends of lines. */
function inOneLine(text) {
  return text.replace(/[\r\n]/g, "");
}

/** Return what was typed for a field and not saved; undefined where that is nothing else than its value. */
function draftOf(row, index) {
  const draft = review.drafts.get(draftKey(row, index));
  return draft === inOneLine(valueOf(row.fields[index])) ? undefined : draft;
}

/** Save what the input box holds, or confirm what was read where it holds just that; then go to the next doubt. */
async function saveField(n, index, text = draftOf(rows[n], index) ?? valueOf(rows[n].fields[index])) {
  const field = rows[n].fields[index];
  if (inOneLine(text) === inOneLine(valueOf(field))) await confirmField(n, index);
  else await change("/api/correct", { n, path: field.p, old: valueOf(field), new: text }, index);
}

async function confirmField(n, index) {
  const field = rows[n].fields[index];
  if (field.m && run.masked) announce(say("review.masked"));
  else await change("/api/confirm", { n, path: field.p, old: valueOf(field) }, index);
}

/** Have the server change a field, and take its row over; an answer other than yes leaves the text where it is. */
async function change(path, body, index) {
  const here = { n: body.n, field: index, score: scoreOf(rows[body.n], index) };
  const doubtful = doubtfulFields().some((entry) => entry.n === here.n && entry.field === index);
  const typing = document.activeElement?.tagName === "INPUT";
  const answer = await ask(path, body);
  const present = answer.data?.row ? valueOf(answer.data.row.fields[index]) : null;
  // An answer may be lost on its way: the value that was sent stands there when it is sent again.
  if (answer.status === 200 || (answer.status === 409 && present === body.new)) {
    review.drafts.delete(draftKey(rows[body.n], index));
    if (answer.status === 200) remember(answer.data.id);
    takeRows(answer.data);
    goOn(here, doubtful, typing);
    return;
  }
  if (body.new !== undefined) review.drafts.set(draftKey(rows[body.n], index), body.new);
  if (answer.status === 409) takeRows(answer.data);
  showProblem(body.n, index, answer.status === 409 ? say("review.conflict", { value: present }) : problemText(answer));
}

/** Go to the next doubtful field, unless the person has gone elsewhere meanwhile. The place in the queue stays where the
    saved field was not part of it. */
function goOn(saved, doubtful, typing) {
  if (doubtful) stepDoubtful.last = saved;
  const moved = state.open === saved.n && state.field === saved.field && stepDoubtful(1);
  announce(say(moved || doubtfulFields().length ? "review.saved" : "review.saved_last"));
  if (moved && typing) focusInput();
}

function away() {
  return say("review.away", { port: location.port });
}

function problemText(answer) {
  if (answer.status === 0) return away();
  if (answer.data?.refused) return say("review.refused");
  const problem = answer.data?.error;
  return say("review.problem", { problem: String(problem || answer.text || answer.status).slice(0, 300) });
}

/** Show a problem below the input box that has what was typed; saving again then writes over the other value. */
function showProblem(n, index, problem) {
  if (state.open !== n) go({ open: n, field: index });
  renderFields(rows[n]);
  const line = byId("fields").children[index];
  const place = line?.querySelector(".problem");
  if (!place) {
    announce(problem);
    return;
  }
  place.textContent = problem;
  place.hidden = false;
  line.querySelector("input").focus();
}

/** Take over the rows of an answer: a change of an image holds for its copies too. */
function takeRows({ row, copies = [] }) {
  for (const one of [row, ...copies]) {
    rows[one.n] = one;
    delete haystacks[one.n];
  }
  forgetRows();
  render();
}

function focusInput() {
  const field = rows[state.open].fields?.[state.field];
  const input = byId("fields").children[state.field]?.querySelector("input");
  if (field?.m && !input) announce(say("review.masked"));
  input?.focus();
  input?.select();
}

async function setDone() {
  const row = rows[state.open];
  const unsaved = (row.fields || []).findIndex((_, index) => draftOf(row, index) !== undefined);
  if (!row.review?.done && unsaved >= 0) {
    go({ field: unsaved });
    focusInput();
    announce(say("review.unsaved"));
    return;
  }
  const answer = await ask("/api/done", { n: row.n, done: !row.review?.done });
  if (answer.status !== 200) {
    announce(problemText(answer));
    return;
  }
  remember(answer.data.id);
  takeRows(answer.data);
  announce(say(rows[row.n].review?.done ? "review.done" : "review.not_done"));
}

/** Remember a change, to undo it; a key that was pressed twice has made one. */
function remember(id) {
  if (id !== null && !review.mine.includes(id)) review.mine.push(id);
}

/** Take back the last change of this tab, and show its document. */
async function undo() {
  const id = review.mine[review.mine.length - 1];
  if (id === undefined) {
    announce(say("review.nothing_to_undo"));
    return;
  }
  const answer = await ask("/api/undo", { id });
  if (answer.status === 0 || answer.status === 403) {
    announce(problemText(answer));
    return;
  }
  // What another tab has changed since cannot be taken back, so it is not tried twice.
  review.mine.pop();
  if (!answer.data?.row) {
    announce(problemText(answer));
    return;
  }
  takeRows(answer.data);
  const { row, copies = [] } = answer.data;
  if (![row, ...copies].some((one) => one.n === state.open)) go({ open: row.n, field: null });
  announce(say(answer.status === 200 ? "review.undone" : "review.cannot_undo"));
}

function renderReviewTools(row) {
  byId("review-tools").hidden = !run.review;
  const done = Boolean(row.review?.done);
  byId("done-button").setAttribute("aria-pressed", String(done));
  byId("undo-button").disabled = !review.mine.length;
}
