/* The list: filters with counts, sorting, and rows of which only the visible ones are in the document. */

const COLLATOR = new Intl.Collator(["ko", "en"], { numeric: true });
const STATUSES = ["succeeded", "failed", "ambiguous", "skipped", "pending"];
const MARKS = { succeeded: "●", failed: "✕", ambiguous: "?", skipped: "–", pending: "○" };

/** How each column sorts; a row without the value comes last in both directions. */
const SORTS = {
  n: (row) => row.n,
  file: (row) => row.file || row.source,
  status: (row) => STATUSES.indexOf(row.status),
  document: (row) => (row.document ? say(`document.${row.document}`) : null),
  min: (row) => row.min,
  review: (row) => doubtsOf(row).length,
  main: (row) => amountOf(mainField(row)),
  seconds: (row) => row.seconds,
};

const FLAGS = {
  review: (row) => doubtsOf(row).length > 0,
  checks: (row) => (row.checks || []).some((check) => check.outcome === "failed"),
  twins: (row) => twins.has(row.n),
  copies: (row) => Boolean(row.copy_of),
  maybe: (row) => row.maybe > 0,
  picture: (row) => !hasPicture(row),
  corrected: (row) => (row.fields || []).some((field) => field.corrected),
  open: (row) => row.status === "succeeded" && !row.review?.done,
};

const FLAG_NAMES = Object.keys(FLAGS);

/** What each group of filters looks at; of a group any value may fit, but all flags must. */
const GROUPS = {
  status: (row, value) => row.status === value,
  type: (row, value) => row.document === value,
  cause: (row, value) => row.cause === value,
  flag: (row, value) => flagsOf(row).includes(value),
};

let visible = { key: null, rows: [], counts: {} };

function amountOf(field) {
  if (!field) return null;
  const text = field.v ?? field.t;
  const amount = Number(text.replace(/[,₩원\s]/g, ""));
  return Number.isNaN(amount) || text.trim() === "" ? text : amount;
}

function passes(row, group) {
  const wanted = state[group];
  if (!wanted.length) return true;
  return group === "flag"
    ? wanted.every((value) => GROUPS.flag(row, value))
    : wanted.some((value) => GROUPS[group](row, value));
}

let flags = { threshold: null, found: [] };

/** Return the flags of a row; they are found once for all searches. */
function flagsOf(row) {
  if (flags.threshold !== state.t) flags = { threshold: state.t, found: [] };
  flags.found[row.n] ||= FLAG_NAMES.filter((flag) => FLAGS[flag](row));
  return flags.found[row.n];
}

/** Return the rows that search and filters leave, in their order; the same array until one of them changes. */
function visibleRows() {
  const key = JSON.stringify([
    state.q,
    state.status,
    state.type,
    state.flag,
    state.cause,
    state.sort,
    state.down,
    state.t,
    settings.language,
  ]);
  if (visible.key !== key) visible = { key, ...filtered() };
  return visible.rows;
}

function forgetRows() {
  visible.key = null;
  flags.threshold = null;
  forgetDoubts();
}

/** Filter once for all: a filter's count is of the rows that it would leave beside the other groups' filters. */
function filtered() {
  const found = matcherOf(state.q);
  const active = Object.keys(GROUPS).filter((group) => state[group].length);
  const left = [];
  const counts = {};
  const add = (group, value) => (counts[`${group} ${value}`] = (counts[`${group} ${value}`] || 0) + 1);
  for (const row of rows) {
    const failed = active.filter((group) => !passes(row, group));
    if (failed.length > 1 || !found(row)) continue;
    const counted = (group) => !failed.length || failed[0] === group;
    if (counted("status")) add("status", row.status);
    if (counted("type") && row.document) add("type", row.document);
    if (failed.length) continue;
    left.push(row);
    for (const flag of flagsOf(row)) add("flag", flag);
    if (row.cause) add("cause", row.cause);
  }
  return { rows: sorted(left), counts };
}

function sorted(found) {
  if (state.sort === "n" && !state.down) return found;
  const value = SORTS[state.sort];
  const keyed = found.map((row) => [value(row) ?? null, row]);
  const sign = state.down ? -1 : 1;
  keyed.sort(([one, a], [other, b]) => {
    if (one === null || other === null) return (one === null) - (other === null) || a.n - b.n;
    return sign * compared(one, other) || a.n - b.n;
  });
  return keyed.map(([, row]) => row);
}

function compared(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return COLLATOR.compare(String(one), String(other));
}

const grid = { body: null, space: null, made: new Map(), height: 36, focus: 0, shown: null, printing: false };

