/* The view of one document: its fields beside its picture, each lighting the other up. */

const opened = { row: null, signature: null };

function openDocument(n, field = null) {
  go({ open: n, field }, { push: state.open === null });
  focusField();
}

function closeDocument() {
  const n = state.open;
  go({ open: null, field: null }, { push: true });
  focusRowOf(n);
}

/** Put the focus on the row of a document; on the first one where the filters hide it. */
function focusRowOf(n) {
  focusRow(
    Math.max(
      0,
      visibleRows().findIndex((row) => row.n === n),
    ),
  );
}

/** Draw the open document; what has not changed is left alone, so that a correction keeps zoom and focus. */
function renderDocument() {
  const row = state.open === null ? null : rows[state.open];
  document.body.classList.toggle("opened", row !== null);
  byId("document").hidden = row === null;
  if (!row) {
    opened.row = null;
    return;
  }
  const another = opened.row?.n !== row.n;
  // The labels of a review come with its last row.
  const signature = JSON.stringify([row.n, settings.language, state.t, Boolean(run.documents)]);
  if (another || opened.row !== row || opened.signature !== signature) {
    const focused = byId("fields").contains(document.activeElement);
    Object.assign(opened, { row, signature });
    renderTitle(row);
    renderFields(row);
    if (focused && !another) focusField();
    if (another) followDocument(row.n);
    if (another) drawPicture(row);
    else redrawBoxes(row);
  }
  renderPlace();
  lightChosen();
}

function renderTitle(row) {
  byId("document-title").replaceChildren(spelled(row.file || row.source), row.page ? ` #${row.page}` : "");
  byId("document-title").title = row.source;
  const facts = [
    el("span", { class: `mark ${row.status}`, "aria-hidden": "true" }, MARKS[row.status]),
    ` ${say(`status.${row.status}`)}`,
    row.document ? ` · ${say(`document.${row.document}`)}` : null,
    ` · ${say(row.billed ? "billed.yes" : row.maybe ? "billed.maybe" : "billed.no")}`,
    row.seconds !== null && row.seconds !== undefined ? ` · ${seconds(row.seconds)}` : null,
    row.request_id ? el("span", { class: "quiet", title: say("request_id") }, ` · ${row.request_id}`) : null,
  ];
  byId("document-facts").replaceChildren(...facts.filter(Boolean));
  byId("document-notes").replaceChildren(...notesOf(row));
}

/** Return what is to be said of a document beside its fields: why it failed, what it is a copy of. */
function notesOf(row) {
  const notes = [];
  const note = (kind, ...content) => notes.push(el("p", { class: `note ${kind}` }, ...content));
  const given = Object.entries(row.columns || {});
  if (given.length)
    notes.push(el("dl", { class: "own" }, ...given.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])));
  const cause = (run.causes || []).find((one) => one.id === row.cause);
  if (cause) note("bad", el("b", {}, own(cause.title)), own(cause.hint) ? ` ${own(cause.hint)}` : "");
  if (row.error) note("bad", `${row.error.type}${row.error.code ? ` ${row.error.code}` : ""}: ${row.error.message}`);
  if (row.status === "ambiguous") note("warn", say("ambiguous.hint"));
  if (row.copy_of) note("", say("note.copy_of", { source: row.copy_of }));
  for (const group of (run.copies || []).filter((one) => one.includes(row.n))) {
    note(
      "warn",
      say("note.twin"),
      " ",
      ...group.filter((n) => n !== row.n).flatMap((n, place) => [place ? ", " : "", documentLink(n)]),
    );
  }
  if (!(row.fields || []).length && row.status === "succeeded") note("", say("document.empty"));
  return notes;
}

function renderFields(row) {
  const lines = (row.fields || []).map((field, index) => fieldLine(row, field, index));
  byId("fields").replaceChildren(...lines);
  byId("fields").hidden = !lines.length;
  renderChecks(row);
  renderReviewTools(row);
}

function fieldLine(row, field, index) {
  const confidence = confidenceOf(row, field);
  const reasons = reasonsOf(row, field);
  const line = el(
    "div",
    { role: "row", class: `field ${kindOf(row, field)}`, "data-index": index, tabindex: index ? -1 : 0 },
    el(
      "div",
      { role: "rowheader", class: "label", title: field.p },
      labelOf(row, field.p),
      field.m ? el("span", { class: "tag" }, say("tag.masked")) : null,
    ),
    el(
      "div",
      { role: "gridcell", class: "value" },
      field.t === "" ? el("span", { class: "quiet" }, say("review.nothing")) : field.t,
      saysMore(field) ? el("span", { class: "quiet" }, ` = ${field.v}`) : null,
    ),
    el("div", { role: "gridcell", class: "confidence" }, confidence === null ? "" : meter(confidence)),
  );
  const remarks = [
    ...reasons.map((reason) => el("p", { class: "why" }, reasonText(reason), valuesBehind(row, reason))),
    ...judgementsOf(field),
  ];
  if (remarks.length) line.append(el("div", { role: "gridcell", class: "remarks" }, ...remarks));
  if (run.review) line.append(reviewCell(row, field, index));
  line.addEventListener("pointerenter", () => lightBoxes(index, true));
  line.addEventListener("pointerleave", () => lightBoxes(index, false));
  line.addEventListener("focusin", () => state.field !== index && go({ field: index }));
  line.addEventListener("click", () => state.field !== index && go({ field: index }));
  line.addEventListener("dblclick", () => zoomToField(index));
  return line;
}

