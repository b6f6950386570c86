"""Trees with every kind of entry and name, and a listing that compares them without our help."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from pathlib import Path

from tests.support import rsync_differences

HOSTILE_NAMES: tuple[bytes, ...] = (
    b"new\nline",
    b"carriage\rreturn",
    b"-rf",
    b"--rsh=sh",
    b"\x1b[31mred\x07",
    b"not utf-8 \xff\xfe",
    b"<b onclick='x'>html &amp; \"quotes\"<br>",
    "emoji 🗄️ and e\u0301".encode(),
    b"n" * 255,
    b" blanks around ",
    b"back\\slash \\#012",
    b"[glob]*?{a,b}",
    b"$(touch canary);`touch canary`|&",
    b"100% of it",
    b"a:b",
    b".hidden",
)
SPECIAL = "special"
LONG_AGO_NANOSECONDS = 915_148_799_123_456_789


def make_hostile_tree(root: Path, outside: Path) -> int:
    """Make a tree with hostile names and rare kinds of entries; returns its entries but folders."""
    outside.write_bytes(b"outside of the tree")
    top = os.fsencode(root)
    for folder in (b"plain", b"folder \xff \n <i>", b"-folder"):
        os.makedirs(os.path.join(top, folder))
        for name in HOSTILE_NAMES:
            with open(os.path.join(top, folder, name), "wb") as file:
                file.write(name * 3)
    (root / "empty folder").mkdir()
    (root / "empty file").touch()
    (root / "dangling").symlink_to("no such file")
    (root / "link to outside").symlink_to(outside)
    (root / "link to folder").symlink_to("plain")
    first = root / "first name"
    first.write_bytes(b"one file with two names")
    (root / "second name").hardlink_to(first)
    with (root / "sparse").open("wb") as file:
        file.seek(3 * 1024 * 1024)
        file.write(b"end")
    (root / "read-only").write_bytes(b"read-only")
    (root / "read-only").chmod(0o400)
    (root / "setuid").write_bytes(b"setuid")
    (root / "setuid").chmod(0o4755)
    (root / "old").write_bytes(b"old")
    os.utime(root / "old", ns=(LONG_AGO_NANOSECONDS, LONG_AGO_NANOSECONDS))
    os.mkfifo(root / "fifo")
    return sum(1 for line in listing(root) if not line.startswith("folder "))


DEEP_NAME = b"deep \xff <i> \n" + b"d" * 200
MOST_PATH_BYTES = 4096
"""PATH_MAX (limits.h), which counts the zero byte at the end."""


def make_deep_folders(root: Path, *, path_bytes: int) -> None:
    """Make folders within folders, a file in each, whose paths beneath root come to so many bytes:
    more than any system call takes at once, where that is wanted."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    length = 0
    while length < path_bytes:
        os.mkdir(DEEP_NAME, dir_fd=folder)
        below = os.open(DEEP_NAME, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
        length += len(DEEP_NAME) + 1
        file = os.open(b"file", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=folder)
        os.write(file, b"%d" % length)
        os.close(file)
    os.close(folder)


def make_special_files(root: Path) -> set[str]:
    """Make a FIFO, a socket and, as root, devices; returns their names."""
    names = {"fifo <b>", "socket \n"}
    os.mkfifo(root / "fifo <b>")
    here = os.open(".", os.O_RDONLY)
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket \n")
    finally:
        os.fchdir(here)
        os.close(here)
    if os.geteuid() == 0:
        os.mknod(root / "device \x1b", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod(root / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
        names |= {"device \x1b", "disk"}
    return names


def deep_listing(root: Path) -> dict[bytes, str]:
    """Describe every entry beneath a folder but special ones, however deep it lies: by kind, mode,
    time (in seconds for folders and links), and contents by their hash."""
    found = {}
    for folder, folders, files, descriptor in os.fwalk(os.fsencode(root)):
        for name in folders + files:
            facts = os.lstat(name, dir_fd=descriptor)
            path = os.path.join(folder, name).removeprefix(os.fsencode(root))
            about = f"{stat.S_IFMT(facts.st_mode):o} {facts.st_mtime_ns // 10**9}"
            if stat.S_ISLNK(facts.st_mode):
                found[path] = f"{about} {os.readlink(name, dir_fd=descriptor)!r}"
            elif stat.S_ISDIR(facts.st_mode):
                found[path] = f"{about} {facts.st_mode:o}"
            elif stat.S_ISREG(facts.st_mode):
                file = os.open(name, os.O_RDONLY, dir_fd=descriptor)
                with os.fdopen(file, "rb") as content:
                    digest = hashlib.file_digest(content, "sha256").hexdigest()
                found[path] = f"{facts.st_mode:o} {facts.st_mtime_ns} {facts.st_size} {digest}"
    return found


def listing(root: Path) -> list[str]:
    """Describe every entry beneath a folder: kind, name, mode, time, and contents by their hash.

    FIFOs, sockets and devices are left out: no engine copies them. Owners are left out (a test need
    not be root), and so are hard links, which `-a` does not keep.
    Times of folders and links are in seconds: rsync takes those of the same second for equal.
    """
    lines = []
    top = os.fsencode(root)
    for directory, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(directory, name)
            described = _described(path)
            if not described.startswith(SPECIAL):
                lines.append(f"{described} {os.path.relpath(path, top)!r}")
    return sorted(lines)


def count_entries(root: Path) -> int:
    """Count the entries beneath a folder that are not folders themselves."""
    return sum(1 for line in listing(root) if not line.startswith("folder "))


def size_of(root: Path) -> int:
    """Add up the sizes of all regular files and links beneath a folder."""
    sizes = (path.lstat() for path in root.rglob("*"))
    return sum(
        found.st_size
        for found in sizes
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)
    )


def differences_beneath(source: Path, destination: Path) -> str:
    """Return what bare rsync would still change, but for the time of the top folder itself.

    rclone leaves that one alone when the folder is there already.
    """
    return rsync_differences(source, destination).replace(".d..t...... ./\n", "")


def rot(path: Path) -> None:
    """Change one bit of a file, and neither its size nor its times."""
    facts, contents = path.stat(), path.read_bytes()
    path.write_bytes(bytes([contents[0] ^ 1]) + contents[1:])
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(path: bytes) -> str:
    found = os.lstat(path)
    mode = f"{stat.S_IMODE(found.st_mode):o}"
    if stat.S_ISDIR(found.st_mode):
        return f"folder {mode} {found.st_mtime_ns // 1_000_000_000}"
    if stat.S_ISLNK(found.st_mode):
        return f"link {os.readlink(path)!r} {found.st_mtime_ns // 1_000_000_000}"
    if not stat.S_ISREG(found.st_mode):
        return f"{SPECIAL} {stat.S_IFMT(found.st_mode):o} {mode}"
    digest = hash_of(Path(os.fsdecode(path)))
    return f"file {mode} {found.st_mtime_ns} {found.st_size} {digest}"
