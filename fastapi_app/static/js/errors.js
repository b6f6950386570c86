/**
 * Several errors selected on the Errors page: how many, and the command that is there while some
 * are. Only what is shown is selected; what goes from the list is not any more.
 */

const form = document.getElementById("errors-many");
const count = document.getElementById("errors-many-count");

const boxes = () => [...document.querySelectorAll("#errors-list .error-select")];

let last = null;
let heldAt = -1;

function show() {
  const here = boxes();
  const ticked = here.filter((box) => box.checked).length;
  const all = document.getElementById("errors-select-all");
  if (all) {
    all.checked = ticked > 0 && ticked === here.length;
    all.indeterminate = ticked > 0 && ticked < here.length;
  }
  form.classList.toggle("is-open", ticked > 0);
  const text = ticked ? `${ticked} selected` : "";
  if (count.textContent !== text) count.textContent = text;
}

function tickAll(on) {
  boxes().forEach((box) => { box.checked = on; });
  show();
}

document.addEventListener("click", (event) => {
  const box = event.target.closest(".error-select");
  if (!box) return;
  const here = boxes();
  const [from, to] = [here.indexOf(last), here.indexOf(box)].sort((a, b) => a - b);
  // With Shift all from the last one on, as in the list of jobs.
  if (event.shiftKey && from >= 0) here.slice(from, to + 1).forEach((one) => { one.checked = box.checked; });
  last = box;
  show();
});
document.addEventListener("change", ({ target }) => {
  if (target.id === "errors-select-all") tickAll(target.checked);
  else if (target.matches(".error-select")) show();
});
document.getElementById("errors-many-none").addEventListener("click", () => tickAll(false));

/* An error that is resolved takes the focus with it: the next one keeps its place. */

const held = () => [...document.querySelectorAll("#errors-list > li")];

document.addEventListener("htmx:before:swap", () => {
  const item = document.activeElement?.closest("#errors-list > li, #errors-head, #errors-many");
  if (item) heldAt = Math.max(0, held().indexOf(item));
  else if (document.activeElement !== document.body) heldAt = -1;
});
document.addEventListener("htmx:after:swap", () => {
  show();
  if (heldAt < 0 || document.activeElement !== document.body) return;
  const item = held()[Math.min(heldAt, held().length - 1)];
  const place = item?.querySelector("[data-resolve]") ?? document.getElementById("errors-heading");
  place?.focus({ preventScroll: true });
});
window.addEventListener("pageshow", show);
show();
