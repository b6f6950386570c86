"""Reads pages as a browser would: links, forms, fields, and what the policy on scripts forbids."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

LINKS = {"href", "src", "action", "formaction", "hx-get", "hx-post", "data-card-url"}


@dataclass
class Form:
    """One form of a page with the values that it would send."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A page taken apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.buttons: list[tuple[str, str]] = []
        self.methods: dict[str, str] = {}
        self.links: list[str] = []
        self.forbidden: list[str] = []
        self.text = ""
        self.is_whole = "<html" in html
        self._textarea: str | None = None
        self._in_script = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what a tag links to, sends or must not have."""
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            if name in LINKS:
                self.links.append(value)
            if name == "style" or name.startswith(("on", "hx-on")) or "javascript:" in value:
                self.forbidden.append(f"<{tag} {name}={value!r}>")
        self._in_script = tag == "script"
        if tag == "style":
            self.forbidden.append("<style>")
        elif tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
            self.methods[given.get("id", "")] = given.get("method", "get")
        elif tag == "button" and "formaction" in given:
            self.buttons.append((given["formaction"], given.get("form", "")))
        elif tag == "meta" and given.get("name") == "longshore-ws":
            self.links.append(given["content"])
        self._take_field(tag, given)

    def handle_data(self, data: str) -> None:
        """Collect the text; a script may have none."""
        if self._in_script and data.strip():
            self.forbidden.append(f"inline script: {data.strip()[:40]}")
        if self._textarea is not None:
            # A newline right after the tag is not part of the value (HTML, 13.1.2.5).
            self.forms[-1].values[self._textarea] = data.removeprefix("\n")
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        """Leave scripts and text areas."""
        self._in_script = False
        self._textarea = None

    def form_to(self, end: str) -> Form:
        """Return what is sent to the one address that ends so: by a form, or by a button of one.

        A button may belong to a form elsewhere on the page, which a fragment does not hold.
        """
        found = {form.action: form for form in self.forms if form.action.endswith(end)}
        for action, form_id in self.buttons:
            if action.endswith(end):
                method = self.methods[form_id] if self.is_whole else "post"
                found.setdefault(action, Form(action, method))
        (form,) = found.values()
        return form

    def _take_field(self, tag: str, given: dict[str, str]) -> None:
        name = given.get("name")
        if not self.forms or name is None:
            return
        values = self.forms[-1].values
        if tag == "textarea":
            self._textarea = name
            values.setdefault(name, "")
        elif tag == "input" and given.get("type") in {"radio", "checkbox"}:
            if "checked" in given:
                values[name] = given.get("value", "on")
        elif tag == "input":
            values[name] = given.get("value", "")
