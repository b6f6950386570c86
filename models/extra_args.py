"""Extra arguments: what a person may hand to a tool beside the options, as one list per engine.

A list of what is allowed, not of what is refused: a tool's next version may learn to run a command
or to write elsewhere by an option that nobody has heard of yet. Nothing here does either, none
takes a file's name or a host, and none speaks of what Longshore itself decides (what is printed,
where parts of files lie, what is deleted).
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FLAG = ""
_SIZE = r"\d{1,15}(?:\.\d{1,3})?[KMGT]?(?:i?B)?"
_NUMBER = r"\d{1,9}"
_AGE = r"\d{1,9}(?:ms|s|m|h|d|w|M|y)?"
_MODE = r"[DF]?(?:[ugoa]{0,4}[-+=][rwxXst]{1,6}|[0-7]{3,4})"


FOLLOWING = ("--copy-links", "--copy-unsafe-links")
"""With these a tool reads what a link within the source leads to, wherever that is."""


class Allowed(NamedTuple):
    """One argument: the form of its value (empty: it has none), and whether it changes which files
    are copied or counted as the same, so that scan, dry run and verification need it too."""

    value: str = _FLAG
    selects: bool = False


_SELECTS = Allowed(selects=True)
ALLOWED: dict[str, dict[str, Allowed]] = {
    "rsync": {
        "--one-file-system": _SELECTS,
        "--prune-empty-dirs": _SELECTS,
        "--update": _SELECTS,
        "--existing": _SELECTS,
        "--ignore-existing": _SELECTS,
        "--size-only": _SELECTS,
        "--ignore-times": Allowed(),
        "--max-size": Allowed(_SIZE, selects=True),
        "--min-size": Allowed(_SIZE, selects=True),
        "--modify-window": Allowed(_NUMBER, selects=True),
        "--copy-links": _SELECTS,
        "--copy-unsafe-links": _SELECTS,
        "--safe-links": _SELECTS,
        "--checksum": Allowed(),
        "--checksum-choice": Allowed("auto|xxh128|xxh3|xxh64|md5|md4|sha1"),
        "--compress": Allowed(),
        "--compress-choice": Allowed("auto|zstd|lz4|zlibx|zlib|none"),
        "--compress-level": Allowed(r"-?\d{1,2}"),
        "--block-size": Allowed(_NUMBER),
        "--whole-file": Allowed(),
        "--no-whole-file": Allowed(),
        "--sparse": Allowed(),
        "--preallocate": Allowed(),
        "--fuzzy": Allowed(),
        "--fake-super": Allowed(),
        "--numeric-ids": Allowed(),
        "--no-owner": Allowed(),
        "--no-group": Allowed(),
        "--no-perms": Allowed(),
        "--chmod": Allowed(rf"{_MODE}(?:,{_MODE}){{0,9}}"),
        "--atimes": Allowed(),
        "--crtimes": Allowed(),
        "--open-noatime": Allowed(),
        "--omit-dir-times": Allowed(),
        "--omit-link-times": Allowed(),
        "--ipv4": Allowed(),
        "--ipv6": Allowed(),
    },
    "rclone": {
        "--one-file-system": _SELECTS,
        "--size-only": _SELECTS,
        "--update": _SELECTS,
        "--ignore-existing": _SELECTS,
        "--ignore-size": _SELECTS,
        "--ignore-times": Allowed(),
        "--max-size": Allowed(_SIZE, selects=True),
        "--min-size": Allowed(_SIZE, selects=True),
        "--max-age": Allowed(_AGE, selects=True),
        "--min-age": Allowed(_AGE, selects=True),
        "--max-depth": Allowed(_NUMBER, selects=True),
        "--modify-window": Allowed(_AGE, selects=True),
        "--copy-links": _SELECTS,
        "--ignore-case-sync": _SELECTS,
        "--checksum": Allowed(),
        "--immutable": Allowed(),
        "--fast-list": Allowed(),
        "--no-traverse": Allowed(),
        "--no-check-dest": Allowed(),
        "--no-update-modtime": Allowed(),
        "--buffer-size": Allowed(_SIZE),
        "--multi-thread-streams": Allowed(_NUMBER),
        "--multi-thread-cutoff": Allowed(_SIZE),
        "--tpslimit": Allowed(r"\d{1,6}(?:\.\d{1,3})?"),
        "--tpslimit-burst": Allowed(_NUMBER),
        "--low-level-retries": Allowed(_NUMBER),
        "--use-server-modtime": Allowed(),
        "--s3-chunk-size": Allowed(_SIZE),
        "--s3-upload-concurrency": Allowed(_NUMBER),
        "--drive-chunk-size": Allowed(_SIZE),
        "--b2-chunk-size": Allowed(_SIZE),
        "--onedrive-chunk-size": Allowed(_SIZE),
    },
}
"""rsync(1), OPTIONS SUMMARY; rclone docs, Global Flags. By their long names only: a bundle of
letters could hide another one."""


def extra_argument_fault(engine: str, argument: str) -> str | None:
    """Return why an argument is refused, naming it, or None when it is in the engine's list."""
    name, has_value, value = argument.partition("=")
    allowed = ALLOWED.get(engine, {}).get(name)
    shown = f"“{argument[:80].encode('utf-8', 'backslashreplace').decode('utf-8')}”"
    if allowed is None:
        return (
            f"{shown} is not among the extra arguments that {engine} jobs may have: "
            f"{', '.join(sorted(ALLOWED.get(engine, {})))}."
        )
    if not allowed.value:
        return f"{shown}: {name} takes no value." if has_value else None
    if not re.fullmatch(allowed.value, value, re.ASCII):
        return (
            f"{shown}: {name} is written with a value of its kind, in one piece, as {name}=VALUE."
        )
    return None


def selecting(engine: str, arguments: tuple[str, ...]) -> list[str]:
    """Return those of the accepted arguments that scan, dry run and verification need as well."""
    known = ALLOWED.get(engine, {})
    return [one for one in arguments if known.get(one.partition("=")[0], Allowed()).selects]
