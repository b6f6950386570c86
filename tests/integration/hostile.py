"""Two hundred hostile values, traps for what they would start, and pictures of a folder.

A trap is a program on PATH with the name of one that an attack could start; it leaves a line.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

COUNT = 200
"""So many values there are: see `hostile_values`."""
TRAPPED = (
    "sh", "bash", "dash", "touch", "id", "env", "cat", "nc", "curl", "wget", "perl", "python",
    "python3", "fusermount", "fusermount3", "mail", "xargs", "open", "xdg-open", "systemctl",
)  # fmt: skip
_COMMANDS = ("touch {canary}", "/bin/touch {canary}", "sh -c 'touch {canary}'")
_WRAPPED = (
    "$({c})", "`{c}`", ";{c}", "|{c}", "&{c}&", "a;{c}#", "a && {c}", "a\n{c}\n", "a\0{c}",
    "'; {c}; '", '"; {c}; "', "${{IFS}}$({c})", "--rsh={c}", "-e {c}", "-e{c}",
    "--rsync-path={c}", "--use-compress-program={c}", "--password-command={c}",
    "--sftp-ssh={c}", ":sftp,ssh={c}:", "::{c}", "host:{c}", "ext::{c}", "!{c}",
    'rclone://x,ssh="{c}":/', "rclone://:sftp,ssh={c}:/", "ssh://-oProxyCommand={c}/x",
    "ssh://h -oProxyCommand={c}/x", "ssh://a@-oProxyCommand={c}/x", "rsync://-x{c}/m",
    "-oProxyCommand={c}", "/../../..;{c}", "{{{{ {c} }}}}",
    "!!python/object/apply:os.system ['{c}']", "&a [*a, '{c}']", "%0a{c}",
    "<script>{c}</script>", "\x1b]0;{c}\x07", "\u202e{c}\u202c",
)  # fmt: skip
_PLAIN = (
    "", " ", "\t", "\n", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff", "\ud800", "\udcff",
    "-", "--", "-rf", "-e", "--delete", "--remove-source-files", "--config=/dev/null",
    "--log-file={canary}", "--write-batch={canary}", "--backup-dir={canary}", "--temp-dir={canary}",
    "--files-from=/etc/passwd", "--include-from=/etc/passwd", "--exclude-from=/etc/passwd",
    "--filter=. /etc/passwd", "--filter=dir-merge /.rsync-filter", "--partial-dir={canary}",
    "--link-dest=/etc", "--dump=bodies", "--rc", "--rc-addr=:0", "--cache-dir={canary}", "@args",
    "!", "+ *", "- *", "P *", ". /etc/passwd", ": .rules", "{{}}", "{{{{7*7}}}}", "%s%n", "%00",
    "%2e%2e%2f", "..", "../../../etc/passwd", "/etc/passwd", "/etc/shadow", "/proc/self/environ",
    "/dev/null", "/dev/zero", "~", "~root", "$HOME", "*", "[a-z]*", "?", "\\", "\\\\host\\share",
    "C:\\x", "a:b", "::module", "host::module/x", "user@host:/x", "rsync://h/m/../../x",
    "rsync://user:secret@h/m", "rclone://", "rclone://a:b/", "rclone://a,b=c/", "rclone://../x",
    "ssh://", "ssh:///x", "ssh://h:0/x", "ssh://h:99999/x", "ssh://h/../x", "file:///etc/passwd",
    "javascript:alert(1)", "<img src=x onerror=alert(1)>", "'><svg/onload=alert(1)>", "&lt;b&gt;",
    '" onfocus="alert(1)" autofocus="', "' OR 1=1 --", "'; DROP TABLE runs; --", "null", "true",
    "no", "010", "22:30", "1e999", "NaN", "-1", "99999999999999999999", "!!binary aGk=", "*alias",
    "&anchor", "<<", "---", "...", "? a : b", "- a", "a: b: c", "# c", "%YAML 9.9", "[", "{{", "'",
    '"', "e\u0301\u0301\u0301", "\U0001f5c4", "n" * 256, "n" * 5000, "n" * 100_000,
    "/" + "a/" * 2100,
)  # fmt: skip


def hostile_values(canary: Path) -> tuple[str, ...]:
    """Return the values; each command among them would make the canary."""
    commands = [command.format(canary=canary) for command in _COMMANDS]
    plain = [text.format(canary=canary) for text in _PLAIN]
    wrapped = [
        # Every way with the first command, then with the others as far as the number goes.
        text.format(c=command)
        for command, text in chain(product(commands[:1], _WRAPPED), product(commands[1:], _WRAPPED))
    ]
    return tuple(dict.fromkeys([*commands, *plain, *wrapped]))[:COUNT]


@dataclass(frozen=True)
class Traps:
    """Where the traps are, and what was caught in them."""

    folder: Path
    log: Path

    @property
    def path(self) -> str:
        """A PATH with the traps first."""
        return f"{self.folder}:{os.environ['PATH']}"

    def caught(self) -> list[str]:
        """Return what was started that nobody may start."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def ssh_calls(self) -> list[list[str]]:
        """Return the arguments of each call of ssh, which a job over ssh may make."""
        log = self.log.with_name("ssh-calls")
        lines = log.read_bytes().splitlines() if log.exists() else []
        return [os.fsdecode(line).split("\x1f") for line in lines]


_TRAP = """#!{python} -S
import os, sys
with open({log!r}, "ab") as file:
    file.write(os.fsencode(" ".join(sys.argv)).replace(b"\\n", b"\\\\n") + b"\\n")
sys.exit(1)
"""
_SSH = """#!{python} -S
# What sshd does with a command: it hands it to a shell. Here the other machine is this one.
import os, sys
with open({log!r}, "ab") as file:
    file.write(b"\\x1f".join(map(os.fsencode, sys.argv[1:])).replace(b"\\n", b"\\\\n") + b"\\n")
words = sys.argv[1:]
while words and words[0].startswith("-"):
    word = words.pop(0)
    if word == "--":
        break
    if word[1:] in ("p", "i", "l", "o", "F"):
        words.pop(0)
os.execv("/bin/sh", ["sh", "-c", " ".join(words[1:])])
"""


def set_traps(folder: Path) -> Traps:
    """Make the traps."""
    traps = Traps(folder / "traps", folder / "traps" / "caught")
    traps.folder.mkdir(parents=True)
    for name in TRAPPED:
        _program(traps.folder / name, _TRAP.format(python=sys.executable, log=str(traps.log)))
    log = traps.log.with_name("ssh-calls")
    _program(traps.folder / "ssh", _SSH.format(python=sys.executable, log=str(log)))
    return traps


def picture(root: Path, *, without: tuple[Path, ...] = ()) -> dict[str, tuple[int, int, int, str]]:
    """Return what is beneath a folder but for some: mode, size, time in ns, hash of contents."""
    left_out = {os.fsencode(path) for path in without}
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in left_out]
        for name in [b".", *files]:
            path = os.path.join(folder, name)
            if path in left_out:
                continue
            facts = os.lstat(path)
            digest = ""
            if stat.S_ISREG(facts.st_mode):
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = facts.st_size if digest else 0
            found[os.fsdecode(path)] = (facts.st_mode, size, facts.st_mtime_ns, digest)
    return found


def _program(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)
