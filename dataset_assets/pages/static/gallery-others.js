// What is not exported, by reason, and images that look alike, side by side.
"use strict";

/** Fill the view of the images that are left out: a section a reason, the most frequent first. */
function showLeftOut(overview, images) {
  const box = document.getElementById("left-out-box");
  const drops = listDrops(overview);
  const all = drops.reduce((sum, [, number]) => sum + number, 0);
  box.replaceChildren(
    make(
      "p",
      { className: "lead" },
      drops.length
        ? `Not exported: ${several(all, "image")} of ${count(overview.seen)} (${share(all, overview.seen)}).`
        : "Every image that was seen is exported.",
    ),
    ...drops.map(([reason, number]) =>
      showReason(
        reason,
        number,
        overview,
        images.filter((image) => image.reason === reason),
      ),
    ),
  );
}

/** Fill the view of images that look alike. */
function showNear(overview, groups) {
  const lead =
    overview.near_groups === null
      ? "Nobody looked for images that look alike: near = true in dataset.toml does."
      : overview.near_groups === 0
        ? "No two images look alike."
        : `${several(overview.near_groups, "group")} of images that look alike, ` +
          `${several(overview.near_images, "image")} in all.`;
  const missing = groups.length < (overview.near_groups ?? 0) ? ` The ${count(groups.length)} largest are here.` : "";
  document
    .getElementById("near-box")
    .replaceChildren(make("p", { className: "lead" }, lead + missing), ...groups.map(showGroup));
}

function showReason(reason, number, overview, images) {
  return make(
    "section",
    { className: "reason", id: `reason-${reason}`, tabIndex: -1, ariaLabel: nameReason(reason) },
    make(
      "div",
      { className: "head" },
      make("h3", {}, sentence(nameReason(reason))),
      make("span", { className: "tag" }, several(number, "image")),
      make("code", { className: "quiet" }, reason),
    ),
    overview.drop_texts[reason] ? make("p", { className: "quiet" }, overview.drop_texts[reason]) : null,
    make("ul", { className: "examples", role: "list" }, images.map(showDropped)),
    images.length < number
      ? make(
          "p",
          { className: "quiet small" },
          images.length ? `${count(images.length)} of ${count(number)} shown` : "None of them is shown.",
        )
      : null,
  );
}

function showDropped(image) {
  const where = [image.width && image.height ? pixels(image.width, image.height) : null, image.source]
    .filter(Boolean)
    .join(" · ");
  return make(
    "li",
    { className: "example" },
    showThumb(image),
    shorten(image.image_id, "id"),
    image.detail ? shorten(image.detail, "detail") : null,
    image.why ? make("div", { className: "why small" }, clamp(image.why)) : null,
    image.captions.length
      ? make("ul", { className: "heard small", role: "list" }, image.captions.map(showHeard))
      : null,
    give("p", where, { className: "quiet small" }),
    image.uri && image.uri !== image.image_id
      ? make("details", { className: "quiet small" }, make("summary", {}, "Where it lies"), clamp(image.uri))
      : null,
  );
}

/** Return what one caption source says of an image that is left out. */
function showHeard(said) {
  const found = said.findings.filter((finding) => finding !== said.status);
  return make(
    "li",
    {},
    make(
      "p",
      {},
      givePath("b", said.variant),
      " ",
      make("span", { className: `tag ${STATUS_TAGS[said.status] ?? ""}` }, said.status),
      found.flatMap((finding) => [" ", give("span", finding, { className: "tag warn" })]),
    ),
    said.text ? shorten(said.text, "said-text", said.length) : null,
    said.detail ? shorten(said.detail, "quiet") : null,
  );
}

function showGroup(group) {
  const missing = group.count - group.images.length;
  return make(
    "section",
    { className: "group", id: `group-${group.number}`, tabIndex: -1, ariaLabel: `Group ${group.number}` },
    make(
      "div",
      { className: "head" },
      make("h3", {}, `Group ${group.number}`),
      make("span", { className: "tag" }, several(group.count, "image")),
      missing > 0
        ? make("span", { className: "quiet small" }, `${count(group.images.length)} of ${count(group.count)} shown`)
        : null,
    ),
    make(
      "ul",
      { className: "examples", role: "list" },
      group.images.map((image, index) => showAlike(image, index)),
    ),
  );
}

function showAlike(image, index) {
  const picture = showThumb(image);
  const distance =
    index === 0 ? "the first" : image.distance === 0 ? "the same look" : `${several(image.distance, "bit")} apart`;
  return make(
    "li",
    { className: "example" },
    image.key ? make("a", { href: address("near", { key: image.key }), className: "tile" }, picture) : picture,
    shorten(image.image_id, "id"),
    make("p", { className: "small" }, make("code", {}, image.bucket_id), ` · ${distance}`),
  );
}

function showThumb(image) {
  const picture = image.thumb
    ? makePicture(image.thumb, cut(image.image_id, 120))
    : make("span", { className: "quiet small" }, "Nothing to see");
  return make("span", { className: "picture" }, picture);
}

/** Return a text of a card: three lines of it, and all of it at a click where there is more than those. */
function shorten(text, name, whole = countCharacters(text)) {
  if (text.length <= 90) return givePath("p", text, { className: name });
  const details = make("details", { className: name }, give("summary", `${cut(text, 80)}…`));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(clamp(text, whole));
  });
  return details;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
