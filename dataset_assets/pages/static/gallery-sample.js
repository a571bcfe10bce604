// The dialog of one sample: its crop, where that lies in the source, its captions, where it comes from.
"use strict";

const ENLARGED = 2; // times at most, of small crops

const opened = { key: "", from: null }; // the sample that is shown, and what had the focus before

/** Show a sample in the dialog, which opens where it is closed. */
function openSample(sample) {
  const dialog = document.getElementById("sample");
  const index = grid.shown.indexOf(sample);
  document.getElementById("sample-name").textContent = cut(sample.image_id, 200);
  const left = count(grid.shown.length);
  const place = index < 0 ? "not among those that the filters leave" : `${count(index + 1)} of ${left}`;
  document.getElementById("sample-place").textContent = `${sample.bucket_id} · ${place}`;
  document.getElementById("previous").disabled = !neighbour(sample.key, -1);
  document.getElementById("next").disabled = !neighbour(sample.key, 1);
  const body = document.getElementById("sample-body");
  body.replaceChildren(
    make("div", { className: "pictures" }, showCrop(sample), showOrigin(sample)),
    make("div", { className: "words" }, listCaptions(sample), listProvenance(sample), showFields(sample)),
  );
  body.scrollTop = 0;
  if (!dialog.open) {
    opened.from = document.activeElement;
    dialog.showModal();
  }
  opened.key = sample.key;
}

/** Close the dialog and give the focus back: to the tile of the sample, or else to where it was. */
function closeSample() {
  const dialog = document.getElementById("sample");
  const { key, from } = opened;
  opened.key = "";
  if (dialog.open) dialog.close();
  if (!key) return;
  const visible = from?.isConnected && from !== document.body && !from.closest("#grid");
  if (visible) from.focus();
  else if (!focusTile(key)) document.getElementById("main").focus();
}

/** Return the sample that many places from another one among those that the filters leave; null at the ends. */
function neighbour(key, step) {
  const index = grid.shown.findIndex((sample) => sample.key === key);
  return index < 0 ? null : (grid.shown[index + step] ?? null);
}

function showCrop(sample) {
  const picture = makePicture(sample.large, nameSample(sample));
  picture.loading = "eager";
  picture.style.width = `${ENLARGED * sample.large.w}px`;
  return make(
    "figure",
    { className: "crop" },
    make("span", { className: "well" }, picture),
    make("figcaption", {}, `As it is in the export: ${nameSize(sample)}, ${size(sample.bytes)}`),
  );
}

/** Return whether a sample is its source's bytes: then its bucket is only the plan. */
function isPassed(sample) {
  return sample.image_mode === "passthrough_jpeg";
}

/** Return the size of a sample's JPEG, as a person sees it. */
function nameSize(sample) {
  if (!isPassed(sample)) return pixels(sample.w, sample.h);
  const seen = pixels(sample.src_w, sample.src_h);
  const lying = pixels(sample.w, sample.h);
  return seen === lying ? seen : `${seen}, which lies in its file as ${lying} and is turned by its EXIF`;
}

/** Return the source with the box of the crop drawn into it, or why it is not to be seen. */
function showOrigin(sample) {
  const [left, top, right, bottom] = sample.box.map((edge) => Math.min(1, Math.max(0, edge)));
  const part = share((right - left) * (bottom - top), 1);
  const kept = isPassed(sample)
    ? "The export has the whole source: nothing is cropped"
    : `The crop keeps ${part} of the source's ${pixels(sample.src_w, sample.src_h)}`;
  if (!sample.origin) {
    const gone = make("figcaption", {}, `${kept}. The source cannot be read any more.`);
    return make("figure", { className: "origin" }, gone);
  }
  const picture = makePicture(sample.origin, isPassed(sample) ? "The source" : "The source, with the crop in it");
  picture.loading = "eager";
  const percent = (value) => `${(100 * value).toFixed(3)}%`;
  const box = make("span", {
    className: "box",
    ariaHidden: "true",
    style: { left: percent(left), top: percent(top), width: percent(right - left), height: percent(bottom - top) },
  });
  return make(
    "figure",
    { className: "origin" },
    make("span", { className: "frame" }, picture, isPassed(sample) ? null : box),
    make("figcaption", {}, kept),
  );
}

function listProvenance(sample) {
  const jpeg = sample.quality
    ? `quality ${sample.quality}, ${sample.subsampling}`
    : "the source's bytes, passed through";
  const rows = [
    ["Image", clamp(sample.image_id)],
    ["Source", give("span", sample.source)],
    ...(sample.uri === sample.image_id ? [] : [["Lies at", clamp(sample.uri)]]),
    ["Source's SHA-256", make("code", {}, sample.source_sha256)],
    [
      "Sizes",
      isPassed(sample)
        ? `${nameSize(sample)}; nothing is scaled`
        : `${pixels(sample.src_w, sample.src_h)} → ${pixels(sample.w, sample.h)}, scaled by ${sample.scale.toPrecision(3)}`,
    ],
    ["JPEG", `${size(sample.bytes)}, ${jpeg} (${sample.image_mode})`],
    ["Key", make("code", {}, sample.key)],
    ["Lies in", make("span", {}, make("code", {}, sample.shard), `, sample ${sample.number}`)],
    [
      "To print it",
      make("code", { className: "command", tabIndex: 0 }, `dataset-assets show ${sample.shard}:${sample.number}`),
    ],
  ];
  if (sample.near)
    rows.push([
      "Looks like",
      make("a", { href: address("near", { at: String(sample.near) }) }, `the images of group ${sample.near}`),
    ]);
  return make(
    "section",
    {},
    make("h3", {}, "Where it comes from"),
    make(
      "table",
      { className: "facts" },
      make(
        "tbody",
        {},
        rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value))),
      ),
    ),
  );
}

function showFields(sample) {
  return make(
    "section",
    {},
    make("details", {}, make("summary", {}, "JSON in the tar"), give("pre", sample.fields, { className: "fields" })),
  );
}
