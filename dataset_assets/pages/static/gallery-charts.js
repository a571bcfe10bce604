// Charts as elements: each is read as words and numbers too. What they are of is gallery-numbers.js.
"use strict";

/** Return a bar for a table's cell: `part` of `whole`. */
function makeBar(part, whole, name = "") {
  return make(
    "span",
    { className: `bar-track ${name}`.trim(), ariaHidden: "true" },
    make("i", { style: { width: `${whole ? Math.max(part ? 0.5 : 0, (100 * part) / whole) : 0}%` } }),
  );
}

/** Return the cells of a table's row that show a number: its bar beside the `most`, itself, its share of the whole. */
function barCells(number, most, whole, name = "") {
  return [
    make("td", { className: "bar-cell" }, makeBar(number, most, name)),
    make("td", { className: "number" }, count(number)),
    make("td", { className: "number quiet" }, share(number, whole)),
  ];
}

/** Return a rectangle with the aspect ratio of width × height, as large as fits into a square. */
function makeShape(w, h) {
  const side = 22;
  const scale = side / Math.max(w, h, 1);
  const [width, height] = [w * scale, h * scale];
  return draw(
    "svg",
    {
      viewBox: `0 0 ${side + 2} ${side + 2}`,
      width: side + 2,
      height: side + 2,
      class: "shape",
      "aria-hidden": "true",
    },
    draw("rect", { x: 1 + (side - width) / 2, y: 1 + (side - height) / 2, width, height, rx: 1 }),
  );
}

/**
 * Return a histogram; `name` says an edge in words, `what` is counted, `many` of it. An `open` one has in its last bin
 * what is beyond the last edge, too.
 */
function makeHistogram(histogram, name, what, { many = `${what}s`, open = false } = {}) {
  const { edges, counts } = histogram;
  const most = Math.max(...counts, 0);
  const all = counts.reduce((sum, number) => sum + number, 0);
  if (!all) return make("p", { className: "quiet" }, "There is nothing to count.");
  const last = counts.length - 1;
  const isOpen = (index) => open && index === last;
  const end = (index) => (isOpen(index) ? "and more" : name(edges[index + 1]));
  const span = (index) => `${name(edges[index])} ${isOpen(index) ? "" : "to "}${end(index)}`;
  const peak = counts.indexOf(most);
  const bars = counts.map((number, index) =>
    make("i", {
      title: `${span(index)}: ${several(number, what, many)}`,
      style: { height: `${number ? Math.max(1, (100 * number) / most) : 0}%` },
    }),
  );
  const ticks = [name(edges[0]), name(edges[Math.round(counts.length / 2)]), end(last)];
  return make(
    "div",
    {},
    make(
      "div",
      {
        className: "histogram",
        role: "img",
        ariaLabel: `Histogram of ${several(all, what, many)}. Most, ${count(most)}, are at ${span(peak)}.`,
      },
      bars,
    ),
    make(
      "div",
      { className: "ticks", ariaHidden: "true" },
      ticks.map((tick) => make("span", {}, tick)),
    ),
    makeTable(
      "As a table",
      ["From", "To", sentence(many)],
      counts.map((number, index) => [name(edges[index]), end(index), number]).filter(([, , number]) => number),
    ),
  );
}

/** Return a map of how many sources there are of which size, on logarithmic scales, with the targets as rings. */
function makeSizes(sizes) {
  const { width_edges: across, height_edges: up, targets } = sizes;
  const all = sizes.counts.flat().reduce((sum, number) => sum + number, 0);
  if (!all) return make("p", { className: "quiet" }, "There is nothing to count.");
  const label = `Sizes of ${several(all, "source image")}, with ${several(targets.length, "target")}.`;
  const mark = (className, side, edges) =>
    roundEdges(edges).map((edge) =>
      make("span", { className, style: { [side]: `${100 * place(edge, edges)}%` } }, String(edge)),
    );
  return make(
    "div",
    { className: "sizes" },
    make(
      "div",
      { className: "map", role: "img", ariaLabel: label },
      makeCells(sizes),
      makeRings(sizes),
      mark("across", "left", across),
      mark("up", "bottom", up),
    ),
    make(
      "p",
      { className: "quiet small key" },
      "Width across and height up, pixels; a stronger colour is more images. ",
      make("i", { className: "ring" }),
      " a bucket's target.",
    ),
  );
}

function makeCells({ width_edges: across, height_edges: up, counts }) {
  const most = Math.max(...counts.flat());
  const range = (edges, index) => `${Math.round(edges[index])}–${Math.round(edges[index + 1])}`;
  const cells = counts.flatMap((row, y) =>
    row.map((number, x) => {
      if (!number) return "";
      const strength = 0.18 + 0.82 * (Math.log1p(number) / Math.log1p(most));
      const title = `${range(across, x)} × ${range(up, y)} pixels: ${several(number, "image")}`;
      const where = { x, y: counts.length - 1 - y, width: 1, height: 1, "fill-opacity": strength.toFixed(3) };
      return draw("rect", where, draw("title", {}, title));
    }),
  );
  const viewBox = `0 0 ${across.length - 1} ${counts.length}`;
  return draw("svg", { viewBox, preserveAspectRatio: "none", "aria-hidden": "true" }, ...cells);
}

function makeRings({ width_edges: across, height_edges: up, targets }) {
  return targets
    .map(([w, h, number]) => ({ w, h, number, x: place(w, across), y: place(h, up) }))
    .filter(({ x, y }) => x >= 0 && x <= 1 && y >= 0 && y <= 1)
    .map(({ w, h, number, x, y }) =>
      make("i", {
        className: "ring",
        title: `Target ${pixels(w, h)}: ${several(number, "image")}`,
        style: { left: `${100 * x}%`, bottom: `${100 * y}%` },
      }),
    );
}

/** Return a table that is closed until a person opens it. */
function makeTable(name, heads, rows) {
  const named = (tag, value, sample, properties = {}) =>
    make(tag, { className: typeof sample === "number" ? "number" : "", ...properties }, value);
  const head = heads.map((text, index) => named("th", text, rows[0][index], { scope: "col" }));
  const body = rows.map((row) =>
    make(
      "tr",
      {},
      row.map((value) => named("td", typeof value === "number" ? count(value) : value, value)),
    ),
  );
  const table = make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, body));
  return make("details", { className: "small" }, make("summary", {}, name), table);
}

/** Return where a value is on a logarithmic scale: 0 at its first edge, 1 at its last. */
function place(value, edges) {
  const [first, last] = [edges[0], edges[edges.length - 1]].map((edge) => Math.log(Math.max(edge, 1)));
  return last > first ? (Math.log(Math.max(value, 1)) - first) / (last - first) : 0.5;
}

/** Return the powers of two between the first and the last edge; every other one where they are many. */
function roundEdges(edges) {
  const powers = Array.from({ length: 20 }, (_, power) => 2 ** power).filter(
    (edge) => edge >= edges[0] && edge <= edges[edges.length - 1],
  );
  return powers.length > 8 ? powers.filter((_, index) => (powers.length - 1 - index) % 2 === 0) : powers;
}
