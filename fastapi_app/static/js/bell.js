/* The bell: how many happenings are new to this browser, and each new one once as a message. The
   list itself comes with the page and is replaced by live.js; what this browser has seen and was
   told stands in its storage, shared by its tabs. */

import { toast } from "./ui.js";

const SEEN = "longshore-seen";
const TOLD = "longshore-told";
const MAX_TOASTS = 3;
const MAX_KEPT = 200;
const STAYS_MS = 8_000;
const CLAIMED_MS = 10_000; // By then every tab reads that it was told.
const LATE_MS = 120_000; // What is older when a page is loaded is news for the bell alone.

const bell = document.getElementById("bell");
const summary = bell.querySelector("summary");
const count = document.getElementById("bell-count");
const words = document.getElementById("bell-words");
const toasts = document.getElementById("toasts");
const ownStorage = new Map(); // Where the browser allows none.
const known = new Set();
const waiting = new Map();
let fresh = new Set();
let more = 0;

function stored(name) {
  try {
    const keys = JSON.parse(localStorage.getItem(name));
    return Array.isArray(keys) ? keys : null;
  } catch {
    return ownStorage.get(name) ?? null;
  }
}

function store(name, keys) {
  const kept = [...new Set(keys)].slice(-MAX_KEPT);
  try {
    localStorage.setItem(name, JSON.stringify(kept));
  } catch {
    ownStorage.set(name, kept);
  }
}

/** The happenings of the list, oldest first. */
function listed() {
  return [...bell.querySelectorAll("[data-happening]")].reverse();
}

function keyOf(item) {
  return item.dataset.happening;
}

/* The count, and what is marked as new while the list is open. */

function showCount() {
  const seen = new Set(stored(SEEN));
  const unseen = listed().filter((item) => !seen.has(keyOf(item)));
  count.hidden = unseen.length === 0;
  count.textContent = unseen.length > 9 ? "9+" : String(unseen.length);
  words.textContent = unseen.length ? `, ${unseen.length} new` : "";
  for (const item of listed()) item.classList.toggle("is-new", fresh.has(keyOf(item)));
}

function markSeen() {
  const seen = new Set(stored(SEEN));
  for (const item of listed()) if (!seen.has(keyOf(item))) fresh.add(keyOf(item));
  store(SEEN, [...seen, ...listed().map(keyOf)]);
}

bell.addEventListener("toggle", () => {
  if (bell.open) {
    markSeen();
    toasts.querySelectorAll("[data-happening], [data-more]").forEach((node) => node.remove());
    more = 0;
  } else {
    fresh = new Set();
  }
  showCount();
});

/* Messages. */

function look() {
  for (const item of listed()) {
    if (known.has(keyOf(item))) continue;
    known.add(keyOf(item));
    waiting.set(keyOf(item), item);
  }
  if (bell.open) markSeen();
  showCount();
  void tell();
}

/** Show what waits, unless nobody looks, or another tab of this browser has shown it. */
async function tell() {
  if (document.hidden || !waiting.size) return;
  const items = [...waiting.values()];
  waiting.clear();
  const isMine = await Promise.all(items.map(claim));
  // Also what another tab told: tabs that store at the same time do not see one another's words.
  store(TOLD, [...(stored(TOLD) ?? []), ...items.map(keyOf)]);
  if (!bell.open) items.filter((_, place) => isMine[place]).forEach(show);
}

/** Whether it is for this tab to tell. A lock decides: what one tab stores others read later. */
async function claim(item) {
  if (stored(TOLD)?.includes(keyOf(item))) return false;
  if (!navigator.locks) return true; // Not a secure address: two tabs may both tell it.
  return new Promise((resolve) => {
    navigator.locks.request(`${TOLD}-${keyOf(item)}`, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock && new Promise((release) => setTimeout(release, CLAIMED_MS));
    });
  });
}

function show(item) {
  const { about, tone } = item.dataset;
  for (const older of toasts.querySelectorAll("[data-happening]")) {
    if (about && older.dataset.about === about) older.remove();
  }
  const node = toast(item.querySelector("[data-title]").textContent, item.querySelector("[data-detail]")?.textContent ?? "", tone);
  node.dataset.happening = keyOf(item);
  node.dataset.about = about;
  node.setAttribute("role", item.hasAttribute("data-alert") ? "alert" : "status");
  node.querySelector(".icon").replaceWith(item.querySelector(".icon").cloneNode(true));
  const target = item.querySelector("[data-title] a");
  if (target) {
    const title = node.querySelector("[data-toast-title]");
    const link = document.createElement("a");
    link.href = target.href;
    link.textContent = title.textContent;
    title.replaceChildren(link);
  }
  if (item.hasAttribute("data-goes")) leaveLater(node);
  const shown = [...toasts.querySelectorAll("[data-happening]")];
  for (const oldest of shown.slice(0, -MAX_TOASTS)) {
    oldest.remove();
    more += 1;
  }
  if (more) showMore();
}

/** Take a message away after a while, but not from under a hand or a focus, nor unseen. */
function leaveLater(node) {
  setTimeout(() => {
    if (document.hidden || node.matches(":hover, :focus-within")) leaveLater(node);
    else node.remove();
  }, STAYS_MS);
}

function showMore() {
  toasts.querySelector("[data-more]")?.remove();
  const node = toast(`and ${more} more`, "", "info");
  node.dataset.more = "";
  node.querySelector(".icon").replaceWith(summary.querySelector(".icon").cloneNode(true));
  node.setAttribute("role", "status");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button button-small";
  button.textContent = "Show all";
  // A moment later: the same click closes what is open (ui.js).
  button.addEventListener("click", () => setTimeout(openBell));
  node.querySelector("[data-toast-detail]").replaceChildren(button);
  node.querySelector("[data-dismiss]").addEventListener("click", () => { more = 0; });
}

function openBell() {
  bell.open = true;
  summary.focus();
}

/* At the start: what a new browser finds is no news to it. */

const first = listed();
if (stored(SEEN) === null) store(SEEN, first.map(keyOf));
if (stored(TOLD) === null) store(TOLD, first.map(keyOf));
for (const item of first) {
  known.add(keyOf(item));
  const age = Date.now() - Date.parse(item.querySelector("time")?.dateTime);
  if (age < LATE_MS) waiting.set(keyOf(item), item);
}
new MutationObserver((changes) => {
  // The ages in the list tick: they are no news.
  if (changes.some(({ target }) => !target.closest?.("time"))) look();
}).observe(bell.querySelector("[data-bell]"), { childList: true, subtree: true });
document.addEventListener("visibilitychange", () => void tell());
window.addEventListener("storage", showCount);
look();
