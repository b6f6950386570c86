"""The names of files as rclone tells them, and the real ones: its standard encoding, and a look at
the source where that does not suffice.

With `--local-encoding=Raw` the encoding says everything of a local name but its bytes that are not
UTF-8: those become U+FFFD in the JSON log, and only a listing of the folder tells which they are.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from typing import NamedTuple

from core.engines.base import SPECIAL
from models.run_spec import RunSpec

LINK_SUFFIX = ".rclonelink"
"""What rclone adds to the name of a symbolic link (rclone docs, local, Symlinks)."""
_QUOTE = "\u201b"
_PICTURES = {0x2400 + code: chr(code) for code in range(0x20)} | {0x2421: "\x7f", 0xFF0F: "/"}
"""What stands for a character that is not wanted in a name, and that character (rclone docs,
Restricted filenames)."""
_ENCODED = {ord(plain): chr(picture) for picture, plain in _PICTURES.items()} | {
    code: _QUOTE + chr(code) for code in (*_PICTURES, ord(_QUOTE))
}
_DOTS = {"\uff0e": ".", "\uff0e\uff0e": ".."}
_PLAIN_DOTS = {dots: told for told, dots in _DOTS.items()}
_QUOTED_DOTS = {"".join(_QUOTE + dot for dot in told): told for told in _DOTS}
_UNKNOWN = "\ufffd"
_PARTIAL_SUFFIX = r"\.[0-9a-f]{8}\.partial$"
_MOST_ENTRIES_LISTED = 1_000_000
"""In one attempt: names that are not UTF-8 are rare, folders may be large."""
_KINDS = {stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket", stat.S_IFBLK: "device"}
_KINDS[stat.S_IFCHR] = "device"


def to_standard(name: str) -> str:
    """Return a path as rclone's lists and logs have it, out of the one on disk (os.fsdecode)."""
    return "/".join(map(_part_to_standard, name.split("/")))


def from_standard(told: str) -> str:
    """Return a path as it is on disk, out of the one that rclone tells."""
    return "/".join(map(_part_from_standard, told.split("/")))


def _part_to_standard(part: str) -> str:
    if part in _DOTS:
        return "".join(_QUOTE + dot for dot in part)
    return _PLAIN_DOTS.get(part) or part.translate(_ENCODED)


def _part_from_standard(part: str) -> str:
    if part in _DOTS or part in _QUOTED_DOTS:
        return _DOTS.get(part) or _QUOTED_DOTS[part]
    if part.isascii():
        return part
    plain = []
    characters = iter(part)
    for character in characters:
        if character != _QUOTE:
            plain.append(_PICTURES.get(ord(character), character))
            continue
        quoted = next(characters, "")
        is_escape = quoted == _QUOTE or (quoted and ord(quoted) in _PICTURES)
        plain.append(quoted if is_escape else _QUOTE + quoted)
    return "".join(plain)


class RealFile(NamedTuple):
    """What a name of the log stands for: bytes for people, the name on disk where it is certain,
    and the kind of file that the source has there (stat.S_IFMT; 0 where nobody knows)."""

    shown: bytes
    name: str | None
    kind: int = 0

    @property
    def special_kind(self) -> str:
        """The kind of a special file, in a word."""
        return _KINDS.get(self.kind, SPECIAL)


