/**
 * Times: how long ago they were, kept fresh, and by the clock of the person's zone with UTC on hover.
 * The server writes UTC. It is rewritten before it is seen: the first paint of a page waits for this
 * file, and what htmx brings is rewritten before it is put in.
 */

const TICK_MS = 10_000;
const MAX_KEPT = 2_000;
const MARKED = "time[data-ago], time[data-exact], [data-times]";
const UTC_TIME = /(?<!\()(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC/g;
const written = new Map();

function two(value) {
  return String(value).padStart(2, "0");
}

/** The same steps as fastapi_app/formatting.py, ago(). */
function ago(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return null;
  if (seconds < 10) return "just now";
  for (const [limit, divisor, unit] of [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"]]) {
    if (seconds < limit) return `${Math.floor(seconds / divisor)} ${unit} ago`;
  }
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** By the clock of the zone, with the offset that it had then: in every zone as wide as in another. */
function here(date) {
  const offset = -date.getTimezoneOffset();
  const minutes = Math.abs(offset);
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day} ${clock} ${offset ? zone : "UTC"}`;
}

/** A time as it is written here, in UTC, and as both; null for what is none. */
function words(iso) {
  if (written.has(iso)) return written.get(iso);
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return null;
  const [local, inUtc] = [here(date), date.toISOString()];
  const utc = `${inUtc.slice(0, 10)} ${inUtc.slice(11, 19)} UTC`;
  const found = { local, utc, both: local === utc ? utc : `${local} (${utc})` };
  if (written.size >= MAX_KEPT) written.clear();
  written.set(iso, found);
  return found;
}

function write(element, name, text) {
  if (text && element[name] !== text) element[name] = text;
}

function inZone(text) {
  return text.replace(UTC_TIME, (time, day, clock) => words(`${day}T${clock}Z`)?.both ?? time);
}

/** Write the times of a page, or of a fragment, as they are now and here. */
function rewrite(root) {
  for (const element of root.querySelectorAll(MARKED)) {
    if (element.hasAttribute("data-times")) {
      if (element.title) write(element, "title", inZone(element.title));
      if (!element.childElementCount) write(element, "textContent", inZone(element.textContent));
      continue;
    }
    const isAge = element.hasAttribute("data-ago");
    const known = words(element.dateTime);
    write(element, "textContent", isAge ? ago(element.dateTime) : known?.local);
    write(element, "title", isAge ? known?.both : known?.utc);
  }
}

function tick() {
  for (const element of document.querySelectorAll("time[data-ago]")) {
    write(element, "textContent", ago(element.dateTime));
  }
}

rewrite(document);
setInterval(tick, TICK_MS);
document.addEventListener("visibilitychange", () => document.hidden || tick());
document.addEventListener("htmx:before:swap", ({ detail }) => {
  for (const { fragment } of detail.tasks) if (fragment) rewrite(fragment);
});
document.addEventListener("htmx:after:swap", tick);
