// The numbers of the whole dataset: counts, buckets, sizes, captions. How charts are drawn is gallery-charts.js.
"use strict";

/** Fill the view of the numbers. */
function showNumbers(overview) {
  const passed = overview.image_mode === "passthrough_jpeg"; // then all of each source is kept
  document.getElementById("numbers-box").replaceChildren(
    card("Counts", "", listCounts(overview)),
    card("Captions that won", "Samples of the export by the variant of their caption.", listSelected(overview)),
    card(
      "Buckets",
      passed
        ? "Images of the export by bucket, which is only the plan of a size: the files are the sources as they are."
        : "Images of the export by the size that they are brought to.",
      listBuckets(overview),
      "wide",
    ),
    card("Source sizes", "Usable images, whether they are exported or not.", makeSizes(overview.sizes)),
    card(
      "Captions by status",
      "Images that have a slot, exported or not, by what became of asking for a caption.",
      listStatuses(overview),
    ),
    ...(passed
      ? []
      : [
          card(
            "Kept area",
            "Images that have a slot, exported or not, by the share of the source's area that the crop keeps.",
            makeHistogram(overview.kept, (edge) => `${Math.round(100 * edge)} %`, "image with a slot", {
              many: "images with a slot",
            }),
          ),
        ]),
    card(
      "Caption lengths",
      "Characters of the captions of the export.",
      makeHistogram(overview.lengths, (edge) => count(Math.round(edge)), "sample", { open: true }),
    ),
  );
}

function card(name, text, content, className = "") {
  return make(
    "section",
    { className: `sheet ${className}`.trim(), ariaLabel: name },
    make("h3", {}, name),
    text ? make("p", { className: "quiet small" }, text) : null,
    content,
  );
}

function listCounts(overview) {
  const rows = [
    ["Seen", overview.seen, null],
    ["Exported", overview.exported, null],
    ...listDrops(overview).map(([reason, number]) => [
      sentence(nameReason(reason)),
      number,
      address("left-out", { at: reason }),
    ]),
  ];
  const shards = overview.buckets.reduce((sum, bucket) => sum + bucket.shards, 0);
  return make(
    "div",
    {},
    make(
      "table",
      {},
      make(
        "tbody",
        {},
        rows.map(([name, number, where]) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, where ? make("a", { href: where }, name) : name),
            make("td", { className: "number" }, count(number)),
            make("td", { className: "number quiet" }, share(number, overview.seen)),
          ),
        ),
      ),
    ),
    make(
      "p",
      { className: "quiet small" },
      `${size(overview.bytes)} in ${several(shards, "tar")} of ${several(overview.buckets.length, "bucket")}. `,
      `Image mode ${overview.image_mode}.`,
    ),
  );
}

function listBuckets(overview) {
  const most = Math.max(...overview.buckets.map((bucket) => bucket.count), 0);
  const head = (name, className = "") => make("th", { scope: "col", className }, name);
  return make(
    "table",
    { className: "bars" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        head("Bucket"),
        head("Pixels", "roomy"),
        head("", "bar-cell"),
        head("Images", "number"),
        head("Share", "number"),
        head("Tars", "number roomy"),
      ),
    ),
    make(
      "tbody",
      {},
      overview.buckets.map((bucket) =>
        make(
          "tr",
          {},
          make(
            "th",
            { scope: "row" },
            make(
              "span",
              { className: "named" },
              makeShape(bucket.w, bucket.h),
              bucket.shown
                ? make("a", { href: address("samples", { bucket: bucket.id }) }, make("code", {}, bucket.id))
                : make("code", {}, bucket.id),
            ),
          ),
          make("td", { className: "roomy" }, pixels(bucket.w, bucket.h)),
          barCells(bucket.count, most, overview.exported),
          make("td", { className: "number quiet roomy" }, count(bucket.shards)),
        ),
      ),
    ),
  );
}

function listSelected(overview) {
  const rows = Object.entries(overview.selected).sort((one, other) => other[1] - one[1]);
  const most = Math.max(...rows.map(([, number]) => number), 0);
  return make(
    "div",
    {},
    make(
      "table",
      { className: "bars" },
      make(
        "tbody",
        {},
        rows.map(([variant, number]) =>
          make(
            "tr",
            {},
            make(
              "th",
              { scope: "row" },
              make(
                "a",
                { href: address("samples", { variant: variant || NO_CAPTION }) },
                variant ? givePath("span", variant) : "no caption",
              ),
            ),
            barCells(number, most, overview.exported, variant ? "" : "none"),
          ),
        ),
      ),
    ),
    overview.priority.length
      ? make(
          "div",
          { className: "priority" },
          make("h4", {}, "The waterfall"),
          make(
            "ol",
            { start: 0 },
            overview.priority.map((selector) => make("li", {}, selector)),
          ),
        )
      : null,
  );
}

function listStatuses(overview) {
  const variants = Object.entries(overview.statuses);
  if (!variants.length) return make("p", { className: "quiet" }, "No captions were asked for.");
  return make(
    "div",
    {},
    variants.map(([variant, statuses]) => {
      const rows = Object.entries(statuses)
        .filter(([, number]) => number)
        .sort((one, other) => other[1] - one[1]);
      const all = rows.reduce((sum, [, number]) => sum + number, 0);
      return make(
        "div",
        { className: "variant" },
        make("h4", {}, variant),
        make(
          "div",
          { className: "shares", ariaHidden: "true" },
          rows.map(([status, number]) => makePart(number, all, `status-${STATUS_TAGS[status] || "other"}`)),
        ),
        make(
          "dl",
          { className: "legend" },
          rows.map(([status, number]) =>
            make(
              "div",
              {},
              make("dt", {}, make("i", { className: `swatch status-${STATUS_TAGS[status] || "other"}` }), status),
              make("dd", {}, `${count(number)} (${share(number, all)})`),
            ),
          ),
        ),
      );
    }),
  );
}