/** A value is shown beside its text where it is more than the text without separators. */
function saysMore(field) {
  return Boolean(field.v) && field.v !== field.t.replace(/[,\s]/g, "");
}

/** Return what a person decided of a field, with the value that was read. */
function judgementsOf(field) {
  const judgement = field.corrected || field.confirmed;
  if (!judgement) return [];
  const by = { by: judgement.by || "?", at: moment(judgement.at) };
  return [
    el(
      "p",
      { class: "judged" },
      field.corrected
        ? [el("s", {}, judgement.old || say("review.nothing")), " ", say("review.corrected", by)]
        : say("review.confirmed", by),
    ),
  ];
}

/** Where a check failed, its reason stands with the values that disagree; masked ones would show nothing. */
function valuesBehind(row, reason) {
  const values = (disagreements.get(`${row.n} ${reason.split(":")[0]}`) || []).filter((value) => /[^*\s]/.test(value));
  return values.length > 1 ? el("span", { class: "disagree" }, " ", ...disagreement(values)) : null;
}

function renderChecks(row) {
  const signs = { passed: "✓", failed: "✕", unknown: "?" };
  const order = ["failed", "unknown", "passed"];
  const checks = [...(row.checks || [])].sort(
    (one, other) => order.indexOf(one.outcome) - order.indexOf(other.outcome),
  );
  byId("document-checks").hidden = !checks.length;
  byId("document-checks").replaceChildren(
    el("h3", {}, say("checks.all")),
    el(
      "ul",
      {},
      ...checks.map((check) =>
        el(
          "li",
          { class: `check ${check.outcome}` },
          el("span", { class: "sign", "aria-hidden": "true" }, signs[check.outcome]),
          ` ${say(`outcome.${check.outcome}`)}: ${say(`check.${check.name}`)} – ${reasonText(check.reason)}`,
        ),
      ),
    ),
  );
}

function renderPlace() {
  const found = visibleRows();
  const here = found.findIndex((row) => row.n === state.open);
  byId("place").textContent =
    here < 0 ? say("place.hidden") : say("place.document", { here: here + 1, all: found.length });
  const worst = doubtfulFields();
  const at = worst.findIndex((entry) => entry.n === state.open && entry.field === state.field);
  byId("queue-place").textContent =
    at < 0 ? say("queue.count", { n: worst.length }) : say("place.doubtful", { here: at + 1, all: worst.length });
}

function redrawBoxes(row) {
  stage.row = row;
  (row.fields || []).forEach((field, index) =>
    boxesOf(index).forEach((box) => box.setAttribute("class", `box ${kindOf(row, field)}`)),
  );
}

/** Mark the chosen field in the list and its boxes on the picture. */
function lightChosen() {
  for (const line of byId("fields").children) {
    const chosen = Number(line.dataset.index) === state.field;
    line.setAttribute("aria-selected", String(chosen));
    line.tabIndex = chosen || (state.field === null && line.dataset.index === "0") ? 0 : -1;
    if (chosen) line.scrollIntoView({ block: "nearest" });
  }
  for (const box of stage.scene.querySelectorAll(".chosen")) box.classList.remove("chosen");
  if (state.field === null) return;
  for (const box of boxesOf(state.field)) box.classList.add("chosen");
}

function lightBoxes(index, on) {
  for (const box of boxesOf(index)) box.classList.toggle("lit", on);
}

function lightField(index, on) {
  const line = byId("fields").children[index];
  lightBoxes(index, on);
  line?.classList.toggle("lit", on);
  if (on) line?.scrollIntoView({ block: "nearest" });
}

/** Put the focus on the chosen field; on the title where a document has none, so that its text is read. */
function focusField() {
  const line = byId("fields").children[state.field ?? 0];
  (line || byId("document-title")).focus({ preventScroll: true });
  line?.scrollIntoView({ block: "nearest" });
}

function stepField(step) {
  const last = (rows[state.open]?.fields || []).length - 1;
  if (last < 0) return;
  go({ field: Math.min(last, Math.max(0, (state.field ?? -1) + step)) });
  focusField();
}

function stepDocument(step) {
  const found = visibleRows();
  const here = found.findIndex((row) => row.n === state.open);
  const next = found[here < 0 ? 0 : here + step];
  if (!next) {
    announce(say(step > 0 ? "place.last" : "place.first"));
    return;
  }
  go({ open: next.n, field: null });
  focusField();
}

/** Go to the next doubtful field, worst first, across documents. The place in that order outlives a correction. */
function stepDoubtful(step) {
  const worst = doubtfulFields();
  const next = neighbour(worst, step);
  if (!next) {
    announce(say(!worst.length ? "queue.none" : step > 0 ? "queue.last" : "queue.first"));
    return false;
  }
  stepDoubtful.last = next;
  go({ open: next.n, field: next.field }, { push: state.open === null });
  focusField();
  zoomToField(next.field);
  return true;
}

function neighbour(worst, step) {
  const at = worst.findIndex((entry) => entry.n === state.open && entry.field === state.field);
  if (at >= 0) return worst[at + step];
  const last = stepDoubtful.last;
  if (!last) return worst[0];
  if (step > 0) return worst.find((entry) => inQueueOrder(entry, last) > 0);
  return worst.filter((entry) => inQueueOrder(entry, last) < 0).pop();
}
