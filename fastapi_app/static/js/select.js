/**
 * Several jobs selected on the Jobs page: what is ticked stays so while the list is renewed, and the
 * commands are there while something is. Without this the bar is there always.
 */

const form = document.getElementById("many-form");
const count = document.getElementById("many-count");
const chosen = new Set();

let last = null;

const boxes = () => [...document.querySelectorAll("#job-list .job-select")];

function show() {
  const all = document.getElementById("select-all");
  const here = boxes();
  const ticked = here.filter((box) => box.checked).length;
  if (all) {
    all.checked = ticked > 0 && ticked === here.length;
    all.indeterminate = ticked > 0 && ticked < here.length;
  }
  form.classList.toggle("is-open", chosen.size > 0 || document.getElementById("many-result").childElementCount > 0);
  const text = chosen.size ? `${chosen.size} selected` : "";
  if (count.textContent !== text) count.textContent = text;
  form.querySelectorAll("button[name=action]").forEach((button) => {
    button.hidden = chosen.size === 0;
  });
  form.querySelector(".many-tag").hidden = chosen.size === 0;
  elsewhere(here);
}

/** What is selected and not on this page any more goes with the form all the same. */
function elsewhere(here) {
  form.querySelectorAll("input[type=hidden][name=job]").forEach((input) => input.remove());
  const shown = new Set(here.map((box) => box.value));
  for (const id of chosen) {
    if (shown.has(id)) continue;
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name: "job", value: id });
    form.append(input);
  }
}

function tick(box, on) {
  box.checked = on;
  if (on) chosen.add(box.value);
  else chosen.delete(box.value);
}

function restore() {
  boxes().forEach((box) => { box.checked = chosen.has(box.value); });
  show();
}

if (form) {
  document.addEventListener("click", (event) => {
    const box = event.target.closest(".job-select");
    if (!box) return;
    const here = boxes();
    const [from, to] = [here.indexOf(last), here.indexOf(box)].sort((a, b) => a - b);
    // With Shift all from the last one on, as in lists of mail.
    if (event.shiftKey && from >= 0) here.slice(from, to + 1).forEach((one) => tick(one, box.checked));
    last = box;
  });
  document.addEventListener("change", ({ target }) => {
    if (target.id === "select-all") boxes().forEach((box) => tick(box, target.checked));
    else if (target.matches(".job-select")) tick(target, target.checked);
    else return;
    document.getElementById("many-result").replaceChildren();
    show();
  });
  document.getElementById("many-none").addEventListener("click", () => {
    chosen.clear();
    document.getElementById("many-result").replaceChildren();
    restore();
  });
  // The next page asks before anything is deleted: that one is not for htmx.
  document.getElementById("many-delete").addEventListener("click", (event) => {
    event.preventDefault();
    const action = document.createElement("input");
    Object.assign(action, { type: "hidden", name: "action", value: "delete" });
    form.append(action);
    form.submit();
  });
  document.addEventListener("htmx:after:swap", () => {
    const outcome = document.querySelector("#many-result [data-done]");
    if (outcome && !outcome.hasAttribute("data-taken")) {
      outcome.setAttribute("data-taken", "");
      outcome.dataset.done.split(" ").forEach((id) => chosen.delete(id));
    }
    restore();
  });
  window.addEventListener("pageshow", restore);
  restore();
}
