"""A snare for scripts: tells of each payload that ran, that asked its host, or that a page took for
markup, at any moment, and of whatever else is in a page that this application never puts there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Error, Page, Request

from tests.browser.payloads import CANARY

_WATCH = Path(__file__).with_name("snare.js").read_text(encoding="utf-8")
_IS_LOADED = "document.readyState === 'complete'"
_A_MOMENT = f"() => new Promise((done) => setTimeout(() => done({_IS_LOADED}), 10))"
_LOOK = f"() => {{ snare.all(); return {_IS_LOADED}; }}"
_MOST_LOOKS = 500
_QUIET = 3
"""So many looks in a row find nothing under way when a page is at rest; the last one is at all."""


class Snare:
    """Watches pages, and keeps what was caught in them."""

    def __init__(self) -> None:
        self.ran: set[int] = set()
        self.found: dict[str, str] = {}
        """What markup there was, and in which page it was seen first."""
        self.shown: dict[str, set[int]] = {}
        """The payloads that stood in a page as text, by its path."""
        self.pushed: list[str] = []
        """Fragments that came over a WebSocket."""
        self._under_way: set[Request] = set()

    @property
    def caught(self) -> set[int]:
        """The numbers of all payloads that ran or were taken for markup."""
        found = re.findall(rf"xss=\"(\d+)|ran\((\d+)|{CANARY}/(\d+)", " ".join(self.found))
        return self.ran | {int(number) for numbers in found for number in numbers if number}

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was caught."""
        return not self.ran and not self.found

    def expect_nothing(self, where: str) -> None:
        """Fail when anything was caught."""
        markup = "\n".join(f"{what} in {page}" for what, page in self.found.items())
        assert self.is_empty, f"{where}: these ran: {self.ran}, and this is markup:\n{markup}"

    def follow(self, page: Page) -> None:
        """Watch a page from now on; call it before it loads anything."""
        page.add_init_script(_WATCH)
        page.on("console", self._on_console)
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_end)
        page.on("requestfailed", self._on_end)
        page.on("websocket", lambda socket: socket.on("framereceived", self._on_frame))

    def settle(self, page: Page) -> None:
        """Wait until the page is loaded and nothing that it asked for is under way, and look at all
        of it. One that never comes to rest is not waited for: what is caught in it is known."""
        quiet, is_loaded = 0, False
        for _ in range(_MOST_LOOKS):
            try:
                is_loaded = page.evaluate(_A_MOMENT if quiet < _QUIET - 1 else _LOOK)
            except Error as error:
                if "navigation" not in str(error):
                    raise
                page.wait_for_load_state("domcontentloaded")
                is_loaded = False
            quiet = quiet + 1 if is_loaded and not self._under_way else 0
            if quiet == _QUIET:
                return

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "debug" or not message.text.startswith("snare "):
            return
        _, kind, what = message.text.split(" ", 2)
        if kind == "shown":
            path, _, number = what.rpartition(" ")
            self.shown.setdefault(path, set()).add(int(number))
        elif kind == "ran":
            self.ran.add(int(what))
        else:
            self.found.setdefault(what, message.page.url if message.page else "?")

    def _on_request(self, request: Request) -> None:
        # What is on the way when its page is left is neither finished nor failed.
        if request.is_navigation_request():
            self._under_way.clear()
        self._under_way.add(request)
        # Not by `route`: where there is one the browser keeps no file of any page.
        if asked := re.match(rf"\w+://{re.escape(CANARY)}/(\d*)", request.url):
            self.ran.add(int(asked[1] or 0))

    def _on_end(self, request: Request) -> None:
        self._under_way.discard(request)

    def _on_frame(self, content: str | bytes) -> None:
        self.pushed.append(json.loads(content).get("html", ""))
