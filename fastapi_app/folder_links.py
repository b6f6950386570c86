"""What a link in a listed folder is: a folder, a file, or a way out. None is followed onto another
disk, which may not answer, or be mounted only because somebody looks (autofs(5))."""

from __future__ import annotations

import os
import stat

from core.allowed_roots import Fence
from core.mounts import Mounts
from core.real_paths import walked
from models.errors import NoAnswer


class _OtherDisk(Exception):
    """A link leads onto another file system; `point` is where that is mounted."""

    def __init__(self, point: str) -> None:
        self.point = point
        super().__init__(point)


class LinkJudge:
    """Judges the links of one open folder."""

    def __init__(self, descriptor: int, top: str, fence: Fence, mounts: Mounts) -> None:
        self._descriptor = descriptor
        self._top = top
        self._fence = fence
        self._mounts = mounts
        self._device = mounts.of(top).device

    def is_folder(self, name: str) -> bool | None:
        """Whether a link leads to a folder; None when it is not to be listed, since it leads out,
        or may. What lies on another disk is taken for a folder, and judged once it is opened."""
        try:
            real = self._end_of(name)
        except _OtherDisk as other:
            return True if self._holds(other.point) else None
        except (OSError, ValueError):
            real = None
        if real is None:
            # It leads nowhere: one more name, where it is nobody's secret what it leads to.
            return False if self._fence.is_open else None
        if not self._holds(real):
            return None
        try:
            # As the kernel follows it: the text of its own links names something else here.
            facts, found = os.stat(name, dir_fd=self._descriptor), os.stat(real)
        except OSError:
            return None
        return stat.S_ISDIR(facts.st_mode) if os.path.samestat(facts, found) else None

    def _end_of(self, name: str) -> str | None:
        text = os.readlink(name, dir_fd=self._descriptor)
        below = "/" if text.startswith("/") else self._top
        real, missing = walked(text.split("/"), self._stay, below=below, links=1)
        return None if missing else real

    def _stay(self, path: str) -> None:
        disk = self._mounts.of(path)
        if disk.device != self._device:
            raise _OtherDisk(disk.point)

    def _holds(self, real: str) -> bool:
        try:
            return self._fence.holds(real)
        except NoAnswer:
            return False
