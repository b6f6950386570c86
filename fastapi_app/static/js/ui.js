/**
 * What the pages do by themselves: menus, the folder browser, messages, buttons that are busy.
 * Nothing here talks to the WebSocket (live.js) or reads a log (log.js).
 */

const DOUBLE_CLICK_MS = 600;

/** The header of what a page asks for by itself: one that is merely left open keeps no session
    (fastapi_app/access.py). */
export const BY_ITSELF = { "Longshore-Background": "true" };

/* Messages. */

export function toast(title, detail, kind = "failed") {
  const node = document.getElementById("toast-template").content.firstElementChild.cloneNode(true);
  node.className = `toast is-${kind}`;
  node.querySelector("[data-toast-title]").textContent = title;
  node.querySelector("[data-toast-detail]").textContent = detail;
  document.getElementById("toasts").append(node);
  return node;
}

document.addEventListener("htmx:response:error", (event) => {
  const { response } = event.detail.ctx;
  if (response.status >= 500) {
    toast("The server could not do that", `It answered ${response.status}. Its log says why; try again.`);
  }
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.ctx?.request && !event.detail.ctx.response) {
    toast("Longshore does not answer", "Nothing was sent twice. See whether it is running, then try again.");
  }
});

/* Busy buttons: aria-disabled and not disabled, which would take the focus away. */

const busy = new WeakSet();
const clickedAt = new Map();

function setBusy(button, on) {
  if (on) busy.add(button);
  else busy.delete(button);
  button.toggleAttribute("data-busy", on);
  // data-waits: by what the server says there is nothing to send now (“Stopping”).
  if (on || button.hasAttribute("data-waits")) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

function sending({ sourceElement }) {
  if (sourceElement.matches("button[hx-post]") || busy.has(sourceElement)) return [sourceElement];
  return sourceElement.matches("form[hx-post]") ? sourceElement.querySelectorAll("button[type=submit]") : [];
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const now = performance.now();
  // The second click of a double click must not land on what the first one put there (Start, Stop).
  const posts = button.type === "submit" && button.form?.method === "post" && button.id;
  // data-clicked-with: where another button takes the place of the one that was clicked.
  const name = button.dataset.clickedWith ?? button.id;
  const early = posts && now - (clickedAt.get(name) ?? -Infinity) < DOUBLE_CLICK_MS;
  if (early || button.getAttribute("aria-disabled") === "true") {
    event.preventDefault();
    event.stopImmediatePropagation();
  } else if (posts) {
    clickedAt.set(name, now);
  }
}, true);
document.addEventListener("submit", (event) => {
  // htmx has prevented what it sends itself; this is a plain post that leaves the page.
  if (!event.defaultPrevented && event.target.method === "post" && event.submitter) setBusy(event.submitter, true);
});
document.addEventListener("htmx:before:request", (event) => {
  for (const button of sending(event.detail.ctx)) setBusy(button, true);
});
document.addEventListener("htmx:finally:request", (event) => {
  if (event.detail.ctx.hx?.redirect) return;
  for (const button of sending(event.detail.ctx)) setBusy(button, false);
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) document.querySelectorAll("button[data-busy]").forEach((button) => setBusy(button, false));
});

/* A morph keeps what the person did: an open menu, a button under way. */

htmx.registerExtension("longshore", {
  htmx_before_morph_attr(element, { attrName }) {
    if (attrName === "open") return element.tagName !== "DETAILS";
    return !(busy.has(element) && ["data-busy", "aria-disabled"].includes(attrName));
  },
});

/* Menus close on Escape, on a click elsewhere and when the focus has left. */

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-dismiss]")) event.target.closest(".toast").remove();
  closeMenus(event.target.closest("details.menu"));
});
document.addEventListener("focusin", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  const slot = event.target.closest?.(".browser-slot");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (slot) {
    closeBrowser(slot);
  }
});

/* The folder browser. */

function closeBrowser(slot) {
  const button = document.querySelector(`[aria-controls="${slot.id}"]`);
  slot.replaceChildren();
  button.setAttribute("aria-expanded", "false");
  button.focus();
}

document.addEventListener("htmx:config:request", (event) => {
  const { sourceElement, request } = event.detail.ctx;
  const field = sourceElement.dataset.browse;
  if (!field) return;
  const slot = document.getElementById(`browser-${field}`);
  if (slot.firstElementChild) {
    event.preventDefault();
    closeBrowser(slot);
  } else {
    request.body.set("path", document.getElementById(`field-${field}`).value);
  }
});
document.addEventListener("click", (event) => {
  const slot = event.target.closest(".browser-slot");
  const pick = event.target.closest("[data-pick]");
  if (!slot) return;
  if (pick) {
    const input = document.getElementById(slot.id.replace("browser-", "field-"));
    input.value = pick.dataset.pick;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  if (pick || event.target.closest("[data-browser-close]")) closeBrowser(slot);
});

/* After a swap: the focus goes where the person has to look. */

function settle(root) {
  const browser = root.matches?.(".browser-slot") ? root : null;
  if (browser?.firstElementChild) {
    document.querySelector(`[aria-controls="${browser.id}"]`).setAttribute("aria-expanded", "true");
    const wanted = ["button.browser-entry", "[data-pick]", "button"];
    wanted.map((selector) => browser.querySelector(selector)).find(Boolean).focus();
  }
}

let wasInBanners = false;

document.addEventListener("htmx:before:swap", () => {
  wasInBanners = document.activeElement?.closest("#banners") !== null;
});
document.addEventListener("htmx:after:swap", (event) => {
  // A banner that goes takes the focus with it: what is left of them keeps the place.
  if (wasInBanners && document.activeElement === document.body) {
    document.getElementById("banners").focus({ preventScroll: true });
  }
  const { ctx } = event.detail;
  const target = typeof ctx.target === "string" ? document.querySelector(ctx.target) : ctx.target;
  if (target) settle(target);
  if (ctx.response?.status === 422) {
    document.querySelectorAll("details:has([aria-invalid])").forEach((section) => { section.open = true; });
  }
  if ([412, 422].includes(ctx.response?.status)) document.querySelector("[data-error-summary]")?.focus();
});

document.querySelector("[data-error-summary]")?.focus();
