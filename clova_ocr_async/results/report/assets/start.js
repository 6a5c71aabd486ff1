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
  state = stateOf(location.hash);
  render();
}

function renderHeading() {
  byId("made-at").textContent = run.made_at ? say("made_at", { time: moment(run.made_at) }) : "";
}

function start() {
  readBlocks();
  loadSettings(run.language || "en");
  document.documentElement.dataset.theme = settings.theme;
  for (const group of run.copies || []) for (const n of group) twins.add(n);
  if (run.review) takeToken();
  state = stateOf(location.hash);
  byId("app").hidden = false;
  byId("tools").hidden = false;
  translatePage();
  renderHeading();
  startList();
  startStage();
  startKeys();
  renderKeys();
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      switchView(link.dataset.view);
    });
  }
  byId("clear").addEventListener("click", () => go({ ...fresh(), view: "list", sort: state.sort, down: state.down, open: state.open, field: state.field, t: state.t }));
  addEventListener("popstate", onAddress);
  // What was typed and not saved would be lost.
  addEventListener("beforeunload", (event) => review.drafts.size && event.preventDefault());
  render();
  if (state.open !== null) focusField();
  setTimeout(prepareSearch, 50);
}

/** An incomplete page says so: a half of a file that was copied may still open. */
try {
  start();
} catch (error) {
  byId("broken").hidden = false;
  throw error;
}
