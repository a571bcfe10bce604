// The numbers of the comparison as tables.
"use strict";

const KINDS = {
  image: "Re-cropped",
  caption: "Re-captioned",
  variant: "Same caption of another variant",
  record: "Only other fields",
  added: "Added",
  removed: "Removed",
  moved: "In another tar, else the same",
};
const REASONS = {
  bucket: "another bucket",
  crop: "another crop",
  encoding: "another encoding",
  source: "another source",
  bytes: "other bytes",
  bytes_only: "other bytes, all else alike",
  same_bytes: "the same bytes, made otherwise",
};
const ROWS = 200; // of a table; the JSON of the command has all

/** Return every table that has something to say. */
function listTables(data) {
  return [
    changeTable(data),
    imageTable(data.images),
    bucketTable(data.buckets),
    flowTable("moves", "Moved between buckets", "Bucket", data.bucket_moves),
    variantTable(data),
    sourceTable(data.sources),
    differenceTable("settings", "Settings that differ", "Setting", data.settings),
    dropTable(data.drops),
    fieldTable(data.fields),
  ].filter(Boolean);
}

function changeTable(data) {
  const { counts, kinds } = data;
  const part = (name) => (kinds[name] ? [[KINDS[name].toLowerCase(), kinds[name], kinds[name]], "part"] : null);
  const rows = [
    [["the same", counts.same, counts.same]],
    [["changed", counts.changed, counts.changed]],
    part("image"),
    part("caption"),
    part("variant"),
    part("record"),
    [["removed", counts.removed, ""]],
    [["added", "", counts.added]],
    [["in all", counts.a, counts.b]],
  ].filter(Boolean);
  const both = data.combinations.filter((one) => one.kinds.length > 1).reduce((sum, one) => sum + one.count, 0);
  const twice = "both another image and another caption or variant";
  return section("counts", "Samples", [
    table("Samples", ["", "A", "B"], rows),
    both ? note(`${several(both, "changed sample has", "changed samples have")} ${twice}.`) : null,
    counts.moved ? note(`${several(counts.moved, "sample is", "samples are")} in another tar, changed or not.`) : null,
    counts.not_read
      ? note(`${count(counts.not_read)} of the same are in tars with the same hash, which were not opened.`)
      : null,
  ]);
}

function imageTable(images) {
  const rows = Object.entries(images)
    .filter(([, number]) => number)
    .map(([name, number]) => [[REASONS[name], number]]);
  if (!rows.length) return null;
  return section("images", "Re-cropped", [
    table("Re-cropped", ["What differs", "Samples"], rows),
    note("A sample can be in several rows."),
  ]);
}

function bucketTable(buckets) {
  const other = buckets.filter((one) => one.same < Math.max(one.a, one.b));
  if (!other.length) return null;
  const names = ["a", "b", "same", "changed", "added", "removed", "came", "went"];
  const rows = other.map((one) => [[given(one.id), ...names.map((name) => one[name])]]);
  const heads = ["Bucket", "A", "B", "same", "changed", "added", "removed", "came from others", "went to others"];
  const same = buckets.length - other.length;
  return section(
    "buckets",
    "Buckets",
    [
      table("Buckets", heads, rows),
      same ? note(`${several(same, "more bucket has", "more buckets have")} the same samples.`) : null,
    ],
    "wide",
  );
}

function flowTable(id, title, what, flows, last = []) {
  if (!flows.length) return null;
  const rows = [...flows.map((flow) => [[named(flow.a), named(flow.b), flow.count]]), ...last];
  return section(id, title, [table(title, [`${what} in A`, `${what} in B`, "Samples"], rows)]);
}

function variantTable(data) {
  if (data.variants.every((flow) => flow.a === flow.b)) return null;
  const last = data.counts.not_read ? [[["in tars that were not opened", "the same", data.counts.not_read]]] : [];
  return flowTable("variants", "Captions by variant", "Variant", data.variants, last);
}

function sourceTable(sources) {
  if (!(sources.a || sources.b)) return null;
  const rows = [[["in both", sources.both]], [["only in A", sources.a]], [["only in B", sources.b]]];
  return section("sources", "Caption sources", [
    table("Caption sources", ["", "Sources"], rows),
    note("Told apart by backend, model and prompts."),
  ]);
}

function differenceTable(id, title, what, differences) {
  if (!differences.length) return null;
  return section(id, title, [
    table(
      title,
      [what, "A", "B"],
      differences.map((one) => [[given(one.key), shown(one.a), shown(one.b)]]),
    ),
  ]);
}

function dropTable(drops) {
  if (drops.every((one) => one.a === one.b)) return null;
  const rows = drops.map((one) => ({ ...one, key: nameReason(one.key) }));
  return differenceTable("drops", "Left out", "Reason", rows);
}

function fieldTable(fields) {
  const rows = fields.map((one) => ({ key: one.key, a: one.a ? "has it" : null, b: one.b ? "has it" : null }));
  return differenceTable("fields", "Fields that are not compared", "Field of the JSON", rows);
}

/** Return a name, or what stands for none. */
function named(value) {
  return value === null ? "–" : value === "" ? "no caption" : given(value);
}

/** Return a value of a manifest or a JSON as it is shown. */
function shown(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) ? value : String(value);
  return given(typeof value === "string" ? value : JSON.stringify(value));
}

function given(text) {
  return give("span", text.length > LONG ? `${cut(text, LONG)}…` : text);
}

function note(text) {
  return make("p", { className: "quiet small" }, text);
}

function section(id, title, children, name = "") {
  return make("section", { id, className: name }, make("h2", {}, title), children);
}

/** Return a table of rows, each [cells, class]; numbers are at the end of their cells. */
function table(title, heads, rows) {
  const numbers = heads.map((_, index) => rows.some(([cells]) => typeof cells[index] === "number"));
  const cell = (tag, value, index, properties = {}) =>
    make(
      tag,
      { className: `${numbers[index] ? "number" : ""}${value === 0 ? " quiet" : ""}`.trim(), ...properties },
      typeof value === "number" ? count(value) : value,
    );
  const box = make(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", ariaLabel: title },
    make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          heads.map((head, index) => cell(head ? "th" : "td", head, index, head ? { scope: "col" } : {})),
        ),
      ),
      make(
        "tbody",
        {},
        rows.slice(0, ROWS).map(([cells, name = ""]) =>
          make(
            "tr",
            { className: name },
            cells.map((value, index) =>
              index ? cell("td", value, index) : cell("th", value, index, { scope: "row" }),
            ),
          ),
        ),
      ),
    ),
  );
  return rows.length > ROWS
    ? make("div", {}, box, note(`… and ${count(rows.length - ROWS)} more rows, which --json lists.`))
    : box;
}
