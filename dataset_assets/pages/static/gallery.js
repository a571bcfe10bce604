// Starts the page, and keeps it and its address at one.
"use strict";

const page = { state: null, byKey: new Map(), built: new Set(), overview: null };

/** Change what is shown; `step` makes it a place to which the browser's back button leads. */
function go(change, step = false) {
  const state = { ...page.state, ...change };
  history[step ? "pushState" : "replaceState"](null, "", formatState(state));
  show(state);
}

function show(state) {
  const before = page.state;
  page.state = state;
  for (const view of Object.keys(VIEWS)) document.getElementById(`view-${view}`).hidden = view !== state.view;
  for (const link of document.querySelectorAll("#views a"))
    link.ariaCurrent = link.dataset.view === state.view ? "page" : null;
  if (!page.built.has(state.view)) build(state.view);
  if (!before || !sameFilters(before, state)) showGrid(state);
  showKey(state);
  if (before?.view !== state.view || before.at !== state.at) arrive(state);
}

/** Make a view when it is first looked at. */
function build(view) {
  page.built.add(view);
  if (view === "left-out") showLeftOut(page.overview, gather("left_out"));
  if (view === "near") showNear(page.overview, gather("near"));
  if (view === "numbers") showNumbers(page.overview);
}

/** Go to the part of a view that the address names, or to its top. */
function arrive(state) {
  const id = { "left-out": "reason-", near: "group-" }[state.view];
  const part = state.at && id ? document.getElementById(id + state.at) : null;
  if (!part) {
    scrollTo({ top: 0, behavior: "instant" });
    return;
  }
  part.scrollIntoView({ block: "start" });
  part.focus({ preventScroll: true });
}

/** Return the keys that a text means, as the command `show` reads it: 8 or more digits that they begin with. */
function findKeys(text) {
  const digits = text.toLowerCase();
  if (page.byKey.has(digits)) return [digits];
  return /^[0-9a-f]{8,}$/.test(digits) ? [...page.byKey.keys()].filter((key) => key.startsWith(digits)) : [];
}

function showKey(state) {
  const keys = findKeys(state.key);
  const sample = keys.length === 1 ? page.byKey.get(keys[0]) : null;
  const notice = document.getElementById("notice");
  notice.hidden = !state.key || Boolean(sample);
  if (!notice.hidden)
    notice.replaceChildren(
      keys.length
        ? `${count(keys.length)} samples have a key that begins so: `
        : "This sample is not among those that the gallery shows: ",
      give("span", cut(state.key, 200)),
    );
  if (sample) openSample(sample);
  else closeSample();
}

function fillViews(overview) {
  const dropped = Object.values(overview.drops).reduce((sum, number) => sum + number, 0);
  const numbers = { samples: overview.shown, "left-out": dropped, near: overview.near_groups };
  document.getElementById("views").replaceChildren(
    ...Object.entries(VIEWS).map(([view, name]) => {
      const link = make(
        "a",
        { href: address(view) },
        name,
        typeof numbers[view] === "number" ? make("span", { className: "quiet" }, ` ${count(numbers[view])}`) : null,
      );
      link.dataset.view = view;
      return link;
    }),
  );
}

/** Follow the page's own links without leaving what is filtered; a link to a sample keeps the view and its filters. */
function follow(event) {
  const link = event.target.closest?.("a[href^='#']");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (link.id === "skip") {
    document.getElementById("main").focus();
    return;
  }
  const said = parseState(link.getAttribute("href"));
  if (said.key) {
    go({ key: said.key }, true);
    return;
  }
  const again = said.at && said.at === page.state.at;
  go(link.closest("#views") ? { view: said.view, at: "", key: "" } : said, true);
  if (again) arrive(said);
}

function listenToFilters() {
  const form = document.getElementById("filters");
  const clear = () => go(Object.fromEntries(FILTERS.map((name) => [name, ""])));
  const filter = () => go(Object.fromEntries(FILTERS.map((name) => [name, form.elements[name].value])));
  form.addEventListener("input", filter);
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    clear();
    form.elements.q.focus();
  });
  document.getElementById("clear-none").addEventListener("click", () => {
    clear();
    form.elements.q.focus();
  });
}

function listenToDialog() {
  const dialog = document.getElementById("sample");
  const turn = (step) => {
    const sample = neighbour(opened.key, step);
    if (sample) go({ key: sample.key });
  };
  document.getElementById("previous").addEventListener("click", () => turn(-1));
  document.getElementById("next").addEventListener("click", () => turn(1));
  document.getElementById("close").addEventListener("click", () => go({ key: "" }));
  dialog.addEventListener("close", () => opened.key && !dialog.open && go({ key: "" })); // by Esc
  dialog.addEventListener("click", (event) => event.target === dialog && go({ key: "" })); // beside what is in it
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    turn(step);
  });
}

function start() {
  page.overview = take("overview");
  if (!page.overview) return;
  const samples = gather("samples");
  page.byKey = new Map(samples.map((sample) => [sample.key, sample]));
  showSummary(page.overview);
  fillViews(page.overview);
  prepareGrid(page.overview, samples);
  listenToFilters();
  listenToDialog();
  document.addEventListener("click", follow);
  document.getElementById("grid").addEventListener("keydown", moveInGrid);
  addEventListener("popstate", () => show(parseState(location.hash)));
  show(parseState(location.hash));
  readAhead();
}

start();
