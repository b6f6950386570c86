"""File systems of a test's own in image files, mounted through loop devices; cut off and filled."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import need

_FS_IOC_SHUTDOWN = 0x8004587D
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_WITHOUT_LOG_FLUSH = struct.pack("I", 2)
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"), "xfs": ("mkfs.xfs", "-q", "-f")}
_OPTIONS = {"ext4": "loop", "xfs": "loop,nouuid"}
"""nouuid: the one that was cut off may not be quite gone when it is mounted again."""
_SMALLEST_MEGABYTES = {"ext4": 16, "xfs": 320}
"""mkfs.xfs(8) makes none below 300 MB; the image is sparse."""


class LoopMount:
    """One file system in an image; `path` is where it is mounted."""

    def __init__(self, directory: Path, kind: str) -> None:
        need("root, who may mount file systems,", os.geteuid() == 0)
        need("mount", shutil.which("mount"))
        self._kind = kind
        self.path = directory / kind
        self.path.mkdir(parents=True)
        self._image = directory / f"{kind}.img"
        command, *options = _MAKE[kind]
        program = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        need(command, program)
        assert program is not None
        with self._image.open("wb") as file:
            file.truncate(_SMALLEST_MEGABYTES[kind] * 1024 * 1024)
        subprocess.run([program, *options, str(self._image)], check=True, capture_output=True)
        tried = self._mount()
        need(f"a loop mount of {kind} ({_reason(tried)})", tried.returncode == 0)

    def cut_power(self) -> None:
        """Let nothing more reach the disk, not even what the log holds in memory."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _FS_IOC_SHUTDOWN, _WITHOUT_LOG_FLUSH)
        finally:
            os.close(descriptor)

    def mount_again(self) -> None:
        """Come back as after a power cut: what the disk has is all there is."""
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)
        # A copy: while anybody still has the file system that was cut off, such as a mount
        # namespace that was copied meanwhile, the kernel would give that one again.
        copy = self._image.with_suffix(".copy")
        command = ["cp", "--sparse=always", str(self._image), str(copy)]
        subprocess.run(command, check=True, capture_output=True)
        copy.replace(self._image)
        tried = self._mount()
        assert tried.returncode == 0, tried.stderr

    def fill(self) -> None:
        """Leave no room for another byte; `empty` gives it back."""
        size = 1024 * 1024
        with (self.path / "filler").open("wb", buffering=0) as file:
            while size:
                try:
                    file.write(b"\xff" * size)
                except OSError:
                    # What delayed allocation had set aside is free again after a sync.
                    os.fsync(file.fileno())
                    size //= 2

    def empty(self) -> None:
        """Remove what `fill` wrote."""
        (self.path / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount, even while somebody still uses it."""
        # Not asked first whether it is mounted: os.path.ismount denies it when the power is cut.
        _run("umount", "--lazy", str(self.path))
        self._image.unlink(missing_ok=True)

    def _mount(self) -> subprocess.CompletedProcess[str]:
        return _run("mount", "-o", _OPTIONS[self._kind], str(self._image), str(self.path))


@contextmanager
def loop_mount(directory: Path, kind: str) -> Iterator[LoopMount]:
    """Mount a new file system, and leave nothing of it. Skips where that is not permitted."""
    mount = LoopMount(directory, kind)
    try:
        yield mount
    finally:
        mount.close()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True)


def _reason(tried: subprocess.CompletedProcess[str]) -> str:
    return tried.stderr.partition("\n")[0]


@contextmanager
def bind_mount(source: Path, place: Path) -> Iterator[None]:
    """Have a tree at another place as well."""
    tried = _run("mount", "--bind", str(source), str(place))
    need(f"a bind mount ({_reason(tried)})", tried.returncode == 0)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Make a tree read-only for whatever is opened from now on.

    A mount of the tree on top of itself: the kernel refuses to make a mount read-only while a
    file in it is open for writing (mount(2), EBUSY), as database and log of a server always are,
    and those stay writable here.
    """
    with bind_mount(path, path):
        tried = _run("mount", "-o", "remount,bind,ro", str(path))
        assert tried.returncode == 0, tried.stderr
        yield


@contextmanager
def frozen(path: Path) -> Iterator[None]:
    """Have a file system hang: whoever writes to it waits (ioctl_fsfreeze in fsfreeze(8))."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _FIFREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(descriptor, _FITHAW, 0)
    finally:
        os.close(descriptor)
