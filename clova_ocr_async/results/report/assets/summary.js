/* The first view: the cost of a run, its failures by cause, and the values to look at. */

const SHOWN_AT_FIRST = 20;

function renderSummary() {
  const totals = run.totals;
  if (!totals) {
    byId("summary").replaceChildren(); // of a review whose rows are on their way
    return;
  }
  byId("summary").replaceChildren(
    ...[
      tiles(totals),
      el("div", { class: "columns" }, moneyCard(totals), speedCard()),
      causesCard(),
      ambiguousCard(),
      copiesCard(),
      checksCard(),
      notShownCard(),
    ].filter(Boolean),
  );
}

function card(title, ...content) {
  return el("section", { class: "card", "aria-label": title }, el("h2", {}, title), ...content);
}

/** Return a link to the list with some filters: a real link, so that it can be copied and opened beside. */
function listLink(filters, ...content) {
  return el("a", { href: fragmentOf({ ...fresh(), view: "list", t: state.t, ...filters }) }, ...content);
}

function documentLink(n) {
  const row = rows[n];
  if (!row) return el("span", {}, `#${n}`);
  return el(
    "a",
    { href: fragmentOf({ ...fresh(), view: "list", t: state.t, open: n }) },
    row.file || row.source,
    row.page ? ` #${row.page}` : "",
  );
}

function tiles(totals) {
  const statuses = totals.statuses || {};
  const tile = (label, value, filters, kind = "") =>
    el(
      "li",
      { class: `tile ${kind}` },
      listLink(filters, el("span", { class: "figure" }, number(value || 0)), el("span", { class: "label" }, label)),
    );
  const kinds = Object.entries(totals.documents || {}).map(([name, n]) => `${say(`document.${name}`)} ${number(n)}`);
  return el(
    "div",
    {},
    el(
      "ul",
      { class: "tiles", "aria-label": say("totals") },
      tile(say("tile.records"), totals.records, {}),
      ...STATUSES.filter((status) => status === "succeeded" || statuses[status]).map((status) =>
        tile(
          el(
            "span",
            {},
            el("span", { class: `mark ${status}`, "aria-hidden": "true" }, MARKS[status]),
            ` ${say(`status.${status}`)}`,
          ),
          statuses[status],
          { status: [status] },
          status,
        ),
      ),
      // Counted here: the threshold of the page and the corrections of a review change it.
      tile(
        say("tile.to_review"),
        rows.reduce((sum, row) => sum + doubtsOf(row).length, 0),
        { flag: ["review"] },
      ),
      tile(say("tile.checks_failed"), totals.checks_failed, { flag: ["checks"] }),
    ),
    kinds.length > 1 ? el("p", { class: "quiet" }, kinds.join(" · ")) : null,
  );
}

function moneyCard(totals) {
  const price = run.price;
  const cost = (calls) => (price ? el("td", { class: "number" }, calls ? money(calls * price) : "") : null);
  const line = (label, billed, maybe) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, label),
      el("td", { class: "number" }, billed ? number(billed) : ""),
      el("td", { class: "number" }, maybe ? number(maybe) : ""),
      cost(billed),
    );
  const head = ["money.cause", "money.billed", "money.maybe", ...(price ? ["money.cost"] : [])];
  return card(
    say("money"),
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el("tr", {}, ...head.map((key, place) => el("th", { scope: "col", class: place ? "number" : null }, say(key)))),
      ),
      el("tbody", {}, ...(run.money || []).map((part) => line(own(part.title), part.billed, part.maybe_billed))),
      el("tfoot", {}, line(say("money.total"), totals.billed, totals.maybe_billed)),
    ),
    el(
      "p",
      {},
      totals.spared
        ? say(price ? "money.spared_cost" : "money.spared", { n: totals.spared, cost: money(totals.spared * price) })
        : say("money.none_spared"),
    ),
    totals.maybe_billed && price
      ? el("p", {}, say("money.at_most", { cost: money((totals.billed + totals.maybe_billed) * price) }))
      : null,
    price
      ? el("p", { class: "quiet" }, say("money.price", { price: money(price) }))
      : el("p", { class: "quiet" }, say("money.no_price")),
  );
}

function speedCard() {
  const speed = run.speed || {};
  const perMinute = speed.per_minute || [];
  const times = speed.seconds || {};
  const histogram = times.histogram || [];
  return card(
    say("speed"),
    speed.from ? el("p", {}, say("speed.span", { from: moment(speed.from), to: moment(speed.to) })) : null,
    el("h3", {}, say("speed.per_minute")),
    perMinute.length
      ? barPlot(perMinutes(perMinute), say("speed.per_minute"), (end) => say("speed.minute", { n: end }))
      : el("p", { class: "quiet" }, say("speed.unknown")),
    el("h3", {}, say("speed.seconds")),
    histogram.length
      ? barPlot(histogram, say("speed.seconds"), seconds)
      : el("p", { class: "quiet" }, say("speed.no_seconds")),
    times.p50 !== null && times.p50 !== undefined
      ? el(
          "p",
          {},
          say("speed.quantiles", { p50: seconds(times.p50), p95: seconds(times.p95), max: seconds(times.max) }),
        )
      : null,
  );
}

