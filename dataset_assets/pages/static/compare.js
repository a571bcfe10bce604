// Puts the page of a comparison together.
"use strict";

function showExport(letter, one) {
  const facts = [
    one.export_id ? ["export ", make("code", {}, one.export_id)] : null,
    one.created_at ? when(one.created_at) : null,
    one.format,
  ];
  return make(
    "div",
    { className: "export" },
    make("span", { className: `letter ${letter.toLowerCase()}` }, letter),
    make(
      "div",
      {},
      give("p", one.path),
      make(
        "p",
        { className: "quiet small" },
        `${several(one.samples, "sample")} in ${several(one.tars, "tar")}`,
        facts.filter(Boolean).flatMap((fact) => [" · ", fact].flat()),
      ),
    ),
  );
}

/** Return the counts of both exports together: what is only in one, what changed, what is the same. */
function sumUp(data) {
  const { counts } = data;
  const whole = counts.same + counts.changed + counts.added + counts.removed;
  const parts = ["same", "changed", "added", "removed"];
  const names = { same: "the same", changed: "changed", added: "only in B", removed: "only in A" };
  return [
    make("p", { className: "verdict" }, data.equal ? "The samples are the same." : "The samples differ."),
    make(
      "dl",
      { ariaLabel: "Counts" },
      parts.map((name) =>
        make(
          "div",
          { className: "term" },
          make("dt", {}, make("i", { className: `swatch ${name}` }), names[name]),
          make("dd", {}, count(counts[name])),
        ),
      ),
    ),
    make(
      "div",
      { className: "shares", ariaHidden: "true" },
      parts.map((name) => makePart(counts[name], whole, name)),
    ),
  ];
}

function showComparison() {
  const data = take("compare");
  if (!data) return;
  document.getElementById("exports").replaceChildren(showExport("A", data.a), showExport("B", data.b));
  document.getElementById("sum").replaceChildren(...sumUp(data));
  document.getElementById("tables").replaceChildren(...listTables(data));
  const kinds = listKinds(data.examples);
  document
    .getElementById("kinds")
    .replaceChildren(...kinds.map((kind) => make("a", { href: `#kind-${kind}` }, KINDS[kind])));
  const shown = kinds.map((kind) => showKind(kind, data.examples[kind]));
  document
    .getElementById("shown")
    .replaceChildren(
      ...(shown.length
        ? shown
        : [make("p", { className: "empty" }, data.equal ? "Nothing differs." : "No examples were asked for.")]),
    );
  document.getElementById(decode(location.hash.slice(1)))?.scrollIntoView();
}

showComparison();