function startList() {
  grid.body = byId("grid");
  grid.space = byId("grid-space");
  grid.body.addEventListener("scroll", drawRows, { passive: true });
  new ResizeObserver(drawRows).observe(grid.body);
  grid.body.addEventListener("keydown", onGridKey);
  for (const header of document.querySelectorAll("[data-sort]")) {
    header.querySelector("button").addEventListener("click", () => sortBy(header.dataset.sort));
  }
  byId("search").addEventListener("input", (event) => {
    grid.body.scrollTop = 0;
    go({ q: event.target.value });
  });
  byId("threshold").addEventListener("input", (event) => go({ t: Number(event.target.value) }));
}

/** Sort by a column; by the sorted one the other way round, and by a column of doubts the worst first. */
function sortBy(column) {
  go({ sort: column, down: state.sort === column ? !state.down : column === "review" });
}

function toggleFilter(group, value) {
  const chosen = state[group].includes(value) ? state[group].filter((one) => one !== value) : [...state[group], value];
  grid.body.scrollTop = 0;
  go({ [group]: chosen });
}

function renderList() {
  const found = visibleRows();
  if (document.activeElement !== byId("search")) byId("search").value = state.q;
  byId("threshold").value = state.t;
  byId("threshold-value").textContent = state.t.toFixed(2);
  renderFilters();
  renderCount(found);
  for (const header of document.querySelectorAll("[data-sort]")) {
    const now = header.dataset.sort === state.sort;
    header.setAttribute("aria-sort", now ? (state.down ? "descending" : "ascending") : "none");
  }
  byId("grid").setAttribute("aria-rowcount", found.length + 1);
  byId("empty").hidden = found.length > 0;
  byId("empty").textContent = rows.length ? say("list.nothing") : say("list.empty");
  if (grid.shown !== found) redrawRows(found);
  else drawRows();
}

/** Draw all rows anew, after the rows themselves or their texts have changed. */
function redrawRows(found = visibleRows()) {
  const focused = document.activeElement.closest("#grid-space .row");
  const n = focused ? Number(focused.dataset.n) : state.open;
  grid.shown = found;
  grid.made.clear();
  grid.space.replaceChildren();
  grid.focus = Math.max(
    0,
    found.findIndex((row) => row.n === n),
  );
  drawRows();
  if (focused) focusRow(grid.focus);
}

function renderCount(found) {
  const hidden = rows.length - found.length;
  byId("count").textContent = hidden
    ? say("list.count_hidden", { n: found.length, all: rows.length, hidden })
    : say("list.count", { n: found.length });
  const worst = doubtfulFields().length;
  byId("queue-count").textContent = worst ? say("queue.count", { n: worst }) : say("queue.none");
  byId("clear").hidden = !hidden && !state.q;
}

/** Draw the filters. A filter that leaves nothing is not offered, unless it is on. */
function renderFilters() {
  const chips = [];
  const chip = (group, value, label) => {
    const count = visible.counts[`${group} ${value}`] || 0;
    const on = state[group].includes(value);
    if (!count && !on) return;
    chips.push(
      el(
        "button",
        {
          type: "button",
          class: `chip ${group}`,
          "aria-pressed": String(on),
          "data-filter": `${group} ${value}`,
          onclick: () => toggleFilter(group, value),
        },
        group === "status" ? el("span", { class: `mark ${value}`, "aria-hidden": "true" }, MARKS[value]) : null,
        label,
        " ",
        el("b", {}, number(count)),
      ),
    );
  };
  for (const status of STATUSES) chip("status", status, say(`status.${status}`));
  const types = Object.keys(run.totals?.documents || {});
  if (types.length > 1) for (const type of types) chip("type", type, say(`document.${type}`));
  for (const flag of Object.keys(FLAGS)) {
    if (flag === "open" && !run.review) continue;
    chip("flag", flag, say(`flag.${flag}`));
  }
  for (const cause of run.causes || []) if (state.cause.includes(cause.id)) chip("cause", cause.id, own(cause.title));
  const focused = document.activeElement.dataset.filter;
  byId("filters").replaceChildren(...chips);
  if (focused) chips.find((one) => one.dataset.filter === focused)?.focus();
}

/** Put the visible rows into the document, and a few beyond, and take out the others but for the focused one. */
function drawRows() {
  const found = grid.shown;
  if (!found || !grid.body.clientHeight || grid.printing) return;
  grid.height = parseFloat(getComputedStyle(grid.space).getPropertyValue("--row")) || 36;
  grid.space.style.height = `${found.length * grid.height}px`;
  const first = Math.max(0, Math.floor(grid.body.scrollTop / grid.height) - 4);
  const last = Math.min(found.length - 1, Math.ceil((grid.body.scrollTop + roomForRows()) / grid.height) + 4);
  for (const [index, row] of grid.made) {
    if ((index >= first && index <= last) || row === document.activeElement) continue;
    row.remove();
    grid.made.delete(index);
  }
  for (let index = first; index <= last; index++) {
    const row = grid.made.get(index) || makeRow(found[index], index);
    row.style.transform = `translateY(${index * grid.height}px)`;
    row.tabIndex = index === grid.focus ? 0 : -1;
    row.setAttribute("aria-selected", String(found[index].n === state.open));
  }
  // Tab must find a row although the one that would have it has scrolled away.
  if (found.length && !grid.made.has(grid.focus)) grid.made.get(Math.min(last, first + 4)).tabIndex = 0;
}

