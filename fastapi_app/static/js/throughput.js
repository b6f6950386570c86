/**
 * The throughput of a run: read from the server, and while the run goes on continued by what the
 * WebSocket tells.
 */

import { show } from "./plots.js";
import { BY_ITSELF } from "./ui.js";
import { units } from "./units.js";

const MOST_POINTS = 300;
const LEAST_SECONDS = 1;
const SOONEST_MS = 2_000;

const figure = document.getElementById("plot-throughput");
const head = document.getElementById(figure.dataset.run);

let seconds = [];
let rates = [];
let step = LEAST_SECONDS;
let last = null;
let readAt = -Infinity;
let timer = 0;
let isComplete = false;

function draw() {
  figure.dataset.points = seconds.length;
  // Of a run that is over its journal may be gone.
  document.getElementById("throughput").hidden = isComplete && !seconds.length;
  const summary = rates.length ? `peak ${units.rate.write(Math.max(...rates))}` : "nothing sent yet";
  // A rate holds for all of the time since the point before it: the first one from the beginning on.
  const course = { seconds: [0, ...seconds], rates: [rates[0] ?? null, ...rates] };
  show(figure, { kind: "course", unit: "rate", ...course }, summary);
}

/** Read what the journal tells: now, or when the last time is long enough ago. */
function read() {
  clearTimeout(timer);
  const wait = readAt + SOONEST_MS - performance.now();
  if (wait > 0) timer = setTimeout(read, wait);
  else readNow();
}

async function readNow() {
  readAt = performance.now();
  const isLast = head.dataset.active !== "true";
  try {
    const answer = await fetch(figure.dataset.source, { headers: BY_ITSELF });
    if (!answer.ok) return;
    const { items } = await answer.json();
    seconds = items.map(([at]) => at);
    rates = items.map(([, rate]) => rate);
    step = Math.max(LEAST_SECONDS, (seconds.at(-1) ?? 0) / MOST_POINTS);
    last = null;
    isComplete = isLast;
    draw();
  } catch {
    // The server is away for a moment: what changes next makes this read again.
  }
}

/** One point in place of two: what was sent in the time of both. */
function halve() {
  const thinned = { seconds: [], rates: [] };
  for (let place = 1; place < seconds.length; place += 2) {
    const start = seconds[place - 2] ?? 0;
    const sent = rates[place - 1] * (seconds[place - 1] - start) + rates[place] * (seconds[place] - seconds[place - 1]);
    thinned.seconds.push(seconds[place]);
    thinned.rates.push(sent / (seconds[place] - start));
  }
  ({ seconds, rates } = thinned);
  step *= 2;
}

document.addEventListener("longshore-patched", ({ detail }) => {
  const { sent, at } = detail.values;
  if (`run-${detail.runId}` !== head.id || typeof sent !== "number" || typeof at !== "number") return;
  const now = at - Number(head.dataset.started);
  if (last === null || now < last.now) last = { now, sent };
  if (now - last.now < step) return;
  seconds.push(now);
  rates.push(Math.max(0, sent - last.sent) / (now - last.now));
  last = { now, sent };
  if (seconds.length > MOST_POINTS) halve();
  draw();
});
document.body.addEventListener("longshore-changed", () => isComplete || read());
document.addEventListener("visibilitychange", () => document.hidden || isComplete || read());

read();
