// What the page shows, as the part of its address after #: a view, its filters, an open sample. No drawing.
//   #left-out · #samples?bucket=p1024x1024&q=cat · #samples?q=cat&key=<key> · #<key>, or 8 or more of its digits
"use strict";

const VIEWS = { samples: "Samples", "left-out": "Left out", near: "Near-duplicates", numbers: "Numbers" };
const FILTERS = ["bucket", "variant", "status", "q"];
const NO_CAPTION = "-"; // as a variant: no variant is called so

/** Return the state that an address says; what it says wrongly is left out. */
function parseState(hash) {
  const [name, query] = split(hash.replace(/^#/, ""), "?");
  const known = Object.hasOwn(VIEWS, name);
  const said = new URLSearchParams(query);
  const state = { view: known ? name : "samples", key: said.get("key") ?? "", at: said.get("at") ?? "" };
  for (const filter of FILTERS) state[filter] = said.get(filter) ?? "";
  if (!known && name) state.key = decode(name);
  return state;
}

/** Return the address of a state, beginning with #. */
function formatState(state) {
  const said = new URLSearchParams();
  for (const name of [...FILTERS, "at", "key"]) if (state[name]) said.set(name, state[name]);
  if (state.view === "samples" && state.key && said.size === 1) return `#${encodeURIComponent(state.key)}`;
  return `#${state.view}${said.size ? `?${said}` : ""}`;
}

/** Return the address of a view with some filters and nothing else. */
function address(view, filters = {}) {
  return formatState({ view, ...filters });
}

/** Return whether two states show the same samples. */
function sameFilters(one, other) {
  return FILTERS.every((name) => one[name] === other[name]);
}

function split(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
