// The browsable samples: which of them the filters leave, and their tiles. What is in a sample's dialog is not here.
"use strict";

// Tiles that are made at once, in a list of their own: lists that are out of sight cost the browser nothing. Every
// number of columns in gallery-grid.css divides it, so that no row shows where a list ends.
const CHUNK = 120;

// What is said of a filter's value that is not among its choices: buckets are all here, of the rest those of samples.
const NOT_HERE = {
  bucket: "The export has no bucket ",
  variant: "No sample that is shown has a caption of ",
  status: "No sample that is shown has a caption with the status ",
};

const grid = {
  all: [],
  shown: [], // those that the filters leave
  drawn: 0, // how many of these have a tile
  texts: new Map(), // key → what words are looked up in, made at the first search
  turn: 0, // a later drawing ends an earlier one
};

/** Take the samples and fill the filters' choices. They come bucket by bucket; by key, a hash, all are mixed. */
function prepareGrid(overview, samples) {
  grid.all = [...samples].sort((one, other) => (one.key < other.key ? -1 : 1));
  const form = document.getElementById("filters").elements;
  fillChoices(
    form.bucket,
    "all buckets",
    overview.buckets
      .filter((bucket) => bucket.shown)
      .map((bucket) => [bucket.id, `${bucket.id} (${count(bucket.shown)})`]),
  );
  const variants = tally(samples.map((sample) => sample.variant || NO_CAPTION));
  fillChoices(
    form.variant,
    "any, or none",
    variants.map(([name, number]) => [name, `${name === NO_CAPTION ? "no caption" : name} (${count(number)})`]),
  );
  const statuses = tally(samples.flatMap((sample) => [...new Set(sample.captions.map((caption) => caption.status))]));
  fillChoices(
    form.status,
    "any status",
    statuses.map(([name, number]) => [name, `${name} (${count(number)})`]),
  );
  document.getElementById("whole").textContent =
    overview.shown < overview.exported
      ? `· ${count(overview.shown)} of ${count(overview.exported)} shown: the same ones every time, from every bucket`
      : "· every sample of the export";
}

/** Show the samples that the filters of a state leave. */
function showGrid(state) {
  const words = fold(state.q).split(/\s+/).filter(Boolean);
  grid.shown = grid.all.filter((sample) => fits(sample, state, words));
  const form = document.getElementById("filters").elements;
  const unknown = FILTERS.filter((name) => !fillFilter(form[name], state[name]));
  const filtered = FILTERS.some((name) => state[name]);
  document.getElementById("clear").hidden = !filtered;
  document.getElementById("none").hidden = grid.shown.length > 0;
  document.getElementById("unknown").replaceChildren(...unknown.flatMap((name) => tellUnknown(name, state[name])));
  document.getElementById("clear-none").hidden = !filtered;
  document.getElementById("found").textContent = filtered
    ? `${count(grid.shown.length)} of ${several(grid.all.length, "sample")}`
    : several(grid.all.length, "sample");
  document.getElementById("grid").replaceChildren();
  grid.drawn = 0;
  drawTiles(++grid.turn);
}

/** Move the focus to a sample's tile; return whether it has one. */
function focusTile(key) {
  const index = grid.shown.findIndex((sample) => sample.key === key);
  if (index < 0) return false;
  while (!tileAt(index)) drawChunk();
  tileAt(index).focus();
  return true;
}

/** Move the focus from tile to tile with the arrow keys. */
function moveInGrid(event) {
  const list = event.target.closest("ul");
  const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
  if (!Object.hasOwn(steps, event.key) || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const before = CHUNK * [...list.parentElement.children].indexOf(list);
  const tile = tileAt(before + [...list.children].indexOf(event.target.closest("li")) + steps[event.key]);
  if (!tile) return;
  event.preventDefault();
  tile.focus();
}

function tileAt(index) {
  const list = document.getElementById("grid").children[Math.floor(index / CHUNK)];
  return list?.children[index % CHUNK]?.firstElementChild;
}

function fits(sample, state, words) {
  if (state.bucket && sample.bucket_id !== state.bucket) return false;
  if (state.variant && (sample.variant || NO_CAPTION) !== state.variant) return false;
  if (state.status && !sample.captions.some((caption) => caption.status === state.status)) return false;
  return words.every((word) => textOf(sample).includes(word));
}

function textOf(sample) {
  if (!grid.texts.has(sample.key)) {
    const others = sample.captions.filter((caption) => !caption.won).map((caption) => caption.text);
    grid.texts.set(sample.key, fold([sample.image_id, sample.key, sample.text, ...others].join("\n")));
  }
  return grid.texts.get(sample.key);
}

/** Make what words are looked up in while nobody waits for it. */
function readAhead(from = 0) {
  const until = from + CHUNK;
  grid.all.slice(from, until).forEach(textOf);
  if (until < grid.all.length) setTimeout(() => readAhead(until), 20);
}

function fold(text) {
  return text.normalize("NFC").toLowerCase();
}

function drawTiles(turn) {
  if (turn !== grid.turn || grid.drawn >= grid.shown.length) return;
  drawChunk();
  requestAnimationFrame(() => drawTiles(turn));
}

function drawChunk() {
  const tiles = grid.shown.slice(grid.drawn, grid.drawn + CHUNK).map((sample) => make("li", {}, makeTile(sample)));
  grid.drawn += tiles.length;
  document
    .getElementById("grid")
    .append(make("ul", { role: "list", style: { "--tiles": String(tiles.length) } }, tiles));
}

function makeTile(sample) {
  const words = cut(sample.text, 160);
  return make(
    "a",
    { className: "tile", href: address("samples", { key: sample.key }) },
    make("span", { className: "picture" }, makePicture(sample.thumb, nameSample(sample))),
    make(
      "span",
      { className: "line" },
      make("code", {}, sample.bucket_id),
      sample.near ? make("span", { className: "tag", title: "Other images look like it" }, "alike") : null,
    ),
    words.trim()
      ? give("span", words, { className: "words", ariaHidden: "true" })
      : make("span", { className: "words quiet" }, "No caption"),
  );
}

/** Return a short name of a sample, for people who do not see it: its caption's beginning, or else its image's id. */
function nameSample(sample) {
  return cut(sample.text.trim() || sample.image_id, 120);
}

/** Return a picture of the page's folder; it is asked for when it comes into view. */
function makePicture(picture, alt) {
  const path = picture.path.split("/").map(encodeURIComponent).join("/");
  return make("img", { loading: "lazy", decoding: "async", width: picture.w, height: picture.h, alt, src: path });
}

function fillChoices(select, all, choices) {
  select.replaceChildren(...[["", all], ...choices].map(([value, name]) => make("option", { value }, name)));
}

function tellUnknown(name, value) {
  if (value === NO_CAPTION) return ["Every sample that is shown has a caption. "];
  return [NOT_HERE[name], give("span", cut(value, 200)), ". "];
}

/** Let a filter show a value; one that is no choice of it becomes one until another is asked for. Return if it is one. */
function fillFilter(field, value) {
  for (const option of field.querySelectorAll("[data-unknown]")) option.remove();
  const known = !field.options || [...field.options].some((option) => option.value === value);
  if (!known) {
    const option = make("option", { value }, `${cut(value, 60)} (0)`);
    option.dataset.unknown = "";
    field.append(option);
  }
  if (field.value !== value) field.value = value;
  return known;
}

/** Return each value with how often it is there, the most frequent first. */
function tally(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]);
}
