"""Running `longshore` in tests: what it says, as words and as JSON, also at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import forked
from tests.support import RunningServer


def words(server: RunningServer, *arguments: str, code: int = 0) -> str:
    """Run a command that is to exit with this code; returns what it said."""
    result = server.cli(*arguments)
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


def document(server: RunningServer, *arguments: str) -> Any:
    """Run a command with --json; returns what it printed."""
    result = server.cli(*arguments, "--json")
    assert (result.returncode, result.stderr) == (0, ""), result
    return json.loads(result.stdout)


def at_terminal(
    server: RunningServer, *arguments: str, typed: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard input is a terminal at which this is typed."""
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        everything = {**server.environment, **environment}
        return forked.run(arguments, everything, timeout=60, typed=theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def editor(directory: Path, *edits: str) -> str:
    """Make an editor that does these edits to the file, one each time that it is opened; returns
    its command. An edit is Python code over `text`; it also notes the mode of the file."""
    path = directory / "an editor.py"
    path.write_text(
        f"""import os, pathlib, sys
edits = {list(edits)!r}
count = pathlib.Path({str(directory / "opened")!r})
opened = int(count.read_text()) if count.exists() else 0
count.write_text(str(opened + 1))
file = pathlib.Path(sys.argv[-1])
modes = [oct(os.stat(path).st_mode & 0o777) for path in (file, file.parent)]
pathlib.Path({str(directory / "modes")!r}).write_text(" ".join(modes))
text = file.read_text()
scope = {{"text": text, "arguments": sys.argv[1:]}}
exec(edits[min(opened, len(edits) - 1)], scope)
if scope["text"] != text:
    file.write_text(scope["text"])
"""
    )
    return f"{sys.executable} '{path}' --wait"
