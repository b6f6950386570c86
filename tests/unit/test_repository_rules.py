"""Rules about the repository itself: reproducible pins, no traces of a machine, an honest CI."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ["requirements.txt", "requirements-dev.txt"]

# Not the repository's own text: what tools leave behind, what people keep here, and files that
# are vendored byte for byte.
SKIPPED_FOLDERS = {".git", ".venv", "__pycache__", "build", "dist", "node_modules", "vendor"}
SKIPPED_SUFFIXES = ("_cache", ".egg-info")

# Put together here so that this file does not contain what it forbids.
FORBIDDEN_TEXTS = ["/" + "work/", "--extra" + "-index-url"]


def pinned(name: str) -> dict[str, str]:
    """Each requirement of a file, `name==version`, with the text of its continuation lines."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    requirements = [line for line in lines if line and not line.startswith("#")]
    return {line.split()[0]: line for line in requirements}


def text_files() -> Iterator[tuple[Path, str]]:
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED_FOLDERS
            and not name.endswith(SKIPPED_SUFFIXES)
            and name != ".hypothesis"
            and here / name != ROOT / "jobs_data"
        ]
        for name in names:
            try:
                yield here / name, (here / name).read_text(encoding="utf-8")
            except (UnicodeDecodeError, FileNotFoundError):
                continue


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_name_no_address(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(
        r"\w+://|--[a-z-]*(?:index|find-links)[a-z-]*|\bfile:|@ |(?m:^\s*-e\b)", text
    )
    assert not found


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    requirements = pinned(name)
    assert requirements
    for requirement, line in requirements.items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+]+", requirement)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), requirement


def test_development_pins_contain_the_runtime_pins() -> None:
    runtime, development = (pinned(name) for name in REQUIREMENTS)
    assert set(runtime) <= set(development)


def test_no_file_names_the_machine_it_was_written_on() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}: {forbidden}"
        for path, text in text_files()
        for forbidden in FORBIDDEN_TEXTS
        if forbidden in text
    ]
    assert not offenders


def test_ci_runs_the_test_command_that_the_readme_gives() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    commands = [line.split("#")[0].strip() for block in fenced for line in block.splitlines()]
    assert "make test" in commands

    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    performed = [line.strip() for line in script if line.strip() and not line.startswith("#")]
    assert performed == [
        "set -euo pipefail",
        'cd "$(dirname "${BASH_SOURCE[0]}")/.."',
        "make test",
    ]


def test_ci_script_is_executable() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_runner_and_engines_import_nothing_but_the_standard_library() -> None:
    """With `-S` no installed package can be found, so whatever imports cleanly needs none."""
    files = [
        *(ROOT / "core" / "runner").rglob("*.py"),
        *(ROOT / "core" / "engines").rglob("*.py"),
        ROOT / "models" / "run_spec.py",
        ROOT / "models" / "events.py",
    ]
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in files
    ]
    assert {"core.runner.__main__", "core.engines.rsync", "core.engines.rclone"} <= set(modules)

    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    finished = subprocess.run(
        [sys.executable, "-S", "-c", program, *modules],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stderr
