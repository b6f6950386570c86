"""Spellings by which a path may try to leave a folder, in a field and in a URL, and the tree that
they are tried on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

SECRET = "secret-of-somebody-else"
_DOTS = (
    "..", "%2e%2e", "%2E%2E", ".%2e", "%252e%252e", "%25252e%25252e", "..%2f", "..%252f", "..%5c",
    "..\\", "..%00", "..;", "..;x", "\uff0e\uff0e", "\u2025",
    "\u2024\u2024", "%c0%ae%c0%ae", "..%c0%af", "%u002e%u002e",
    "%uff0e%uff0e", "... ", ".. ", ". .", "...", "....", "..\u200b", "..\u202e", "..\uff0f",
    "..\u2215", "..\u2044", "&#46;&#46;", "\\x2e\\x2e", "..\t", "..\n", "..\r", "..\x7f",
    ".\u0307.",
)  # fmt: skip
_CLIMBS = ("{root}/{dots}/outside", "{root}/in/{dots}/{dots}/outside", "{root}/{dots}/{dots}/etc")
_ABSOLUTE = (
    "", "/", "//", "/..", "/../..", "/etc", "//etc", "///etc", "/./etc", "/etc/.", "/etc/",
    "/etc//ssl", "{outside}", "{outside}/", "{outside}//", "/{outside}", "//{outside}",
    "{outside}/.", "{outside}/../outside", "{outside}/inner/..", "{outside}/inner/new",
    "{root}/..", "{root}/../", "{root}/../.", "{root}/./..", "{root}//..", "{root}/in/../..",
    "{root}/in//..//..", "{root}/in/.././..", "{root}-twin", "{root}-twin/inner", "{root}.",
    "{root} ",
    "{root}/../root-twin", "{root}/../root/../outside", "{root}/file/..", "{root}/file/../..",
    "{root}/file/../../outside", "{root}/missing/../../outside", "{root}/missing/..",
    "{root}/missing/../link", "{root}/missing/../missing/../../outside/new",
    "{root}/link", "{root}/link/", "{root}/link/.", "{root}/link/inner", "{root}/link/new",
    "{root}/link/new/deeper", "{root}/link/..", "{root}/link/../outside", "{root}/in/../link",
    "{root}/./link", "{root}//link", "{root}/chain", "{root}/chain/inner", "{root}/relative",
    "{root}/relative/new", "{root}/in/up", "{root}/in/up/up", "{root}/in/up/../outside",
    "{root}/in/up/up/outside", "{root}/loop", "{root}/loop/..", "{root}/loop/../../outside",
    "{root}/dangling", "{root}/dangling/new", "{root}/to-file", "{root}/hop/{name}/outside",
    "{outside}/back/../inner", "/proc/self/root", "/proc/self/root/etc", "/proc/self/root{outside}",
    "/proc/self/root/proc/self/root{outside}", "/proc/thread-self/root{outside}",
    "/proc/{pid}/root{outside}", "/proc/1/root/etc", "/proc/self/cwd", "/proc/self/cwd/..",
    "/proc/self/fd/{descriptor}", "/proc/self/fd/{descriptor}/inner", "/dev/fd/{descriptor}",
    "{root}/process/root{outside}", "{root}/process/cwd", "{root}/process/fd/{descriptor}",
    "{root}\0", "{root}\0/../outside", "{outside}\0{root}", "{root}/in\0/../../outside",
    "~", "~root", "~/../outside", "$HOME", "file://{outside}", "file:///etc", "FILE:///etc",
    "{root}:{outside}", "{outside}:{root}", "{root};{outside}", "{root}|{outside}", "-{outside}",
    " {outside}", "\t{outside}", "\u00a0{outside}", "\ufeff{outside}", "\u2215etc", "\uff0fetc",
    "\\etc",
    "C:\\", "\\\\server\\share", "..", "../outside", "./in/../../outside", "outside", "in/../..",
)  # fmt: skip


def scene(place: Path) -> tuple[Path, Path]:
    """Make an allowed folder `root` with every kind of way out, and `outside` beside it."""
    root, outside = place / "root", place / "outside"
    (root / "in").mkdir(parents=True)
    (root / "file").write_bytes(b"x")
    (outside / "inner").mkdir(parents=True)
    (outside / SECRET).mkdir()
    (outside / "inner" / SECRET).mkdir()
    (place / "root-twin" / "inner").mkdir(parents=True)
    links: dict[str, str | Path] = {
        "link": outside,
        "chain": root / "link",
        "relative": "../outside",
        "in/up": "..",
        "up": "..",
        "loop": "loop",
        "dangling": place / "made-outside",
        "to-file": outside / "file",
        "hop": place.parent,
        "process": "/proc/self",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    (outside / "file").write_bytes(b"x")
    (outside / "back").symlink_to(root)
    return root, outside


def spellings(root: Path, outside: Path, descriptor: int) -> Iterator[str]:
    """Yield every spelling; `descriptor` is open on the folder outside."""
    values = {
        "root": root,
        "outside": outside,
        "name": root.parent.name,
        "pid": os.getpid(),
        "descriptor": descriptor,
    }
    for climb in _CLIMBS:
        for dots in _DOTS:
            yield climb.format(dots=dots, **values)
    for text in _ABSOLUTE:
        yield text.format(**values)
    yield f"{root}/" + "in/../" * 400 + "../outside"
    yield f"{root}/" + "a/" * 2500
    yield f"{root}/" + "a" * 5000
    yield str(outside).upper()
    yield f"{root}\udcff/../outside"


_DEEP = 16
_IN_A_URL = (
    "{dots}", "{dots}/{dots}", "{dots}/canary", "{known}/{dots}/{dots}/canary",
    "{dots}\\{dots}\\canary", "{many}{outside}/canary", "{known}%2f{dots}%2f{dots}%2fcanary",
)  # fmt: skip
"""By `..` from the folder of a thing, of things, and from deeper than the file system is."""


def url_spellings(root: Path, outside: Path, *, known: str, descriptor: int) -> tuple[bytes, ...]:
    """Return spellings for a part of a URL: raw, and encoded once in whole and in part; `known` is
    the id of something that is there."""
    texts = list(spellings(root, outside, descriptor))
    for form in _IN_A_URL:
        for dots in _DOTS:
            many = "/".join([dots] * _DEEP)
            texts.append(form.format(dots=dots, known=known, many=many, outside=outside))
    found: dict[bytes, None] = {}
    for text in texts:
        found[os.fsencode(text)] = None
        for safe in ("", "/%&#;\\"):
            found[quote(os.fsencode(text), safe=safe).encode()] = None
    return tuple(found)
