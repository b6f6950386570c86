/* Runs before anything else in each page and frame: see snare.py. */
{
  const CANARY = "canary.invalid";
  const told = new Set();
  const tell = (kind, what) => {
    const text = `snare ${kind} ${what}`;
    if (told.has(text)) return;
    told.add(text);
    console.debug(text);
  };
  globalThis.ran = (number) => tell("ran", number);

  const ALIENS = "iframe, frame, object, embed, base, math, marquee, style, video, audio, animate, "
    + "foreignObject, script:not([src]):not([type='application/json']), meta[http-equiv], "
    + "hx-partial, [srcdoc], [ping], [xss]";
  const ADDRESSES = new RegExp("^(data-)?(href|src|action|formaction|data|poster|xlink:href|srcset|background"
    + "|hx-(get|post|put|patch|delete|redirect)|card-url)$");
  const isForeign = (text) => {
    try {
      const { protocol, host } = new URL(text, location.href);
      return !/^https?:$/.test(protocol) || host !== location.host;
    } catch {
      return text.includes(CANARY);
    }
  };
  const isAlien = ({ name, value }) => /^on|^(data-)?hx-on/.test(name)
    || (/^(data-)?hx-(vals|headers|config|vars)/.test(name) && /^\s*j(s|avascript):/.test(value))
    || (ADDRESSES.test(name) && value !== "" && isForeign(value));
  const outline = (element) => element.cloneNode(false).outerHTML.slice(0, 300);
  const look = (element) => {
    const aliens = [...element.attributes].filter(isAlien);
    if (aliens.length || element.matches(ALIENS)) tell("found", outline(element));
  };
  const scan = (root) => {
    if (root.nodeType === Node.ELEMENT_NODE) look(root);
    for (const element of root.querySelectorAll?.("*") ?? []) {
      look(element);
      if (element.content) scan(element.content);
      if (element.shadowRoot) scan(element.shadowRoot);
    }
  };
  const words = (root, path) => {
    const text = root.textContent;
    for (const [, number] of text.matchAll(/xss-ran-(\d+)/g)) tell("ran", number);
    for (const [, one, two, three] of text.matchAll(/xss=["']?(\d+)|ran\((\d+)\)|(?:canary\.invalid\/|~ )(\d+)/g)) {
      tell("shown", `${path} ${one ?? two ?? three}`);
    }
  };
  globalThis.snare = {
    all: () => {
      scan(document);
      words(document.documentElement, location.pathname);
      if (!document.URL.startsWith("about:") && frames.length) tell("found", "a frame");
    },
    text: (text, type, url) => {
      const parsed = new DOMParser().parseFromString(text, type);
      scan(parsed);
      words(parsed.documentElement, new URL(url).pathname);
    },
  };
  new MutationObserver((changes) => {
    // What is in something that is new itself is looked at with that.
    const added = new Set(changes.flatMap(({ addedNodes }) => [...addedNodes]));
    for (const node of added) if (!added.has(node.parentNode)) scan(node);
    for (const { type, target } of changes) if (type === "attributes") look(target);
  }).observe(document, { subtree: true, childList: true, attributes: true });
}
