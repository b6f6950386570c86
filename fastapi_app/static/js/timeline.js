/**
 * The phases of a run that goes on: while it does, its line of time grows and the bars on it with it.
 * The same scale as fastapi_app/timeline_views.py.
 */

import { units } from "./units.js";

const EVERY_MS = 1_000;
const LINE = 1_000;
const LEAST = 2;
const seen = new WeakMap();

/** The seconds of the whole line: those that the server told, and what went by since. */
function length(list) {
  const told = list.dataset.seconds;
  if (seen.get(list)?.told !== told) seen.set(list, { told, at: performance.now() });
  return Number(told) + (performance.now() - seen.get(list).at) / 1000;
}

function grow(list) {
  const total = length(list);
  if (!total) return;
  for (const bar of list.querySelectorAll(".phase-bar")) {
    const since = Number(bar.dataset.before);
    const isOpen = bar.hasAttribute("data-open");
    const seconds = isOpen ? total - since : Number(bar.dataset.seconds);
    const width = Math.max(LEAST, (seconds / total) * LINE);
    const span = bar.querySelector(".phase-span");
    span.setAttribute("x", Math.min((since / total) * LINE, LINE - width));
    span.setAttribute("width", width);
    for (const mark of bar.querySelectorAll("line")) {
      mark.setAttribute("x1", (Number(mark.dataset.seconds) / total) * LINE);
      mark.setAttribute("x2", (Number(mark.dataset.seconds) / total) * LINE);
    }
    if (isOpen) bar.parentElement.querySelector(".phase-time").textContent = units.duration.write(seconds);
  }
}

function growAll() {
  if (document.hidden) return;
  for (const list of document.querySelectorAll(".phases[data-open]")) grow(list);
}

setInterval(growAll, EVERY_MS);
document.addEventListener("visibilitychange", growAll);
