// The top of the page: what the dataset is, and how its counts add up.
"use strict";

/** Fill the header. */
function showSummary(overview) {
  document.title = `${cut(overview.name, 100)} · gallery`;
  document.getElementById("name").textContent = overview.name;
  document
    .getElementById("facts")
    .replaceChildren(
      "Export ",
      make("code", {}, overview.export_id),
      " · ",
      ...[when(overview.created_at), overview.format, size(overview.bytes)].flatMap((fact, index) => [
        index ? " · " : "",
        make("span", {}, fact),
      ]),
    );
  document.getElementById("sum").replaceChildren(sumUp(overview));
}

/** Return the reasons and their counts, the largest first. */
function listDrops(overview) {
  return Object.entries(overview.drops).sort((one, other) => other[1] - one[1]);
}

function sumUp(overview) {
  const drops = listDrops(overview);
  const term = (sign, number, name, where, swatch) =>
    make(
      "div",
      { className: sign ? "term signed" : "term" },
      make(
        "dt",
        {},
        swatch && make("i", { className: `swatch ${swatch}` }),
        where ? make("a", { href: where }, name) : name,
      ),
      make("dd", {}, sign && make("span", { className: "sign" }, sign), count(number)),
    );
  const total = overview.exported + drops.reduce((sum, [, number]) => sum + number, 0);
  return make(
    "div",
    { className: "sum" },
    make(
      "dl",
      { ariaLabel: "Counts" },
      term(null, overview.seen, "seen"),
      term("=", overview.exported, "exported", address("samples"), "exported"),
      drops.map(([reason, number], index) =>
        term("+", number, nameReason(reason), address("left-out", { at: reason }), `drop-${index % 6}`),
      ),
    ),
    make(
      "div",
      { className: "shares", ariaHidden: "true" },
      makePart(overview.exported, overview.seen, "exported"),
      drops.map(([, number], index) => makePart(number, overview.seen, `drop-${index % 6}`)),
    ),
    total === overview.seen
      ? null
      : make("p", { className: "note" }, `These do not add up: they are ${count(total)} together.`),
  );
}
