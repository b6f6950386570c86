/**
 * Live updates: one WebSocket that patches figures and replaces cards, and polling when it is lost.
 * The protocol is described in docs of the WebSocket route; the page works without any of this.
 */

import { BY_ITSELF, toast } from "./ui.js";

const DELAYS_S = [1, 2, 4, 8, 16, 30];
const MAX_ATTEMPTS = 10;
const SILENCE_MS = 25_000;
const POLL_MS = 5_000;
const UNKNOWN = "–";
const BANNERS = "#banners"; // Every page shows them. Among the ids of jobs: see fastapi_app/banners.py.
const BELL = "#bell"; // Likewise: see fastapi_app/happenings.py.
const ERRORS = "#errors"; // Likewise: see fastapi_app/error_count.py.

const indicator = document.getElementById("live-indicator");
const status = document.getElementById("live-status");
const reconnect = document.getElementById("live-reconnect");
const path = document.querySelector("meta[name=longshore-ws]").content;

let socket = null;
let cursor = document.querySelector("meta[name=longshore-cursor]").content || null;
let attempts = 0;
let retryTimer = 0;
let silenceTimer = 0;
let pollTimer = 0;
let subscribed = "";
let containers = null;
let frames = Promise.resolve();

/** Say how the page stands: shape and colour by `state`, and always a text. */
function show(state, text) {
  if (indicator.dataset.state !== state) indicator.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
  reconnect.hidden = state !== "polling" && state !== "offline";
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

/* The connection. */

function connect() {
  clearTimeout(retryTimer);
  if (document.hidden || socket) return;
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (cursor) url.searchParams.set("cursor", cursor);
  if (attempts === 0) show("connecting", "Connecting");
  const mine = (socket = new WebSocket(url));
  mine.onmessage = ({ data }) => {
    listen();
    frames = frames.then(() => mine === socket && receive(JSON.parse(data))).catch(console.error);
  };
  mine.onclose = () => mine === socket && lost();
  listen();
}

/** Take silence for a dead connection, also while it is being opened. */
function listen() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(() => {
    drop();
    lost();
  }, SILENCE_MS);
}

function drop() {
  clearTimeout(retryTimer);
  clearTimeout(silenceTimer);
  const old = socket;
  socket = null;
  subscribed = "";
  old?.close();
}

function lost() {
  clearTimeout(silenceTimer);
  socket = null;
  subscribed = "";
  attempts += 1;
  if (attempts > MAX_ATTEMPTS) return poll();
  show("reconnecting", `Reconnecting (attempt ${attempts} of ${MAX_ATTEMPTS})`);
  const delay = DELAYS_S[Math.min(attempts, DELAYS_S.length) - 1];
  retryTimer = setTimeout(connect, delay * 1000 * (0.8 + 0.4 * Math.random()));
}

async function receive(frame) {
  if (frame.t === "hello") {
    attempts = 0;
    clearTimeout(pollTimer);
    pollTimer = 0;
    cursor ??= frame.cursor;
    show("live", "Live");
    subscribed = ""; // A swap while there was no connection may have set it, and nobody was told.
    subscribe();
  } else if (frame.t === "update") {
    try {
      const figures = frame.set ?? [];
      if (frame.html) await replace(withFigures(frame.html, figures));
      for (const [jobId, values] of figures) patch(jobId, values);
      cursor = frame.cursor ?? cursor;
    } finally {
      send({ ack: frame.seq });
    }
  }
}

/* What the page shows. */

function shown() {
  if (containers) return containers;
  containers = new Map();
  for (const element of document.querySelectorAll("[data-job-id]")) {
    const id = element.dataset.jobId;
    containers.set(id, [...(containers.get(id) ?? []), element]);
  }
  return containers;
}

function subscribe() {
  containers = null;
  const ids = [BANNERS, BELL, ERRORS, ...shown().keys()];
  if (ids.join() === subscribed) return;
  subscribed = ids.join();
  send({ subscribe: ids });
}

function apply(container, values) {
  const { runId } = container.dataset;
  if (runId && runId !== values.run_id) return;
  for (const element of container.querySelectorAll("[data-live]")) {
    const value = values[element.dataset.live];
    if (value === undefined) continue;
    if (element.tagName === "polyline") {
      element.setAttribute("points", value);
    } else if (element.tagName === "PROGRESS") {
      if (value === null) element.removeAttribute("value");
      else element.value = value;
    } else if (element.textContent !== String(value ?? UNKNOWN)) {
      element.textContent = value ?? UNKNOWN;
    }
  }
}

