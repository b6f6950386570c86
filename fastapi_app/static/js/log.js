/**
 * The viewer of a log: fetches the lines around those that are shown, follows a run under way, and
 * finds. However long the log is, the page keeps no more than a window of it.
 */

import { BY_ITSELF } from "./ui.js";

const EVERY_MS = 2_000;
const SOONEST_MS = 500;
const TYPING_MS = 300;
const KEPT_LINES = 2_000;
const KEPT_CHARACTERS = 262_144;
const NEAR_PX = 240;

const form = document.getElementById("log-form");
const query = document.getElementById("log-q");
const follow = document.getElementById("log-follow");
const element = (name) => document.getElementById(`log${name}`);
const view = () => element("-view");

let loading = false;
let readAt = 0;
let timer = 0;
let typing = 0;
let searched = query.value;
let asked = 0;

const isActive = () => view().dataset.active === "true";
const below = (log) => log.scrollHeight - log.scrollTop - log.clientHeight;

function parameters(more) {
  const given = new URLSearchParams(new FormData(form));
  given.delete("at");
  for (const [name, value] of Object.entries(more)) given.set(name, value);
  return given;
}

/* Lines beside those that are shown. */

async function fetchLines(where) {
  const headers = where.since || follow.checked ? BY_ITSELF : {};
  const answer = await fetch(`${view().dataset.linesUrl}?${parameters(where)}`, { headers });
  if (!answer.ok) throw new Error(`lines of the log: ${answer.status}`);
  const template = document.createElement("template");
  template.innerHTML = await answer.text();
  const header = (name) => answer.headers.get(`Longshore-Log-${name}`);
  return { lines: [...template.content.querySelectorAll(".log-line")], header };
}

/** Load in one direction: "before" the first line, "at" the next one, or what is new "since" it. */
async function load(direction) {
  if (loading) return;
  loading = true;
  const mine = view();
  const facts = mine.dataset;
  try {
    const { lines, header } = await fetchLines({ [direction]: direction === "before" ? facts.first : facts.next });
    if (mine !== view()) return; // Something else was asked for meanwhile.
    if (direction === "before") {
      prepend(lines);
      facts.first = header("First");
      facts.earlier = header("Earlier") === "1";
    } else {
      append(direction === "since" ? [...skipped(Number(header("Skipped"))), ...lines] : lines);
      facts.next = header("Next");
      facts.later = header("Later") === "1";
      facts.active = header("Active") === "1";
    }
    settle();
  } catch (error) {
    // The server is away for a moment: the next try brings what came meanwhile.
    console.info(error);
  } finally {
    loading = false;
  }
}

function skipped(bytes) {
  if (!bytes) return [];
  const line = document.createElement("span");
  line.className = "log-line is-skipped";
  line.textContent = `… ${bytes} bytes of output are not shown here …\n`;
  return [line];
}

function append(lines) {
  const log = element("");
  log.append(...lines);
  if (follow.checked) log.scrollTop = log.scrollHeight;
  keep(() => forget([...log.children], (line) => {
    view().dataset.first = line.nextElementSibling?.dataset.place ?? view().dataset.first;
    view().dataset.earlier = "true";
  }));
  if (follow.checked) log.scrollTop = log.scrollHeight;
}

function prepend(lines) {
  const log = element("");
  keep(() => log.prepend(...lines));
  forget([...log.children].reverse(), (line) => {
    view().dataset.next = line.dataset.place ?? view().dataset.next;
    view().dataset.later = "true";
  });
}

/** Change what is above without moving what is seen. */
function keep(change) {
  const log = element("");
  const place = below(log) + log.clientHeight;
  change();
  log.scrollTop = log.scrollHeight - place;
}

/** Remove lines, from the first of these on, until no more are kept than is allowed. */
function forget(lines, note) {
  const lengths = lines.map((line) => line.textContent.length);
  let characters = lengths.reduce((sum, length) => sum + length, 0);
  let gone = 0;
  while (lines.length - gone > KEPT_LINES || (characters > KEPT_CHARACTERS && gone < lines.length - 1)) {
    characters -= lengths[gone];
    note(lines[gone]);
    lines[gone].remove();
    gone += 1;
  }
}

/* What stands around them. */

