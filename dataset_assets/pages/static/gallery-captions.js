// A sample's captions as its dialog shows them: the winner, the others, and what is to be said of each.
"use strict";

const STATUS_TAGS = {
  ok: "good",
  missing: "",
  empty: "warn",
  truncated: "warn",
  placeholder: "warn",
  refused: "bad",
  filtered: "bad",
  unavailable: "bad",
  error: "bad",
};

/** Return the captions of a sample, in the order in which the waterfall comes to them. */
function listCaptions(sample) {
  return make(
    "section",
    { className: "captions" },
    make("h3", {}, sample.variant ? "Caption" : "No caption"),
    sample.text ? make("div", { className: "winner" }, clamp(sample.text, sample.length)) : null,
    sample.why ? give("p", sample.why, { className: "why" }) : null,
    sample.captions.length ? make("h3", {}, several(sample.captions.length, "caption source")) : null,
    make("ol", {}, sample.captions.map(showCaption)),
  );
}

function showCaption(said) {
  const model = [said.backend, said.model, said.provider && `served by ${said.provider}`].filter(Boolean).join(" · ");
  const facts = [
    said.selector === null ? "no selector takes it" : `selector ${said.selector}`,
    `source ${said.caption_source}`,
    said.length ? several(said.length, "character") : null,
    said.cost > 0 ? `$${said.cost.toPrecision(2)}` : null,
    said.created_at > 0 ? when(said.created_at) : null,
  ];
  return make(
    "li",
    { className: said.won ? "said won" : "said" },
    make(
      "div",
      { className: "head" },
      make("h4", {}, said.variant),
      said.won ? make("span", { className: "tag good" }, "in the export") : null,
      make(
        "span",
        { className: `tag ${said.won && said.status === "ok" ? "" : (STATUS_TAGS[said.status] ?? "")}` },
        said.status,
      ),
      said.counts ? null : make("span", { className: "tag warn" }, "cannot be selected"),
      said.current === false ? make("span", { className: "tag warn" }, "of an older version of the image") : null,
    ),
    model ? give("p", model, { className: "quiet small" }) : null,
    said.text
      ? said.won
        ? make("p", { className: "quiet small" }, "The caption above.")
        : clamp(said.text, said.length)
      : null,
    said.detail ? make("div", { className: "detail" }, clamp(said.detail)) : null,
    said.findings.length
      ? make(
          "ul",
          { className: "findings" },
          said.findings.map((finding) => make("li", {}, clamp(finding))),
        )
      : null,
    make("p", { className: "quiet small" }, facts.filter(Boolean).join(" · ")),
  );
}