const MOST_PRINTED = 5000; // rows; a browser lays out more only in minutes

/** Draw all rows one below the other, since paper does not scroll. */
function drawRowsToPrint() {
  if (state.view !== "list" || state.open !== null) return;
  grid.printing = true;
  grid.made.clear();
  grid.space.replaceChildren();
  grid.shown.slice(0, MOST_PRINTED).forEach(makeRow);
  if (grid.shown.length <= MOST_PRINTED) return;
  byId("empty").hidden = false;
  byId("empty").textContent = say("list.printed", { n: MOST_PRINTED, all: grid.shown.length });
}

function drawRowsToScreen() {
  if (!grid.printing) return;
  grid.printing = false;
  redrawRows();
  renderList();
}

/** The height that the rows have to themselves: the line of headers stays above them. */
function roomForRows() {
  return grid.body.clientHeight - grid.space.previousElementSibling.offsetHeight;
}

function makeRow(row, index) {
  const doubts = doubtsOf(row).length;
  const main = mainField(row);
  const cell = (name, ...content) => el("div", { role: "gridcell", class: `cell ${name}` }, ...content);
  const made = el(
    "div",
    {
      role: "row",
      class: "row",
      "aria-rowindex": index + 2,
      "data-n": row.n,
      onclick: () => openDocument(row.n),
      onfocus: () => (grid.focus = index),
    },
    cell(
      "file",
      thumbs.has(row.n) ? el("img", { class: "thumb", src: dataUrl(thumbs.get(row.n)), alt: "" }) : null,
      el("span", { class: "name", title: row.source }, row.file || row.source),
      row.page ? el("span", { class: "quiet" }, ` #${row.page}`) : null,
      row.copy_of ? el("span", { class: "tag" }, say("tag.copy")) : null,
      twins.has(row.n) ? el("span", { class: "tag" }, say("tag.twin")) : null,
      row.review?.done ? el("span", { class: "tag done" }, say("tag.done")) : null,
    ),
    cell(
      "status",
      el("span", { class: `mark ${row.status}`, "aria-hidden": "true" }, MARKS[row.status]),
      el("span", { class: "word" }, say(`status.${row.status}`)),
    ),
    cell("document", row.document ? say(`document.${row.document}`) : ""),
    cell("min", typeof row.min === "number" ? meter(row.min) : el("span", { class: "quiet" }, "–")),
    cell("review", doubts ? el("b", { class: "doubts" }, number(doubts)) : ""),
    cell("main", main ? main.t : ""),
    cell("billed", say(row.billed ? "billed.yes" : row.maybe ? "billed.maybe" : "billed.no")),
  );
  grid.made.set(index, made);
  grid.space.append(made);
  return made;
}

/** Show a confidence as a bar and a number; a low one is hatched, so that colour is not the only sign. */
function meter(confidence) {
  const bar = el("span", { class: "fill" });
  bar.style.width = `${Math.round(confidence * 100)}%`;
  return el(
    "span",
    { class: `meter ${confidence < state.t ? "low" : "high"}` },
    el("span", { class: "bar", "aria-hidden": "true" }, bar),
    confidence.toFixed(2),
  );
}

function focusRow(index) {
  if (!grid.shown.length) return;
  scrollToRow(Math.min(grid.shown.length - 1, Math.max(0, index)));
  grid.made.get(grid.focus)?.focus({ preventScroll: true });
}

/** Scroll no further than until a row is visible; the Tab key leads to it. */
function scrollToRow(index) {
  grid.focus = index;
  const top = index * grid.height;
  if (top < grid.body.scrollTop) grid.body.scrollTop = top;
  const end = top + grid.height - roomForRows();
  if (end > grid.body.scrollTop) grid.body.scrollTop = end;
  drawRows();
}

/** Have the list follow the open document, where it stands beside it. */
function followDocument(n) {
  const index = visibleRows().findIndex((row) => row.n === n);
  if (index >= 0 && grid.body.clientHeight) scrollToRow(index);
}

function onGridKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const page = Math.max(1, Math.floor(roomForRows() / grid.height) - 1);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (event.key in steps) {
    event.preventDefault();
    focusRow(grid.focus + steps[event.key]);
  } else if (event.key === "Enter" && event.target.dataset.n) {
    event.preventDefault();
    openDocument(Number(event.target.dataset.n));
  }
}
