"""Links that a tool would follow and that nobody meant: in the place of our own folders at a
destination, or on the way to a file of a list.

Whoever may write at a source or a destination could lead a transfer elsewhere by them. Looked for
before each process; one that is swapped while it runs is held off by the unit or the container
alone (docs/allowed-folders.md). Standard library only: the runner uses this. Blocking.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable

from core.engines.rsync_messages import PARTIAL_DIRECTORY
from core.real_paths import Touch
from core.runner.selected_files import read_names
from models.extra_args import FOLLOWING
from models.remote import is_remote
from models.run_spec import RunSpec
from utils.shown_names import shown_name

_PARTIAL = os.fsencode(PARTIAL_DIRECTORY)
_LOOK_SECONDS = 5.0
"""So long a look at folders takes at most, before a person's stop is heeded."""


def followed_link_fault(spec: RunSpec, touch: Touch) -> str | None:
    """Return why no process of a run may begin, as a sentence, or None. `touch` is told what is
    looked at. Raises OSError where the list of files cannot be read, NoAnswer."""
    for location in (spec.source, spec.destination):
        if not is_remote(location):
            touch(location)
    return kept_folder_fault(spec) or _listed_fault(spec)


def kept_folder_fault(spec: RunSpec) -> str | None:
    """Return why nothing can be kept at a destination on this machine, as a sentence, or None.

    The tools follow a symbolic link in the folder's place, and would write to wherever it leads.
    One on another machine cannot be looked at.
    """
    if spec.keep_replaced_in is None or spec.destination_is_remote:
        return None
    path = spec.destination
    for name in spec.keep_replaced_in.split("/"):
        path = os.path.join(path, name)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"Destination: {path} cannot be looked at: {error.strerror}."
        if not stat.S_ISDIR(mode):
            return (
                f"Destination: {path} is not a folder of its own: what is replaced could not be "
                "kept there. Remove it, and start the job again."
            )
    return None


class PartialFolders:
    """The partial directories at a destination on this machine: rsync follows a link in the place
    of one when it keeps what it has of a file (rsync(1), --partial-dir), and writes through it."""

    def __init__(self, destination: str, *, in_each_folder: bool) -> None:
        self._destination = destination
        self._waiting = [os.fsencode(destination)]
        self._in_each = in_each_folder
        self.link: bytes | None = None
        """The first one that is no folder."""

    def look_on(self, touch: Touch) -> bool:
        """Look for some seconds; whether that is all. A folder that may not be read is one that
        rsync writes nothing to. Raises NoAnswer."""
        touch(self._destination)
        until = time.monotonic() + _LOOK_SECONDS
        while self._waiting and self.link is None:
            if time.monotonic() > until:
                return False
            self._look_in(self._waiting.pop())
        return True

    def _look_in(self, folder: bytes) -> None:
        partial = os.path.join(folder, _PARTIAL)
        try:
            if not stat.S_ISDIR(os.lstat(partial).st_mode):
                self.link = partial
                return
        except OSError:
            pass  # There is none, and what cannot be reached is not written to.
        if not self._in_each:
            return
        try:
            with os.scandir(folder) as entries:
                self._waiting += [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:
            return

    @property
    def fault(self) -> str | None:
        """Why no transfer may begin, as a sentence, or None."""
        if self.link is None:
            return None
        return (
            f"Destination: {shown_name(self.link)} is not a folder of its own: what a stop leaves "
            "of a file would be written to wherever it leads. Remove it, and start the job again."
        )


def leading_out(source: str, names: Iterable[bytes]) -> bytes | None:
    """Return the first of some names in a local source that is reached through what is no folder of
    its own; None when there is none. What is not there any more the tool tells itself."""
    top, good = os.fsencode(source), {b"", b"."}
    for name in names:
        *folders, _ = name.split(b"/")
        for depth in range(1, len(folders) + 1):
            folder = b"/".join(folders[:depth])
            if folder in good:
                continue
            try:
                mode = os.lstat(os.path.join(top, folder)).st_mode
            except OSError:
                break
            if not stat.S_ISDIR(mode):
                return name
            good.add(folder)
    return None


def _listed_fault(spec: RunSpec) -> str | None:
    # The tools go through links to what is named, though they copy links as such; unless a person
    # wants those followed.
    if spec.only_files_path is None or spec.source_is_remote:
        return None
    if any(argument in spec.extra_args for argument in FOLLOWING):
        return None
    name = leading_out(spec.source, read_names(spec.only_files_path))
    if name is None:
        return None
    return (
        f"Source: a folder on the way to {shown_name(name)} is a link now, which would lead "
        "somewhere else. Start the job, which looks at everything."
    )
