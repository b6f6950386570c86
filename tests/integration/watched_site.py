"""A server that tells which files it opens, with canaries in its data directory and around it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from storage.secrets import SecretsFile
from tests.integration.access_server import bear_local_token, set_password
from tests.integration.hostile import picture
from tests.integration.running import run_to_end
from tests.support import PROJECT_ROOT, RunningServer, make_tree
from tests.traversal import SECRET, scene

SUB_PATH = "/backup"
CANARY = b"canary: nobody may read this 5b1f"
PASSWORD = "the password of a credential 77c0"
FILES = ("canary", "canary.yaml", "engine.log", "journal.jsonl", "spec.json", "result.json")
"""What a careless handler would come upon: a file as it is named, that of a job, those of a run."""
WRITTEN = ("jobs", "state", "logs", "longshore.db", "counters.json", "secrets.yaml")
FLOORS = ("fastapi_app", "core", "storage", "models", "utils")
_NEW = re.compile(r"/\.new-(.+)\.[0-9a-f]{8}$")
OF_THE_SYSTEM = ("/proc", "/sys", "/dev/null", "/etc/localtime", "/usr/share/zoneinfo")
"""What tells of processes, disks and zones; the server’s own environment is among the canaries."""
WATCHED = """
import os, sys
record = os.open(os.environ["WATCHED_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
CALLS = {"open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.rmdir",
         "os.link", "os.symlink", "os.chmod", "os.truncate", "os.utime", "shutil.rmtree"}
def note(event, given):
    if event not in CALLS:
        return
    for path in given[: 2 if event in {"os.rename", "os.link", "os.symlink"} else 1]:
        if isinstance(path, (str, bytes)):
            os.write(record, os.fsencode(os.path.realpath(path)) + b"\\0")
sys.addaudithook(note)
from fastapi_app.commands.serve import serve
serve()
"""


class Site:
    """A server that tells what it opens, with canaries in its data directory and beside it."""

    def __init__(self, place: Path) -> None:
        self.place, self.data_dir = place, place / "data"
        self.root, self.outside = scene(place)
        make_tree(self.root / "photos", files=3)
        for folder in (place, self.data_dir, self.outside, self.data_dir / "runs"):
            folder.mkdir(exist_ok=True, mode=0o700)
            (folder / SECRET).mkdir(exist_ok=True)
            for name in FILES:
                (folder / name).write_bytes(CANARY)
        self._record = place.parent / "opened"
        self.server = RunningServer(
            self.data_dir,
            LONGSHORE_ALLOWED_ROOTS=str(self.root),
            LONGSHORE_ROOT_PATH=SUB_PATH,
            WATCHED_RECORD=str(self._record),
        )
        self.server.program = ("-c", WATCHED)
        set_password(self.server, "passwd", "admin", password="a quay with nine cranes")
        bear_local_token(self.server)

    def fill(self) -> None:
        """Make one job with a run, and a secret; call it once."""
        SecretsFile(self.data_dir).put("disk", user=None, password=PASSWORD)
        self.job = self.server.create_job(self.root / "photos", self.root / "copy")
        self.run = str(run_to_end(self.server, self.job)["id"])
        self.token = (self.data_dir / "cli-token").read_text().strip()
        self.version = re.findall(r"/static/([0-9a-f]{8})/", self.server.http.get("/").text)[0]

    def canaries(self) -> list[bytes]:
        """Return what stands in files that no answer may have."""
        return [
            CANARY,
            SECRET.encode(),
            b"SQLite format 3",
            b"$argon2id$",
            self.token.encode(),
            PASSWORD.encode(),
            b"root:x:0:",
            b"def create_app(",
            b"WATCHED_RECORD=",
        ]

    def opened(self) -> set[str]:
        """Return the real path of everything that was opened, listed or changed."""
        return {os.fsdecode(path) for path in self._record.read_bytes().split(b"\0") if path}

    def around(self) -> dict[str, tuple[int, int, int, str]]:
        """Return a picture of everything but what the server writes by itself."""
        names = ("longshore.db", "longshore.db-wal", "longshore.db-shm", "logs", "counters.json")
        found = picture(self.place, without=tuple(self.data_dir / name for name in names))
        # What it writes has another name for a moment, so that the folder changes as well.
        del found[f"{self.data_dir}/."]
        return {path: facts for path, facts in found.items() if not _NEW.search(path)}

    def foreign(self, opened: set[str]) -> set[str]:
        """Return what a server has no business with, of what it opened."""
        own = [
            *(str(self.data_dir / name) for name in WRITTEN),
            *(str(PROJECT_ROOT / name) for name in FLOORS),
            *map(os.path.realpath, (sys.prefix, sys.base_prefix)),
            str(self.data_dir / "runs" / self.run),
            str(self.root),
            *OF_THE_SYSTEM,
        ]
        found = {_NEW.sub(r"/\1", path) for path in opened} - {str(self.data_dir)}
        return {path for path in found if not any(f"{path}/".startswith(f"{one}/") for one in own)}
