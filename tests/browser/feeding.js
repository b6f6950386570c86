/* Finds the text fields of pages, and fills and sends their forms: see feeding.py. */
{
  const TEXTS = "textarea, [contenteditable], input:not([type=hidden], [type=checkbox], [type=radio], "
    + "[type=submit], [type=button], [type=reset], [type=image])";
  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");
  const fields = (root, url) => [...root.querySelectorAll(TEXTS)].map((field) =>
    [field.form?.id ?? "", field.name || field.id, url,
    field.form?.matches("[hx-get], [hx-post]") ?? false]);

  /* Fill a form, in one field or in all; returns the button that sends it. */
  const fill = (form, text, only) => {
    form.noValidate = true;
    for (const field of form.elements) {
      if (field.name === "job") field.checked = true;
      if (!field.matches(TEXTS) || (only && field.name !== only)) continue;
      field.removeAttribute("maxlength");
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const buttons = [...form.elements].filter((one) => one.type === "submit");
    return buttons.find((one) => one.value === "tag") ?? buttons[0];
  };
  const read = async (url, init) => {
    // Where an answer leads to another host the browser refuses to go on, after it has asked there.
    const answer = await fetch(url, init).catch(() => null);
    if (!answer) return { status: 0, url, type: "", isSafe: true };
    const type = (answer.headers.get("content-type") ?? "").split(";")[0];
    const text = type === "text/html" ? await answer.text() : "";
    if (text) snare.text(text, type, answer.url);
    const isSafe = answer.headers.get("x-content-type-options") === "nosniff";
    return { status: answer.status, url: answer.url, type, text, isSafe };
  };

  globalThis.feeding = {
    fields: () => fields(document, location.href),
    submit: ([id, text]) => {
      const form = document.getElementById(id);
      form.requestSubmit(fill(form, text, ""));
    },
    /* Read many answers as pages without going there. */
    read: (asked) => Promise.all(asked.map(async ([url, method]) => {
      const answer = await read(url, { method });
      const found = answer.text ? fields(parsed(answer.text), url) : [];
      return [answer.status, answer.isSafe, found, /^\s*<!doctype/.test(answer.text ?? "")];
    })),
    /* Send a form of another page, as a browser without scripts does. */
    send: async ([url, id, text, only]) => {
      const page = parsed((await read(url)).text);
      const form = page.getElementById(id);
      const button = fill(form, text, only);
      const data = new URLSearchParams(new FormData(form));
      if (button?.name) data.append(button.name, button.value);
      const place = new URL(button?.getAttribute("formaction") ?? form.getAttribute("action"), url);
      const isPost = form.method === "post";
      if (!isPost) place.search = data;
      const { status } = await read(place, isPost ? { method: "POST", body: data } : {});
      return status;
    },
  };
}
