"""Keeps account of a visit: which controls were seen, which were used by hand, which routes asked.

A click counts only when it was a person's (`isTrusted`): one that a script makes bypasses the CSP.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.routing import APIRoute
from playwright.sync_api import ConsoleMessage, Download, Page, Request, Response

from tests.policy import fault_of_policy
from tests.support import RunningServer

# A control without an id is known by its class, its data- attributes and where it leads to: the
# ids of jobs and runs are taken out of all of these, so that each kind of control stands once.
_WATCH = """
{
  const CONTROLS = "a[href], button, summary, input:not([type=hidden]), select, textarea";
  const seen = new Set();
  const said = (kind, name) => console.debug(`control ${kind} ${name}`);

  const owners = (element) => {
    const found = [];
    for (let node = element; node; node = node.parentElement) {
      const { jobId, runId, runRow, happening } = node.dataset;
      const shown = /^(?:banner|notice|error|group|newest|entry)-(.+)$/.exec(node.id)?.[1];
      found.push(jobId, runId, runRow, happening, shown);
    }
    return found;
  };
  const address = (element) => {
    const text = element.getAttribute("href") ?? element.getAttribute("formaction");
    return text === null || text.startsWith("#") ? "" : new URL(text, location.href).pathname;
  };
  const generic = (id, element) => {
    // An id need not have a digit: those of jobs end in four letters of 0-9a-f.
    const about = /\\/(?:errors|jobs|runs)\\/([^/]+)/.exec(address(element))?.[1];
    const ids = [...owners(element), about].filter(Boolean);
    return ids.reduce((text, part) => text.replace(part, "*"), id);
  };
  const nameOf = (element) => {
    if (element.id) return `#${generic(element.id, element)}`;
    const what = [element.tagName.toLowerCase(), element.classList[0] ?? ""].join(" ").trim();
    const path = address(element);
    if (path) return `${what} -> ${path}`;
    const around = element.closest("[id]");
    return `${what} in #${generic(around?.id ?? "", element)}`;
  };
  const isOffered = (element) => element.checkVisibility({ visibilityProperty: true })
    && !element.matches(".visually-hidden, [aria-hidden=true], [aria-disabled=true]");
  const look = () => {
    for (const element of document.querySelectorAll(CONTROLS)) {
      const name = nameOf(element);
      if (seen.has(name) || !isOffered(element)) continue;
      seen.add(name);
      said("seen", name);
    }
  };
  const used = (event) => {
    const element = event.target.closest?.(CONTROLS);
    if (!element || (event.type === "click" && !event.isTrusted)) return;
    said("used", nameOf(element));
  };
  for (const type of ["click", "input", "change"]) window.addEventListener(type, used, true);
  document.addEventListener("DOMContentLoaded", () => {
    look();
    new MutationObserver(look).observe(document.body,
      { childList: true, subtree: true, attributes: true, attributeFilter: ["hidden", "open"] });
    document.addEventListener("toggle", look, true);
  });
}
"""


def routes_of(app: FastAPI) -> tuple[APIRoute, ...]:
    """Return what people reach of an application: pages, their parts, files and forms; no API."""
    return tuple(route for route in _all_routes(app.routes) if not route.include_in_schema)


def _all_routes(routes: Sequence[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _all_routes(route.original_router.routes)


class Account:
    """What was seen, used and asked for by the pages of one context."""

    def __init__(self, routes: Sequence[APIRoute]) -> None:
        self._routes = routes
        self._seen: dict[str, str] = {}
        self._used: set[str] = set()
        self._asked: set[str] = set()
        self._visited: set[str] = set()
        self.answers = 0
        self.wrong_policies: set[str] = set()

    def follow(self, page: Page) -> None:
        """Take note from now on of all that happens in a page; call it before it loads anything."""
        page.add_init_script(_WATCH)
        page.on("console", self._on_console)
        page.on("request", self._on_request)
        page.on("response", self._on_response)
        page.on("download", self._on_download)

    def unused(self, but: Mapping[str, str]) -> dict[str, str]:
        """Return the controls that nobody used, each with where it was seen first."""
        return {
            name: place
            for name, place in sorted(self._seen.items())
            if name not in self._used and not any(re.fullmatch(one, name) for one in but)
        }

    def unasked(self) -> list[str]:
        """Return the routes that were never asked for, pages and forms alike."""
        return [name for name in map(_name, self._routes) if name not in self._asked]

    def unvisited(self, server: RunningServer, **ids: str) -> list[str]:
        """Return the pages of a server that nobody went to; asks it which routes are pages."""
        return [
            name
            for route in self._routes
            if (name := _name(route)) not in self._visited and _is_page(route, server, ids)
        ]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "debug" or not message.text.startswith("control "):
            return
        _, kind, name = message.text.split(" ", 2)
        name = self._without_ids(name)
        if kind == "used":
            self._used.add(name)
        else:
            self._seen.setdefault(name, message.page.url if message.page else "?")

    def _on_request(self, request: Request) -> None:
        name = self._on_asked(request.method, request.url)
        if name is not None and request.is_navigation_request():
            self._visited.add(name)

    def _on_download(self, download: Download) -> None:
        self._on_asked("GET", download.url)

    def _on_asked(self, method: str, url: str) -> str | None:
        route = self._route(method, urlsplit(url).path)
        if route is None:
            return None
        self._asked.add(_name(route))
        return _name(route)

    def _on_response(self, response: Response) -> None:
        self.answers += 1
        fault = fault_of_policy(response.headers)
        if fault is not None:
            self.wrong_policies.add(f"{response.status} {response.url}: {fault}")

    def _without_ids(self, name: str) -> str:
        what, _, path = name.partition(" -> ")
        route = self._route("GET", path) or self._route("POST", path) if path else None
        return f"{what} -> {_name(route)}" if route else name

    def _route(self, method: str, path: str) -> APIRoute | None:
        for route in self._routes:
            if method in (route.methods or ()) and route.path_regex.match(path):
                return route
        return None


def _name(route: APIRoute) -> str:
    return f"{min(route.methods or ['GET'])} {route.path}"


def _is_page(route: APIRoute, server: RunningServer, ids: Mapping[str, str]) -> bool:
    if "GET" not in (route.methods or ()):
        return False
    answer = server.http.get(route.path.format_map(ids))
    assert answer.status_code in {200, 422}, f"{route.path}: {answer.status_code}"
    # 422: a part of a page, which is fetched with the fields of a form.
    return answer.status_code == 200 and answer.text.lstrip().startswith("<!doctype html>")