function settle() {
  const { earlier, later, first, next, active, download } = view().dataset;
  for (const [name, shown] of [["start", earlier], ["earlier", earlier], ["later", later], ["end", later]]) {
    element(`-${name}`).hidden = shown !== "true";
  }
  element("-earlier").href = `${form.action}?${parameters({ before: first })}#log-view`;
  element("-later").href = `${form.action}?${parameters({ at: next })}#log-view`;
  element("-empty").hidden = element("").childElementCount > 0 || earlier === "true" || later === "true";
  element("-follow-label").hidden = active !== "true";
  element("-download").href = download;
  element("-download").textContent = download.includes("?") ? "Download what is found" : "Download";
}

/** Replace what is shown by another part, and show where it begins, or its hit, or its end. */
async function show(url) {
  const mine = (asked += 1);
  const busy = view();
  busy.setAttribute("aria-busy", "true");
  const focused = busy.contains(document.activeElement) ? document.activeElement.id : null;
  const answer = await fetch(url, { headers: { "HX-Request": "true" } }).catch(() => null);
  if (mine !== asked) return; // The next question is under way.
  busy.removeAttribute("aria-busy");
  if (!answer?.ok) {
    element("-about").textContent = answer ? `The log cannot be read (${answer.status}).` : "Longshore does not answer. Try again.";
    return;
  }
  const template = document.createElement("template");
  template.innerHTML = await answer.text();
  busy.replaceWith(template.content.getElementById("log-view"));
  begin(!new URL(url, location.href).searchParams.has("at"));
  if (focused) {
    const again = document.getElementById(focused);
    (again && !again.hidden ? again : element("")).focus({ preventScroll: true });
  }
}

function begin(atEnd) {
  const log = element("");
  const hit = element("-hit");
  if (hit) log.scrollTop = hit.offsetTop - log.offsetTop - log.clientHeight / 3;
  else log.scrollTop = atEnd ? log.scrollHeight : 0;
  follow.checked = isActive() && !hit && atEnd;
  log.addEventListener("scroll", scrolled, { passive: true });
  settle();
  watch();
}

function scrolled() {
  const log = element("");
  const { earlier, later } = view().dataset;
  if (isActive() && later !== "true") follow.checked = below(log) < 24;
  if (log.scrollTop < NEAR_PX && earlier === "true") load("before");
  else if (below(log) < NEAR_PX && later === "true") load("at");
}

/* What a run under way adds. */

/** Whether new lines are shown: who reads further up gets them as long as none has to go for them. */
function takesNewLines() {
  const hasRoom = element("").childElementCount < KEPT_LINES / 2 && view().dataset.later !== "true";
  return !document.hidden && (follow.checked || hasRoom);
}

async function watch() {
  clearTimeout(timer);
  if (!isActive()) return;
  if (takesNewLines()) {
    readAt = performance.now();
    await load("since");
  }
  clearTimeout(timer);
  timer = setTimeout(watch, EVERY_MS);
}

document.addEventListener("longshore-patched", ({ detail }) => {
  const isThisRun = `run-${detail.runId}` === view().dataset.run;
  if (isThisRun && performance.now() - readAt > SOONEST_MS) watch();
});
follow.addEventListener("change", () => {
  if (!follow.checked) return;
  if (view().dataset.later === "true") show(form.action);
  else watch();
});

/* Finding. */

function find(where) {
  clearTimeout(typing);
  const at = where === "first" ? {} : { at: element("-at").value };
  searched = query.value;
  show(`${form.action}?${parameters({ ...at, find: where })}`);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const asked = event.submitter?.value || "first";
  const goesOn = asked === "first" && query.value && query.value === searched;
  find(goesOn ? "next" : asked);
});
query.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !event.shiftKey) return;
  event.preventDefault();
  find("previous");
});
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(find, TYPING_MS, "first");
});
form.addEventListener("change", (event) => event.target !== query && find("first"));
document.addEventListener("click", (event) => {
  const link = event.target.closest("#log-pager a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link.href);
});
document.addEventListener("keydown", (event) => {
  if (event.target.id !== "log" || event.ctrlKey || event.metaKey || event.altKey) return;
  const link = { Home: element("-start"), End: element("-end") }[event.key];
  if (!link || link.hidden) return;
  event.preventDefault();
  show(link.href);
});

begin(!new URLSearchParams(location.search).has("at"));
