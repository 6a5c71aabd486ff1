/* Words, elements and numbers, which every other part uses.

   The page opens from disk under a strict policy. So there are no modules, no requests and no inline handlers, and
   every value of a document becomes text or an attribute, never markup. */

const TEXTS = JSON.parse(byId("words").textContent);
const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "image", "polygon", "rect", "title"]);
const settings = { language: "en", theme: "auto", keys: "on" };

function byId(id) {
  return document.getElementById(id);
}

// Marks that turn the direction of the text after them, so that one name looks like another.
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Return a text with those marks spelled out. */
function spelled(text) {
  return text.replace(TURNS, (mark) => `[U+${mark.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** Make an element. Strings among the children become text; a child that is null or false is left out. */
function el(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  const there = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  made.append(...there.map((child) => (typeof child === "string" ? spelled(child) : child)));
  return made;
}

/** Return a text in the language of the page; "one|many" is chosen by the number n. */
function say(key, values = {}) {
  const entry = TEXTS.words[key];
  if (!entry) return key;
  const forms = entry[settings.language].split("|");
  const text = forms[values.n === 1 ? 0 : forms.length - 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

function shown(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "number" ? number(value) : String(value);
}

/** Return the text of a pair {en, ko} for the language of the page: the run itself has such texts. */
function own(pair) {
  return pair ? pair[settings.language] || pair.en || "" : "";
}

/** Return a reason as the package words it, in the language of the page. */
function reasonText(reason) {
  const confidence = /^confidence ([0-9.]+)$/.exec(reason);
  if (confidence) return say("why.confidence", { c: confidence[1] });
  const check = /^(\w+): (.*)$/.exec(reason);
  if (check && TEXTS.words[`check.${check[1]}`]) return `${say(`check.${check[1]}`)}: ${reasonText(check[2])}`;
  return (settings.language === "ko" && TEXTS.reasons[reason]) || reason;
}

const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });

function number(value) {
  return GROUPED.format(value);
}

function money(amount) {
  return `₩${GROUPED.format(Math.round(amount))}`;
}

function seconds(value) {
  if (value === null || value === undefined) return "–";
  return say("seconds", { value: value < 10 ? value.toFixed(value < 1 ? 2 : 1) : String(Math.round(value)) });
}

function moment(iso) {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso || "";
  const locale = settings.language === "ko" ? "ko-KR" : "en-GB";
  return time.toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
}

/** Read and keep settings. Browsers that keep nothing for pages from disk throw, and the page works without. */
function loadSettings(language) {
  settings.language = language;
  for (const name of Object.keys(settings)) {
    try {
      settings[name] = localStorage.getItem(`clova-report-${name}`) || settings[name];
    } catch {
      break;
    }
  }
  // Another version may have kept other languages.
  if (!["en", "ko"].includes(settings.language)) settings.language = language;
}

function keepSetting(name, value) {
  settings[name] = value;
  try {
    localStorage.setItem(`clova-report-${name}`, value);
  } catch {
    // It holds until the page is closed.
  }
}

/** Put all fixed texts of the page into its language: of elements, and of their names and placeholders. */
function translatePage(root = document) {
  document.documentElement.lang = settings.language;
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = say(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", say(element.dataset.tLabel));
    if (element.tagName === "BUTTON") element.title = say(element.dataset.tLabel);
  }
  for (const element of root.querySelectorAll("[data-t-placeholder]")) {
    element.placeholder = say(element.dataset.tPlaceholder);
  }
}

let announcements = 0;

/** Have a screen reader speak a text; sighted readers see it for a moment at the foot of the page. */
function announce(text) {
  const place = byId("announcement");
  const mine = ++announcements;
  place.textContent = text;
  place.classList.add("seen");
  setTimeout(() => mine === announcements && place.classList.remove("seen"), 4000);
}

/** Return a button that copies a text; where the browser refuses the clipboard, the text is selected instead. */
function copyButton(text, label, target) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      announce(say("copied"));
    } catch {
      getSelection().selectAllChildren(target);
      announce(say("copy.by_hand"));
    }
  };
  return el("button", { type: "button", class: "small", onclick: copy }, label);
}