/** Return the answers per minute, without gaps, in at most sixty bars: the mean of neighbouring minutes. */
function perMinutes(counted) {
  const end = counted[counted.length - 1][0] + 1;
  const width = Math.max(1, Math.ceil(end / 60));
  const bars = Array.from({ length: Math.ceil(end / width) }, (_, place) => [Math.min(end, (place + 1) * width), 0]);
  for (const [minute, answered] of counted) bars[Math.floor(minute / width)][1] += answered / width;
  return bars;
}

/** Draw bars; each stands for a range that ends at its first number. Texts in the picture would shrink with it. */
function barPlot(bars, title, edge) {
  const most = Math.max(...bars.map(([, value]) => value), 1e-9);
  const height = 100;
  const shapes = bars.map(([end, value], place) =>
    el(
      "rect",
      { x: place + 0.08, width: 0.84, y: height - (height * value) / most, height: (height * value) / most },
      el("title", {}, `${edge(end)}: ${number(value)}`),
    ),
  );
  const figure = el(
    "figure",
    { class: "plot" },
    el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, number(most)), el("span", {}, "0")),
    el(
      "svg",
      {
        viewBox: `0 0 ${bars.length} ${height}`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": say("plot.label", { title, most: number(most), bars: bars.length }),
      },
      ...shapes,
    ),
    el(
      "div",
      { class: "edges", "aria-hidden": "true" },
      el("span", {}, "0"),
      el("span", {}, edge(bars[bars.length - 1][0])),
    ),
  );
  // A few bars as wide as the page would look like much.
  figure.style.maxWidth = `${bars.length * 48 + 60}px`;
  return figure;
}

/** Return the first of some elements, and a button that shows more: a failed run may have thousands. */
function shortened(items, make, wrap) {
  const list = wrap();
  const rest = el("button", { type: "button", class: "small" });
  let end = 0;
  const more = () => {
    list.append(...items.slice(end, end + SHOWN_AT_FIRST).map(make));
    end += SHOWN_AT_FIRST;
    rest.hidden = end >= items.length;
    rest.textContent = say("more", { n: Math.min(SHOWN_AT_FIRST, items.length - end), left: items.length - end });
  };
  rest.addEventListener("click", more);
  more();
  return [list, rest];
}

function causesCard() {
  const causes = run.causes || [];
  if (!causes.length) return card(say("causes"), el("p", {}, say("causes.none")));
  return card(
    say("causes"),
    ...causes.map((cause) => {
      const command = cause.command ? el("code", { class: "command" }, cause.command) : null;
      return el(
        "details",
        { class: "cause", open: causes.length <= 3 },
        el(
          "summary",
          {},
          el("b", {}, own(cause.title)),
          " ",
          el("span", { class: "badge" }, say("documents.count", { n: cause.rows.length })),
        ),
        own(cause.hint) ? el("p", {}, own(cause.hint)) : null,
        command ? el("p", { class: "copyable" }, command, copyButton(cause.command, say("copy"), command)) : null,
        ...shortened(
          cause.rows,
          (n) => el("li", {}, documentLink(n)),
          () => el("ul", { class: "names" }),
        ),
        el("p", {}, listLink({ cause: [cause.id] }, say("show_in_list"))),
      );
    }),
  );
}

function ambiguousCard() {
  const found = run.ambiguous || [];
  if (!found.length) return null;
  return card(
    say("ambiguous"),
    el("p", {}, say("ambiguous.hint")),
    ...shortened(
      found,
      (n) => el("li", {}, documentLink(n)),
      () => el("ul", { class: "names" }),
    ),
    el("p", {}, listLink({ status: ["ambiguous"] }, say("show_in_list"))),
  );
}

function copiesCard() {
  const groups = run.copies || [];
  if (!groups.length) return null;
  return card(
    say("copies"),
    el("p", {}, say("copies.hint")),
    ...shortened(
      groups,
      (group) => el("li", {}, ...group.flatMap((n, place) => [place ? " = " : null, documentLink(n)])),
      () => el("ul", { class: "groups" }),
    ),
    el("p", {}, listLink({ flag: ["twins"] }, say("show_in_list"))),
  );
}

function checksCard() {
  const checks = run.checks || [];
  if (!checks.length) return card(say("checks"), el("p", {}, say("checks.none")));
  const line = (found) =>
    el(
      "tr",
      {},
      el("td", {}, documentLink(found.row)),
      el("td", {}, say(`check.${found.name}`), el("br"), el("span", { class: "quiet" }, reasonText(found.reason))),
      el("td", { class: "disagree" }, disagreement(found.values || [])),
    );
  const [table, more] = shortened(checks, line, () => el("tbody"));
  return card(
    say("checks"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ...["column.file", "checks.check", "checks.values"].map((key) => el("th", { scope: "col" }, say(key))),
          ),
        ),
        table,
      ),
    ),
    more,
    el("p", {}, listLink({ flag: ["checks"] }, say("show_in_list"))),
  );
}

/** Return the values that disagree, each apart. */
function disagreement(values) {
  return values.flatMap((value, place) => [
    place ? el("span", { class: "quiet" }, " ≠ ") : null,
    el("span", { class: "value" }, value),
  ]);
}

function notShownCard() {
  const parts = (run.not_shown || []).map(own).filter(Boolean);
  const without = rows.filter((row) => !hasPicture(row)).length;
  if (without) parts.push(say("not_shown.pictures", { n: without }));
  return card(
    say("not_shown"),
    parts.length ? el("ul", {}, ...parts.map((text) => el("li", {}, text))) : el("p", {}, say("not_shown.nothing")),
  );
}