/** Put the figures of a frame into its fragments: one that is shared may be older than they are,
    and nothing on the page ever goes backwards, not even for a moment. */
function withFigures(html, figures) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const [jobId, values] of figures) {
    const containers = template.content.querySelectorAll(`[data-job-id="${CSS.escape(jobId)}"]`);
    containers.forEach((container) => apply(container, values));
  }
  return template.innerHTML;
}

function patch(jobId, values) {
  if (jobId === ERRORS) {
    // One was met again or resolved: only pages that list errors show that.
    if (document.querySelector("[data-lists-errors]")) changed();
    return;
  }
  for (const container of shown().get(jobId) ?? []) apply(container, values);
  document.dispatchEvent(new CustomEvent("longshore-patched", { detail: { jobId, runId: values.run_id, values } }));
}

async function replace(html) {
  const ids = [...html.matchAll(/<article id="(job-[a-z0-9-]+)"/g)].map((match) => match[1]);
  const unknown = ids.filter((id) => !document.getElementById(id));
  if (unknown.length) adopt(html, unknown);
  await htmx.swap({ text: html, sourceElement: document.body, target: document.body, swap: "none" });
  const page = document.querySelector("[data-job-page]");
  if (page && !page.firstElementChild && !page.hasAttribute("data-gone")) {
    page.setAttribute("data-gone", "");
    toast("This job was deleted", "What you see is how it last was.", "info");
  }
  if (page?.hasAttribute("data-gone")) return; // Nothing of it can be fetched any more.
  subscribe();
  changed();
}

/** Have every live part of the page fetch itself anew. */
function changed() {
  document.body.dispatchEvent(new CustomEvent("longshore-changed"));
}

/** Put cards of jobs that are new to this page at the top of its list. */
function adopt(html, ids) {
  const list = document.querySelector("[data-job-list]");
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const id of ids) {
    const card = template.content.getElementById(id);
    if (!card || card.getAttribute("hx-swap-oob") === "delete") continue;
    if (!list) {
      // A button under way leads to a page of its own: a reload would cut that off.
      const mayReload = document.querySelector("[data-empty-state]") && !document.querySelector("[data-busy]");
      return mayReload ? location.reload() : undefined;
    }
    card.removeAttribute("hx-swap-oob");
    list.prepend(card);
    htmx.process(card);
  }
  if (list) shorten(list);
}

/** Let go of the last cards where a list has a bound; not of those that run or that somebody holds. */
function shorten(list) {
  const isHeld = (card) => card.matches("[data-active], :focus-within, :has(:checked, [open])");
  const spare = [...list.children].slice(Number(list.dataset.most) || Infinity);
  spare.filter((card) => !isHeld(card)).forEach((card) => card.remove());
}

/* Polling, when the WebSocket has been given up. */

async function poll() {
  clearTimeout(pollTimer);
  const cards = [...document.querySelectorAll("[data-card-url]")].filter(isNear);
  let reached = navigator.onLine;
  for (const card of document.hidden ? [] : cards) {
    const select = `#${CSS.escape(card.id)}`;
    const answer = await fetch(card.dataset.cardUrl, { headers: { "HX-Request": "true", ...BY_ITSELF } }).catch(() => null);
    reached = answer !== null;
    if (!reached) break;
    const text = answer.ok ? await answer.text() : "";
    if (text) await htmx.swap({ text, sourceElement: card, target: card, select, swap: "outerMorph" });
  }
  if (attempts <= MAX_ATTEMPTS) return;
  if (reached && !document.hidden) changed();
  if (reached) show("polling", `Polling every ${POLL_MS / 1000} s`);
  else show("offline", "Offline");
  pollTimer = setTimeout(poll, POLL_MS);
}

function isNear(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > -innerHeight && top < 2 * innerHeight;
}

/* What wakes and stops it. */

reconnect.addEventListener("click", () => {
  attempts = 0;
  drop();
  connect();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) drop();
  else if (attempts <= MAX_ATTEMPTS) connect();
});
window.addEventListener("pagehide", drop);
window.addEventListener("pageshow", (event) => event.persisted && connect());
window.addEventListener("online", () => {
  drop();
  connect();
});
document.addEventListener("htmx:after:swap", (event) => event.detail.ctx.response && subscribe());

connect();
