/* The start: read the data, bind the page, and show what the address asks for. */

function render() {
  document.body.dataset.view = state.view;
  byId("summary").hidden = state.view !== "summary";
  byId("documents").hidden = state.view !== "list";
  for (const link of document.querySelectorAll("nav a")) {
    const now = link.dataset.view === state.view;
    if (now) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (state.view === "summary") renderSummary();
  else renderList();
  renderDocument();
}

function onAddress() {
  if (run.review && takeToken()) {
    comeBack().catch(sayBroken);
    return;
  }
  const before = state.open;
  state = stateOf(location.hash);
  render();
  // The link or the row that had the focus may be hidden now.
  if (state.open !== before) focusPlace(before);
}

/** Put the focus where a step of the address leads: into the open document, or back to the row of the one before. */
function focusPlace(before) {
  if (state.open !== null) focusField();
  else if (state.view === "list") focusRowOf(before);
}

function renderHeading() {
  byId("made-at").textContent = run.made_at ? say("made_at", { time: moment(run.made_at) }) : "";
}

async function start() {
  run = JSON.parse(taken(byId("run")));
  loadSettings(run.language || "en");
  document.documentElement.dataset.theme = settings.theme;
  translatePage();
  await readBlocks();
  if (run.review) {
    takeToken();
    // A link to a document waits for it.
    await loadRows(/[#&]open=/.test(location.hash) ? null : showSoFar);
  }
  readRun();
  if (partly) forgetRows();
  else show();
  renderHeading();
  render();
  if (state.open !== null && !partly) focusField();
  setTimeout(prepareSearch, 50);
}

let partly = false; // shown before all rows were there

/** Show the page for the first time. */
function show() {
  state = stateOf(location.hash);
  byId("app").hidden = false;
  for (const part of [byId("tools"), document.querySelector("nav")]) part.hidden = false;
  bind();
  renderKeys();
}

/** Show the rows of a review that are there already: the list, as the summary needs all of them. */
function showSoFar() {
  if (!partly) {
    show();
    partly = true;
    state.view = "list";
  }
  forgetRows();
  render();
}

function bind() {
  startList();
  startStage();
  startKeys();
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      switchView(link.dataset.view);
    });
  }
  byId("clear").addEventListener("click", () => go({ q: "", status: [], type: [], flag: [], cause: [] }));
  addEventListener("popstate", onAddress);
  addEventListener("beforeprint", () => {
    drawRowsToPrint();
    holdStage();
  });
  addEventListener("afterprint", () => {
    releaseStage();
    drawRowsToScreen();
  });
  // What was typed and not saved would be lost.
  addEventListener("beforeunload", (event) => review.drafts.size && event.preventDefault());
}

/** Say why there is nothing: a half of a file that was copied may still open, and a server may refuse the page. */
function sayBroken(error) {
  byId("broken").hidden = false;
  if (run?.review) byId("broken").textContent = error.message;
  throw error;
}

start().catch(sayBroken);
