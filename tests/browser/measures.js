/* What measures.py asks of a page, with each fault in words. */

(() => {
  const FLOATING = ".rail, .skip-link, .toasts, .many-bar, .bell-count, .menu-list";
  const FIELDS = "input, textarea, select";
  const IN_ONE_PIECE = "button, .button, label, th, td, dt, dd, summary, h1, h2, h3";
  const SCROLLERS = ".log, .figures-scroll, .delete-list, canvas, svg";
  const NOT_ON_PAPER =
    "button, .button, .icon-button, .filter, .rail, .bell, .live, .toasts, .footer, .crumbs, " +
    ".skip-link, .job-select, .on-open > summary, .menu > summary";

  /** Not what is for a screen reader alone, and not what floats above the page. */
  function isShown(element) {
    const head = element.closest("thead");
    return (
      element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) &&
      !element.closest(".visually-hidden") &&
      !element.closest(FLOATING) &&
      !(head && getComputedStyle(head).clipPath !== "none")
    );
  }

  function named(element) {
    const words = (element.textContent || element.value || "").trim().replace(/\s+/g, " ");
    const name = `${element.tagName.toLowerCase()}.${[...element.classList].join(".")}`;
    return `${name} “${words.slice(0, 50)}”`;
  }

  function measured(element) {
    const { scrollWidth, scrollHeight, clientWidth, clientHeight } = element;
    return {
      isWide: scrollWidth > clientWidth + 1,
      isHigh: scrollHeight > clientHeight + 1,
      sizes: `${scrollWidth}×${scrollHeight} in ${clientWidth}×${clientHeight}`,
    };
  }

  function blocks() {
    // What is typed into a field scrolls in it, and a canvas is cut to what it shows.
    const passed = `svg, ${FIELDS}, .plot-area`;
    return [...document.querySelectorAll("body *")].filter(
      (element) => element.clientWidth && !element.closest(passed) && isShown(element),
    );
  }

  function tooWide() {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth > clientWidth ? [`the page is ${scrollWidth} px wide`] : [];
  }

  /** What is neither meant to scroll nor to end in an ellipsis, and does not hold what is in it. */
  function cutOff() {
    const found = [];
    for (const element of blocks()) {
      const { overflowX, overflowY, textOverflow, webkitLineClamp } = getComputedStyle(element);
      if (textOverflow === "ellipsis" || webkitLineClamp !== "none") continue;
      const { isWide, isHigh, sizes } = measured(element);
      const cutsX = ["hidden", "clip"].includes(overflowX);
      const cutsY = ["hidden", "clip"].includes(overflowY);
      const spills = overflowX === "visible" && element.matches(IN_ONE_PIECE);
      if ((isWide && (cutsX || spills)) || (isHigh && cutsY)) {
        found.push(`cut off: ${named(element)}, ${sizes}`);
      }
    }
    return found;
  }

  function boxesOfText() {
    const boxes = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const parent = node.parentElement;
      if (!node.textContent.trim() || parent.closest(SCROLLERS) || !isShown(parent)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      const isInline = getComputedStyle(parent).display === "inline";
      const end = isInline ? Infinity : parent.getBoundingClientRect().right;
      for (const { top, bottom, left, right } of range.getClientRects()) {
        const box = { node, element: parent, top, bottom, left, right: Math.min(right, end) };
        if (box.right - left > 1) boxes.push(box);
      }
    }
    return boxes;
  }

  function boxesOfControls() {
    return [...document.querySelectorAll(`button, .button, ${FIELDS}`)]
      .filter((element) => element.clientWidth > 4 && isShown(element))
      .map((element) => {
        const { top, bottom, left, right } = element.getBoundingClientRect();
        return { node: element, element, isControl: true, top, bottom, left, right };
      });
  }

  function overlaps() {
    const boxes = [...boxesOfText(), ...boxesOfControls()].sort((one, other) => one.top - other.top);
    const found = new Set();
    boxes.forEach((one, place) => {
      for (const other of boxes.slice(place + 1)) {
        if (other.top >= one.bottom - 3) break;
        if (one.node === other.node) continue;
        if (one.node.contains(other.node) || other.node.contains(one.node)) continue;
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        if (across < 3 || down < 4) continue;
        found.add(`overlap: ${named(one.element)} and ${named(other.element)}`);
      }
    });
    return [...found];
  }

  function movements() {
    const found = document
      .getAnimations()
      .map((one) => `moves: ${one.animationName ?? one.transitionProperty}`);
    for (const element of document.querySelectorAll("*")) {
      for (const part of [null, "::before", "::after"]) {
        const { animationName, transitionDuration } = getComputedStyle(element, part);
        const isTimed = transitionDuration.split(",").some((time) => parseFloat(time));
        if (animationName !== "none" || isTimed) {
          found.push(`would move: ${named(element)}${part ?? ""}`);
        }
      }
    }
    return found;
  }

  /** Every button at work, and the connection lost: what moves then. */
  function setToWork() {
    for (const button of document.querySelectorAll("button")) button.dataset.busy = "";
    document.getElementById("live-indicator").dataset.state = "reconnecting";
  }

  function onPaper() {
    const found = [...document.querySelectorAll(NOT_ON_PAPER)]
      .filter((element) => element.checkVisibility() && !element.matches(".visually-hidden"))
      .map((element) => `on paper: ${named(element)}`);
    for (const element of blocks()) {
      const { overflowX, overflowY } = getComputedStyle(element);
      const { isWide, isHigh, sizes } = measured(element);
      if ((isHigh && overflowY !== "visible") || (isWide && overflowX !== "visible")) {
        found.push(`cut off on paper: ${named(element)}, ${sizes}`);
      }
    }
    for (const link of document.querySelectorAll("a[href]")) {
      const after = getComputedStyle(link, "::after").content;
      const isTold = after.includes(link.getAttribute("href"));
      if (isTold && link.checkVisibility()) found.push(`address: ${named(link)}`);
    }
    const { backgroundColor, color } = getComputedStyle(document.body);
    if (getComputedStyle(document.documentElement).backgroundColor !== "rgb(255, 255, 255)") {
      found.push(`the paper is ${backgroundColor}`);
    }
    if (color !== "rgb(0, 0, 0)") found.push(`the ink is ${color}`);
    return found;
  }

  window.measures = { tooWide, cutOff, overlaps, movements, setToWork, onPaper };
})();
