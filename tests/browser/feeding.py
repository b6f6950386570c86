"""Feeds texts to every form that pages offer, and reads any number of answers as pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.snare import Snare

_SCRIPT = Path(__file__).with_name("feeding.js").read_text(encoding="utf-8")
_AT_ONCE = 20
_SERVER_ERROR = 500
Asked = tuple[str, str]
"""An address and a method."""


@dataclass
class Table:
    """What there is to feed: the text fields of each form, and where the form was seen."""

    snare: Snare
    fields: dict[tuple[str, str], str] = field(default_factory=dict)
    """By form and name of the field, the address of a page that has it."""
    fed: set[tuple[str, str]] = field(default_factory=set)
    scripted: set[str] = field(default_factory=set)
    """Forms that htmx sends where there are scripts."""

    def follow(self, page: Page) -> None:
        """Be ready to feed a page, and watch it; call it before it loads anything."""
        page.add_init_script(_SCRIPT)
        self.snare.follow(page)

    def look(self, page: Page) -> None:
        """Look at a page when it is at rest, and take note of its fields. Fails when anything was
        caught: a page in which a script runs may be no page of ours any more."""
        self.snare.settle(page)
        self.snare.expect_nothing(page.url)
        self._note(page.evaluate("() => feeding.fields()"))

    def read(self, page: Page, asked: Sequence[Asked]) -> list[str]:
        """Have the browser read answers as pages without going there; returns the addresses of
        those that are whole pages. What is no page must not be taken for one."""
        pages = []
        for start in range(0, len(asked), _AT_ONCE):
            group = asked[start : start + _AT_ONCE]
            answers = page.evaluate("(asked) => feeding.read(asked)", group)
            for (address, _), (status, is_safe, fields, is_page) in zip(
                group, answers, strict=True
            ):
                assert status < _SERVER_ERROR, address
                assert is_safe, f"a browser may guess what {address} is"
                self._note(fields)
                pages += [address] if is_page else []
        return pages

    def forms(self) -> dict[str, str]:
        """Return the forms with fields that were not fed by now, and where they were seen."""
        return {
            form: url for (form, name), url in self.fields.items() if (form, name) not in self.fed
        }

    def names(self, form: str) -> list[str]:
        """Return the text fields of a form."""
        return [name for known, name in self.fields if known == form]

    def submit(self, page: Page, form: str, text: str) -> None:
        """Send a form by the scripts of its page, if they are what sends it, with a text in all of
        its fields."""
        url = self.fields[form, self.names(form)[0]]
        if form in self.scripted:
            if page.url != url:
                page.goto(url, wait_until="domcontentloaded")
            page.evaluate("(what) => feeding.submit(what)", [form, text])
            self.look(page)
        self.fed.update((form, name) for name in self.names(form))

    def send(self, page: Page, form: str, text: str, only: str = "") -> None:
        """Send a form as a browser without scripts does, with a text in one field or all."""
        url = self.fields[form, only or self.names(form)[0]]
        status = page.evaluate("(what) => feeding.send(what)", [url, form, text, only])
        assert status < _SERVER_ERROR, form

    def _note(self, fields: list[tuple[str, str, str, bool]]) -> None:
        for form, name, url, is_scripted in fields:
            if is_scripted:
                self.scripted.add(form)
            self.fields.setdefault((form, name), url)