class SourceNames:
    """Finds out which file of the source a name of the log stands for."""

    def __init__(self, spec: RunSpec) -> None:
        self._source = None if spec.source_is_remote else spec.source
        if self._source is not None and not os.path.isdir(self._source):
            # rclone names a single file from its folder.
            self._source = os.path.dirname(self._source)
        self._destination = None if spec.destination_is_remote else spec.destination
        self._entries_left = _MOST_ENTRIES_LISTED

    def real(self, told: str) -> RealFile:
        """Return the file that rclone named so. Never raises."""
        if self._source is None:
            name = from_standard(told)
            is_certain = _UNKNOWN not in told and to_standard(name) == told
            return RealFile(_bytes(name), _on_disk(name) if is_certain else None)
        if _UNKNOWN in told:
            found = self._look_for(told.split("/"))
            if found is None:
                return RealFile(_bytes(from_standard(told)), None)
        else:
            found = from_standard(told)
        return self._without_link_suffix(found)

    def real_of_partial(self, told: str) -> RealFile:
        """Return the file whose part rclone named so: its name, eight hexadecimal digits and a
        word; a long name is cut so that the whole is as long as itself. Never raises."""
        cut = re.sub(_PARTIAL_SUFFIX, "", told)
        file = self.real(cut)
        if file.kind or self._source is None:
            return file
        folder, slash, beginning = cut.rpartition("/")
        like = self._listed(from_standard(folder), lambda name: name.startswith(beginning))
        return self.real(folder + slash + to_standard(like[0])) if len(like) == 1 else file

    def _without_link_suffix(self, name: str) -> RealFile:
        kind = self._kind_of(name)
        if not kind and name.endswith(LINK_SUFFIX):
            link = name.removesuffix(LINK_SUFFIX)
            if self._kind_of(link) == stat.S_IFLNK:
                return RealFile(_bytes(link), link, stat.S_IFLNK)
        # A folder cannot be tried again by its name.
        return RealFile(_bytes(name), None if kind == stat.S_IFDIR else _on_disk(name), kind)

    def _kind_of(self, name: str) -> int:
        assert self._source is not None
        return _kind_at(f"{self._source}/{name}")

    def _look_for(self, parts: list[str]) -> str | None:
        """Return the one path of the source whose parts rclone logs like these, or None."""
        paths = [""]
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            found = []
            for path in paths:
                found += self._named_like(path, part, may_be_link=is_last)
            paths = found
        if len(paths) > 1:
            paths = [path for path in paths if self._without_link_suffix(path).kind]
        if len(paths) > 1:
            paths = [path for path in paths if not self._is_whole(path)]
        return paths[0] if len(paths) == 1 else None

    def _named_like(self, folder: str, part: str, *, may_be_link: bool) -> list[str]:
        if _UNKNOWN not in part:
            return [f"{folder}{_part_from_standard(part)}" + ("" if may_be_link else "/")]
        wanted = [part]
        if may_be_link and part.endswith(LINK_SUFFIX):
            wanted.append(part.removesuffix(LINK_SUFFIX))
        found = self._listed(folder, lambda name: name in wanted)
        return [folder + name + ("" if may_be_link else "/") for name in found]

    def _listed(self, folder: str, is_meant: Callable[[str], bool]) -> list[str]:
        """Return what a folder has whose name, as it is logged, is meant."""
        found = []
        try:
            with os.scandir(f"{self._source}/{folder}") as entries:
                for entry in entries:
                    self._entries_left -= 1
                    if self._entries_left < 0:
                        return []
                    if is_meant(_as_logged(entry.name)):
                        found.append(entry.name)
        except (OSError, ValueError):
            return []
        return found

    def _is_whole(self, name: str) -> bool:
        """Whether the destination has this file of the source, by size and time."""
        if self._destination is None:
            return False
        try:
            source = os.lstat(f"{self._source}/{name}")
            copy = os.lstat(f"{self._destination}/{name}")
        except (OSError, ValueError):
            return False
        return (source.st_size, source.st_mtime_ns) == (copy.st_size, copy.st_mtime_ns)


def is_taken_for_link(file: RealFile) -> bool:
    """Whether rclone takes this regular file for the picture of a symbolic link, by its name."""
    return file.kind == stat.S_IFREG and file.shown.endswith(LINK_SUFFIX.encode())


def _kind_at(path: str) -> int:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return 0


def _as_logged(name: str) -> str:
    text = _part_to_standard(name)
    if text.isascii():
        return text
    # One for each byte that is no part of a character (encoding/json of Go).
    return "".join(_UNKNOWN if "\udc80" <= one <= "\udcff" else one for one in text)


def _on_disk(name: str) -> str | None:
    # JSON can spell a surrogate that stands for no byte.
    return None if "\0" in name or os.fsdecode(_bytes(name)) != name else name


def _bytes(name: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode("utf-8", errors="replace")
