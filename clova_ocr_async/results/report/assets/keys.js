/* Keys: one table binds them, shows them in the help, and names them at their buttons. */

const KEYS = [
  { key: "n", does: "next_doubtful", hint: true, run: () => stepDoubtful(1) },
  { key: "p", does: "previous_doubtful", run: () => stepDoubtful(-1) },
  { key: "j", does: "next_document", hint: true, where: "document", run: () => stepDocument(1) },
  { key: "k", does: "previous_document", hint: true, where: "document", run: () => stepDocument(-1) },
  { key: "ArrowDown", does: "next_field", where: "fields", run: () => stepField(1) },
  { key: "ArrowUp", does: "previous_field", where: "fields", run: () => stepField(-1) },
  { key: "z", does: "zoom_field", hint: true, where: "document", run: () => zoomToField(state.field ?? 0) },
  { key: "0", does: "fit", where: "document", run: fit },
  { key: "+", does: "zoom_in", where: "document", run: () => zoomBy(1.4) },
  { key: "-", does: "zoom_out", where: "document", run: () => zoomBy(1 / 1.4) },
  { key: "r", does: "rotate", where: "document", run: rotate },
  { key: "b", does: "boxes", hint: true, where: "document", run: toggleBoxes },
  { key: "e", does: "edit", hint: true, where: "review", run: focusInput },
  {
    key: "c",
    does: "confirm",
    hint: true,
    where: "review",
    run: () => state.field !== null && saveField(state.open, state.field),
  },
  { key: "d", does: "done", hint: true, where: "review", run: setDone },
  { key: "u", does: "undo", where: "review", run: undo },
  { key: "/", does: "search", run: () => focusSearch() },
  { key: "Enter", does: "open", where: "shown only" },
  { key: "Escape", does: "close", run: leave },
  { key: "s", does: "summary", run: () => switchView(state.view === "summary" ? "list" : "summary") },
  { key: "l", does: "language", run: switchLanguage },
  { key: "t", does: "theme", run: switchTheme },
  { key: "?", does: "help", run: toggleHelp },
];

const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc" };
// What a key means follows from what it types; on a Korean keyboard these are the letters of the same keys.
const KOREAN = {
  ㅜ: "n",
  ㅔ: "p",
  ㅓ: "j",
  ㅏ: "k",
  ㅋ: "z",
  ㄱ: "r",
  ㅠ: "b",
  ㄷ: "e",
  ㅊ: "c",
  ㅇ: "d",
  ㅕ: "u",
  ㄴ: "s",
  ㅣ: "l",
  ㅅ: "t",
};

function applies(entry) {
  if (entry.where === "document") return state.open !== null;
  if (entry.where === "fields") return state.open !== null && !byId("grid").contains(document.activeElement);
  if (entry.where === "review") return run.review && state.open !== null;
  return Boolean(entry.run);
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.isComposing || event.defaultPrevented) return;
  const typing = event.target.matches?.("input[type=text], input[type=search], select, textarea");
  if (typing && event.key !== "Escape") return;
  // Who speaks to the machine types letters by accident, so letters can be switched off.
  if (settings.keys === "off" && event.key.length === 1) return;
  if (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return;
  if (byId("help").open && !["Escape", "?"].includes(event.key)) return;
  const key = KOREAN[event.key] || (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const entry = KEYS.find((one) => one.key === key && applies(one));
  if (!entry) return;
  event.preventDefault();
  entry.run();
}

function focusSearch() {
  switchView("list");
  byId("search").focus();
  byId("search").select();
}

/** Leave what is innermost: the help, the search box, the document, the list. */
function leave() {
  if (byId("help").open) byId("help").close();
  else if (document.activeElement === byId("search")) focusRow(grid.focus);
  else if (state.open !== null) closeDocument();
  else switchView("summary");
}

function switchView(view) {
  if (state.view !== view || state.open !== null) go({ view, open: null, field: null }, { push: true });
}

function switchLanguage() {
  keepSetting("language", settings.language === "ko" ? "en" : "ko");
  translatePage();
  renderHeading();
  renderKeys();
  forgetRows();
  render();
}

function switchTheme() {
  const dark =
    getComputedStyle(document.documentElement).colorScheme === "dark" ||
    (settings.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  keepSetting("theme", dark ? "light" : "dark");
  document.documentElement.dataset.theme = settings.theme;
}

function toggleHelp() {
  const help = byId("help");
  if (help.open) help.close();
  else help.showModal();
}

/** Fill the help and the line of hints, and name each key at its button. */
function renderKeys() {
  const entries = KEYS.filter((entry) => entry.where !== "review" || run.review);
  byId("hints").replaceChildren(
    ...entries
      .filter((entry) => entry.hint || entry.does === "help")
      .flatMap((entry) => [el("span", {}, el("kbd", {}, entry.key), ` ${say(`key.${entry.does}`)}`), " "]),
  );
  byId("keys").replaceChildren(
    ...entries.flatMap((entry) => [
      el("dt", {}, el("kbd", {}, NAMES[entry.key] || entry.key)),
      el("dd", {}, say(`key.${entry.does}`)),
    ]),
  );
  for (const button of document.querySelectorAll("[data-does]")) {
    const entry = KEYS.find((one) => one.does === button.dataset.does);
    button.title = `${say(`key.${entry.does}`)} (${NAMES[entry.key] || entry.key})`;
    button.setAttribute("aria-keyshortcuts", entry.key);
    if (button.matches(".icon")) button.setAttribute("aria-label", button.title);
  }
}

function startKeys() {
  document.addEventListener("keydown", onKey);
  for (const button of document.querySelectorAll("[data-does]")) {
    button.addEventListener("click", KEYS.find((entry) => entry.does === button.dataset.does).run);
  }
  const box = byId("keys-on");
  box.checked = settings.keys === "on";
  box.addEventListener("change", () => keepSetting("keys", box.checked ? "on" : "off"));
  byId("help-close").addEventListener("click", toggleHelp);
}
