// Examples of what differs: both sides of a sample, its crops and its captions.
"use strict";

/** Return the kinds that have examples, in the order in which they are shown. */
function listKinds(examples) {
  return Object.keys(KINDS).filter((kind) => examples[kind]?.length);
}

/** Return the section of one kind. */
function showKind(kind, examples) {
  return make(
    "section",
    { id: `kind-${kind}`, className: "kind", tabIndex: -1 },
    make("h3", {}, `${KINDS[kind]} `, make("span", { className: "quiet small" }, several(examples.length, "example"))),
    make(
      "ol",
      { role: "list" },
      examples.map((example) => make("li", {}, showExample(kind, example))),
    ),
  );
}

function showExample(kind, example) {
  const reasons = example.reasons.filter((name) => name !== "bytes");
  const tags = [
    ...example.kinds.filter((name) => name !== kind).map((name) => KINDS[name].toLowerCase()),
    ...(reasons.length ? reasons : example.reasons).map((name) => REASONS[name]),
  ];
  return make(
    "article",
    { id: `${kind}-${example.key}`, className: "example sheet" },
    give("h4", example.image_id || example.key),
    make("p", { className: "quiet small mono" }, example.key),
    tags.length
      ? make(
          "p",
          { className: "tags" },
          tags.map((tag) => make("span", { className: "tag" }, tag)),
        )
      : null,
    make("div", { className: "sides" }, showSide(example, "a"), showSide(example, "b")),
    showFields(example.fields),
  );
}

function showSide(example, side) {
  const letter = make("span", { className: `letter ${side}` }, side.toUpperCase());
  const one = example[side];
  if (!one)
    return make(
      "div",
      { className: "side" },
      make("p", { className: "where" }, letter, make("span", { className: "quiet" }, "not there")),
    );
  const name = `${example.image_id || example.key} in ${side.toUpperCase()}`;
  return make(
    "div",
    { className: "side" },
    make(
      "div",
      { className: "picture" },
      one.picture
        ? make("img", {
            src: one.picture.path,
            width: one.picture.w,
            height: one.picture.h,
            alt: cut(name, 200),
            loading: "lazy",
            decoding: "async",
          })
        : make("span", { className: "quiet small" }, "cannot be decoded"),
    ),
    make(
      "div",
      { className: "where" },
      letter,
      make(
        "div",
        { className: "small" },
        give("p", one.tar, { className: "mono" }),
        make(
          "p",
          { className: "quiet" },
          `${size(one.bytes)} · `,
          one.variant ? give("span", one.variant) : "no caption",
        ),
      ),
    ),
    showCaption(one, example[`words_${side}`], side),
  );
}

/** Return a caption, in which the words are marked that the other has not. */
function showCaption(one, words, side) {
  if (!one.caption) return null;
  if (!words.length) return make("div", { className: "caption" }, clamp(one.caption, one.length));
  const parts = words.map((part) => (part.same ? part.text : make(side === "a" ? "del" : "ins", {}, part.text)));
  const long = one.caption.length > LONG;
  const box = make(
    "p",
    {
      className: `caption given${long ? " long" : ""}`,
      dir: "auto",
      ...(long ? { tabIndex: 0, role: "group", ariaLabel: `Caption in ${side.toUpperCase()}` } : {}),
    },
    parts,
  );
  return make("div", {}, box, tellMissing(one.caption, one.length));
}

function showFields(fields) {
  if (!fields.length) return null;
  return make(
    "div",
    { className: "facts" },
    table(
      "Fields that differ",
      ["Field", "A", "B"],
      fields.map((one) => [[given(one.key), shown(one.a), shown(one.b)]]),
    ),
  );
}
