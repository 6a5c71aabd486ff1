/* Searching: over names of files and all values, Hangul by initial consonants too. */

const INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ";
// An input method joins two consonants that are typed one after the other.
const CLUSTERS = {
  ㄳ: "ㄱㅅ",
  ㄵ: "ㄴㅈ",
  ㄶ: "ㄴㅎ",
  ㄺ: "ㄹㄱ",
  ㄻ: "ㄹㅁ",
  ㄼ: "ㄹㅂ",
  ㄽ: "ㄹㅅ",
  ㄾ: "ㄹㅌ",
  ㄿ: "ㄹㅍ",
  ㅀ: "ㄹㅎ",
  ㅄ: "ㅂㅅ",
};
const haystacks = [];

/** Return the initial consonants of a text; other characters stay. */
function initialsOf(text) {
  // Not joined letter by letter: the engine keeps such strings as trees, ten times as large.
  return text.replace(/[가-힣]/g, (syllable) => INITIALS[Math.floor((syllable.charCodeAt(0) - 0xac00) / 588)]);
}

/** Names of files from macOS come decomposed, so both sides are composed. */
function folded(text) {
  return text.normalize("NFC").toLowerCase();
}

function haystackOf(row) {
  let found = haystacks[row.n];
  if (!found) {
    const parts = [row.source, row.file, row.request_id, row.error?.code, row.error?.message];
    parts.push(...Object.values(row.columns || {}));
    for (const field of row.fields || []) parts.push(field.t, field.v);
    const text = folded(parts.filter(Boolean).join("\n"));
    found = { text, initials: /[ㄱ-ㅎ가-힣]/.test(text) ? initialsOf(text) : "" };
    haystacks[row.n] = found;
  }
  return found;
}

/** Fill the haystacks while the page is idle, so that the first search is as fast as the others. */
function prepareSearch(from = 0) {
  const end = Math.min(rows.length, from + 400);
  for (let n = from; n < end; n++) haystackOf(rows[n]);
  if (end < rows.length) setTimeout(prepareSearch, 0, end);
}

/** Return the test of a query: every word of it must be found. A word of consonants alone is looked up as initials. */
function matcherOf(query) {
  const words = folded(query)
    .split(/\s+/)
    .filter(Boolean)
    .map((word) => {
      const split = word.replace(/[ㄳ-ㅄ]/g, (character) => CLUSTERS[character] || character);
      return /^[ㄱ-ㅎ]+$/.test(split) ? { initials: split } : { text: word };
    });
  if (!words.length) return () => true;
  return (row) =>
    words.every((word) => {
      const haystack = haystackOf(row);
      return word.initials ? haystack.initials.includes(word.initials) : haystack.text.includes(word.text);
    });
}
