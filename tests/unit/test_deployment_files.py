"""Proves that unit, image and documentation of a deployment say what the program does."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from models.setting_facts import AT_START, SAVED, shown
from models.settings import Settings
from tests.conftest import need
from tests.support import PROJECT_ROOT

UNIT = PROJECT_ROOT / "deploy" / "longshore.service"


def lines(pattern: str, path: Path) -> list[Any]:
    """Return what the groups of a pattern find in the lines of a file."""
    return re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_unit_lets_runs_outlive_the_service() -> None:
    found = dict(lines(r"^(\w+)=(.*)$", UNIT))
    wanted = {
        "KillMode": "process",
        "Delegate": "yes",
        "OOMPolicy": "continue",
        "Restart": "on-failure",
        "StateDirectory": "longshore",
        "StateDirectoryMode": "0700",
        "UMask": "0077",
    }
    assert wanted.items() <= found.items()
    # What a run would lose when the service ends, or what a copy could not live with.
    forbidden = {"PrivateTmp", "RuntimeDirectory", "DynamicUser", "PrivateUsers", "ProcSubset"}
    forbidden |= {"RestrictSUIDSGID", "InaccessiblePaths", "ExecStopPost"}
    assert not forbidden & found.keys()
    assert float(found["TimeoutStopSec"]) > 5


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    need("systemd-analyze", analyze)
    assert analyze is not None
    copy = tmp_path / UNIT.name
    # It wants to see the program as well, which is not installed here.
    text = re.sub(
        r"^ExecStart=\S+",
        f"ExecStart={sys.executable}",
        UNIT.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    copy.write_text(text)

    result = subprocess.run([analyze, "verify", copy], capture_output=True, text=True)

    told = [line for line in result.stderr.splitlines() if copy.stem in line]
    assert (result.returncode, told) == (0, [])


def test_the_image_is_made_of_what_its_context_lets_through() -> None:
    copies = lines(r"^COPY (.*) \S+$", PROJECT_ROOT / "deploy" / "Dockerfile")
    copied = {name for names in copies for name in names.split()}

    assert copied == set(lines(r"^!(.*)$", PROJECT_ROOT / ".dockerignore"))
    assert all((PROJECT_ROOT / name).exists() for name in copied)
    packages = {path.parent.name for path in PROJECT_ROOT.glob("*/__init__.py")}
    assert packages - {"tests"} <= copied


def test_every_setting_is_documented_with_its_default() -> None:
    page = PROJECT_ROOT / "docs" / "deployment.md"
    row = r"^\| `(LONGSHORE_\w+)` \| `?(.*?)`? +\| `?(.*?)`? +\| (.*) \|$"

    assert lines(row, page) == [
        (
            facts.variable,
            shown(facts.default),
            facts.name if facts.can_be_saved else "",
            facts.meaning,
        )
        for facts in (*SAVED.values(), *AT_START.values())
    ]
    assert SAVED.keys() | AT_START.keys() == Settings.model_fields.keys()


def test_the_readme_knows_every_setting_and_its_default() -> None:
    row = r"^\| (`LONGSHORE_.*?) \|(.*?)\| .* \|$"
    table: dict[str, str] = {}
    for names, defaults in lines(row, PROJECT_ROOT / "README.md"):
        given = re.findall(r"`(.*?)`", defaults) or [""]
        table |= dict(zip(re.findall(r"`(.*?)`", names), given, strict=True))

    assert table == {
        facts.variable: shown(facts.default) for facts in (*SAVED.values(), *AT_START.values())
    }
