// What every page's scripts use: the data, elements made of it, numbers as words, light or dark.
// Texts become text nodes and attributes, never markup.
"use strict";

const received = new Map();

/** Keep what a file of data/ holds; those files call it. */
function receive(name, data) {
  received.set(name, data);
}

/** Return the data of all files called `name` or `name-000`, `name-001` …, in their order, as one array. */
function gather(name) {
  const names = [...received.keys()].filter((key) => key.startsWith(name) && /^(-\d+)?$/.test(key.slice(name.length)));
  names.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  return names.flatMap((key) => received.get(key));
}

/** Return the data called `name`; where there is none, because the page alone was copied, the page says so. */
function take(name) {
  const data = received.get(name);
  if (!data) {
    const text = "The page's data is not there: it lies in the folder data beside it.";
    document.getElementById("main").append(make("p", { className: "note" }, text));
  }
  return data;
}

/** Return a part of an address as it was before it was made one, or as it is where that cannot be. */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Return an element. Properties are set as such where it has them, else as attributes; null ones are left out. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Return an SVG element, with attributes. */
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function assign(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "style") for (const [key, said] of Object.entries(value)) element.style.setProperty(key, said);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
}

/** Return an element for a text of the data: it cannot turn around what is beside it. */
function give(tag, text, properties = {}) {
  return make(tag, { dir: "auto", ...properties, className: `given ${properties.className ?? ""}`.trim() }, text);
}

/** Return an element for a file's name or path: lines end where it has a separator. */
function givePath(tag, text, properties = {}) {
  const element = give(tag, "", properties);
  element.append(
    ...text
      .split(/(?<=[/_-])(?=[^/_-])/)
      .flatMap((piece, index) => (index ? [document.createElement("wbr"), piece] : [piece])),
  );
  return element;
}

const LONG = 600; // characters: longer texts are shown in parts

/**
 * Return an element for a text of any length: its beginning, and a button that shows the rest. `whole` is how many
 * characters it has in the data, where the page may have only the first of them.
 */
function clamp(text, whole = countCharacters(text)) {
  const missing = tellMissing(text, whole);
  if (text.length <= LONG) return missing ? make("div", {}, give("p", text), missing) : give("p", text);
  const shown = give("p", `${cut(text, LONG)}…`);
  const offer = `Show ${missing ? "these" : "all"} ${count(countCharacters(text))} characters`;
  const more = make("button", { type: "button", className: "plain small", ariaExpanded: "false" }, offer);
  more.addEventListener("click", () => {
    const open = more.ariaExpanded === "true";
    more.ariaExpanded = String(!open);
    shown.textContent = open ? `${cut(text, LONG)}…` : text;
    more.textContent = open ? offer : "Show less";
  });
  return make("div", {}, shown, missing, more);
}

/** Return the sentence that tells how many of the `whole` characters the page has; null where it has all. */
function tellMissing(text, whole) {
  const here = countCharacters(text);
  if (here >= whole) return null;
  return make(
    "p",
    { className: "quiet small" },
    `The page has the first ${count(here)} of ${count(whole)} characters.`,
  );
}

/** Return how many characters a text has, as Python counts them: a boat is one, not two halves. */
function countCharacters(text) {
  let number = 0;
  for (const _ of text) number += 1;
  return number;
}

/** Return the first characters of a text, without half a character at the end. */
function cut(text, length) {
  const part = text.slice(0, length);
  return /[\ud800-\udbff]$/.test(part) ? part.slice(0, -1) : part;
}

/** Return a number as people write it: 1,234,567. */
function count(number) {
  return new Intl.NumberFormat("en").format(number);
}

/** Return a number with a word: 1 image, 2 images. */
function several(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Return a part of a bar of shares, as wide as its number is of the whole; null where it is 0. */
function makePart(number, whole, name) {
  return number ? make("i", { className: name, style: { "flex-grow": String(number / (whole || 1)) } }) : null;
}

/** Return a reason as words: skipped_too_small → too small. */
function nameReason(reason) {
  return reason.replace(/^skipped_/, "").replaceAll("_", " ");
}

/** Return a share of something: 12 %; what is there and small is not 0. */
function share(part, whole) {
  if (!whole) return "0 %";
  const percent = (100 * part) / whole;
  if (part && percent < 0.1) return "< 0.1 %";
  return `${percent.toLocaleString("en", { maximumFractionDigits: percent < 10 ? 1 : 0 })} %`;
}

/** Return a number of bytes: 3.4 MB. */
function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toLocaleString("en", { maximumFractionDigits: power && value < 100 ? 1 : 0 })} ${units[power]}`;
}

/** Return width × height. */
function pixels(w, h) {
  return `${w} × ${h}`;
}

/** Return a time: 2026-11-20 19:42 UTC, from ISO 8601 or unix seconds; what is no time comes back as it is. */
function when(time) {
  const date = new Date(typeof time === "number" ? time * 1000 : time);
  return Number.isNaN(date.getTime()) ? String(time) : `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

// Light or dark: as the system has it, until a person says otherwise. The choice is kept where the browser lets pages
// from disk keep anything.
const THEME = "dataset-assets-theme";

function readTheme() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // it then holds for this visit
  }
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

if (["light", "dark"].includes(readTheme())) document.documentElement.dataset.theme = readTheme();

/** Let every button[data-toggle-theme] change between light and dark. */
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button[data-toggle-theme]")) {
    const name = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.ariaLabel = isDark() ? "Change to light colours" : "Change to dark colours";
    };
    button.addEventListener("click", () => {
      setTheme(isDark() ? "light" : "dark");
      name();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
    name();
  }
});
