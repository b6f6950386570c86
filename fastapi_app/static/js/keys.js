/* Keys: single ones for what is done often, and a sheet that tells them. They can be switched off
   (WCAG 2.1.4), and do nothing where somebody types. */

const OFF = "longshore-keys-off";
const CHORD_MS = 1500;
const LISTED =
  "#main .job-name > a, #main .runs tbody a.status-link, #errors-list .on-open > summary, .error-groups .error-message > a";
const sheet = document.getElementById("keys-sheet");
const toggle = document.getElementById("keys-on");

let prefixAt = -Infinity;

function isOff() {
  try {
    return localStorage.getItem(OFF) === "yes";
  } catch {
    return false; // Storage is not allowed here: they are on.
  }
}

function isTyping(target) {
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}

function go(key) {
  document.querySelector(`.nav a[data-go="${key}"]`)?.click();
}

function find() {
  const field = document.querySelector("#main input[type=search]");
  if (field) {
    field.focus();
    field.select();
  } else {
    go("j");
  }
}

function move(step) {
  const links = [...document.querySelectorAll(LISTED)].filter((link) => link.checkVisibility());
  if (!links.length) return false;
  const here = links.findIndex((link) => link.parentElement.closest("article, tr, li")?.contains(document.activeElement));
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : here + step;
  links[Math.max(0, Math.min(links.length - 1, next))].focus();
  return true;
}

function openSheet() {
  toggle.checked = !isOff();
  sheet.showModal();
}

const ACTIONS = {
  "/": find,
  n: () => window.location.assign(sheet.dataset.newJob),
  "?": openSheet,
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || sheet.open) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape" && event.target.type === "search" && !event.target.value) event.target.blur();
    return;
  }
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    // Only from within a list: elsewhere they scroll.
    const inList = document.activeElement?.matches(LISTED);
    if (inList && move(event.key === "ArrowDown" ? 1 : -1)) event.preventDefault();
    return;
  }
  if (isOff()) return;
  const isChord = event.timeStamp - prefixAt < CHORD_MS;
  prefixAt = -Infinity;
  if (isChord) {
    go(event.key);
  } else if (event.key === "g") {
    prefixAt = event.timeStamp;
  } else if (event.key === "j" || event.key === "k") {
    move(event.key === "j" ? 1 : -1);
  } else if (ACTIONS[event.key]) {
    event.preventDefault();
    ACTIONS[event.key]();
  }
});

document.querySelectorAll("[data-keys-open]").forEach((button) => button.addEventListener("click", openSheet));
toggle.addEventListener("change", () => {
  try {
    if (toggle.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "yes");
  } catch {
    toggle.checked = true;
  }
});
