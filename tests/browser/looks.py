"""Looks at a page as it is shown: does it fit, and does axe-core find anything."""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from typing import Literal

from playwright.sync_api import Page

from tests.browser.visitor import DESK, PHONE

Scheme = Literal["light", "dark"]
_LOOKS: tuple[tuple[int, Scheme], ...] = ((PHONE, "dark"), (DESK, "light"))
"""Every width and every scheme once: what one of them alone would show stands in no other place."""
_AXE = importlib.resources.files("axe_playwright_python") / "axe.min.js"
_CHECK = """async () => {
  const result = await axe.run({resultTypes: ["violations"]});
  const places = (nodes) => nodes.map((node) => node.html.slice(0, 200)).join(" | ");
  return result.violations.map(({id, help, nodes}) => `${id}: ${help}: ${places(nodes)}`);
}"""


def faults_of(page: Page, looks: Sequence[tuple[int, Scheme]] = _LOOKS) -> list[str]:
    """Return what is wrong with a page as it is shown now, in each size and in each scheme."""
    faults = []
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    for width, scheme in looks:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(_CHECK)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        if wide > page.evaluate("() => document.documentElement.clientWidth"):
            found.append(f"it is {wide} px wide")
        faults += [f"{width} px, {scheme}: {fault}" for fault in found]
    if page.evaluate("() => window.ran"):
        faults.append("a script in a name ran")
    return faults
