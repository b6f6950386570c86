"""rclone: what to call it with, how to read its JSON log, what its exit codes mean (rclone docs).

Between local paths only, in this version. rclone's counters tell what travelled and nothing of
the files it skipped: those are known when the run ends well, from the totals of the scan.
"""

from __future__ import annotations

import json
import re
from typing import Any

from core.engines.base import (
    Batch,
    DifferenceReader,
    ExitMeaning,
    Failure,
    OpenFile,
    OutputReader,
    Reading,
    ScannedTotals,
    Verdict,
    shown_name,
    source_argument,
)
from models.run_spec import RunSpec

_VERSION = r"(?m)^rclone v(?P<version>\d+(?:\.\d+)+)"
_LOCAL = ["--config", "", "--links", "--metadata", "--use-json-log"]
"""No configuration file (only local paths), symbolic links as such, owner, mode and times kept."""

_NEWS = (b'"stats"', b'"error"')
_DIFFERENCES = (b'"skipped"', b'"error"')
"""Words in the lines that tell something; all others need not be taken apart."""

_EXITS: dict[int, ExitMeaning] = {
    0: ExitMeaning(Verdict.GOOD, "Everything was copied."),
    1: ExitMeaning(Verdict.PARTIAL, "Some files could not be copied."),
    2: ExitMeaning(Verdict.FATAL, "rclone did not accept its arguments."),
    3: ExitMeaning(Verdict.FATAL, "rclone did not find a folder."),
    4: ExitMeaning(Verdict.FATAL, "rclone did not find a file."),
    5: ExitMeaning(Verdict.TRANSIENT, "rclone met an error that may pass."),
    6: ExitMeaning(Verdict.PARTIAL, "Some files could not be copied."),
    7: ExitMeaning(Verdict.FATAL, "rclone met an error that will not pass."),
    8: ExitMeaning(Verdict.FATAL, "The transfer limit was reached."),
    9: ExitMeaning(Verdict.GOOD, "Nothing had to be copied."),
    10: ExitMeaning(Verdict.FATAL, "The time limit was reached."),
}
"""https://rclone.org/docs/#exit-code"""


class RcloneEngine:
    """rclone 1.75.1 or newer, between local paths."""

    name = "rclone"
    command = "rclone"
    names_skipped_files = False
    paces_by_wall_clock = False
    reads_source_itself = False
    install_hint = "Run `make setup` again: rclone comes with Longshore's own packages."

    def version_argv(self, tool: str) -> list[str]:
        """Arguments that make rclone print its version."""
        return [tool, "version", "--config", ""]

    def parse_version(self, output: str) -> str | None:
        """Return the version out of `rclone version`."""
        match = re.search(_VERSION, output)
        return match["version"] if match else None

    def environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """No RCLONE_ variable: each of them is an option (rclone docs, environment variables)."""
        kept = {key: value for key, value in inherited.items() if not key.startswith("RCLONE_")}
        return {**kept, "LC_ALL": "C"}

    def build_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, lists_at_once: bool = False
    ) -> list[str]:
        """Arguments of the transfer: `sync` when it may delete at the destination, else `copy`."""
        argv = [
            tool,
            "sync" if spec.delete_extraneous and is_directory else "copy",
            *_LOCAL,
            "--create-empty-src-dirs",
            "--stats=500ms",
            "--stats-log-level=NOTICE",
            "--log-level=INFO",
            "--retries=1",
        ]
        if spec.bandwidth_limit is not None:
            argv.append(f"--bwlimit={spec.bandwidth_limit}B")
        if spec.delete_extraneous and spec.max_delete is not None:
            argv.append(f"--max-delete={spec.max_delete}")
        return argv + self._filters(spec) + self._locations(spec, is_directory=is_directory)

    def build_scan_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of a scan that counts files and bytes."""
        source = source_argument(spec, is_directory=is_directory)
        argv = [tool, "size", "--json", "--config", "", "--links", "--log-level=ERROR"]
        return argv + self._filters(spec) + ["--", source]

    def parse_scan(self, output: bytes) -> ScannedTotals | None:
        """Return the totals out of `rclone size --json`."""
        document = _object(output)
        count, size = document.get("count"), document.get("bytes")
        if not isinstance(count, int) or not isinstance(size, int):
            return None
        return ScannedTotals(files=count, bytes=size)

    def build_verify_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of a verification: hashes by `check`, size and time by a dry run of `copy`."""
        command = (
            ["check", "--one-way", "--config", "", "--links", "--use-json-log"]
            if spec.verification == "checksum"
            else ["copy", "--dry-run", *_LOCAL]
        )
        locations = self._locations(spec, is_directory=is_directory)
        return [tool, *command, "--stats=0", *self._filters(spec), *locations]

    def output_reader(self, spec: RunSpec) -> OutputReader:
        """A fresh reader for one attempt."""
        return RcloneOutput()

    def difference_reader(self) -> DifferenceReader:
        """A fresh reader for one verification."""
        return RcloneDifferences()

    def classify_exit(self, code: int) -> ExitMeaning:
        """What this exit code means; a negative one is the signal that ended rclone."""
        if code < 0:
            return ExitMeaning(Verdict.TRANSIENT, f"rclone was ended by signal {-code}.")
        return _EXITS.get(code, ExitMeaning(Verdict.FATAL, f"rclone failed with code {code}."))

    def is_partial_for_sure(self, code: int, *, files_failed: int) -> bool:
        """Code 1 is also that of a mistake in a filter, after which nothing was copied."""
        return files_failed > 0

    def classify_verify_exit(self, code: int) -> ExitMeaning:
        """`rclone check` ends with 1 when it found differences, which it has listed."""
        if code == 1:
            return ExitMeaning(Verdict.PARTIAL, "The verification could not look at every file.")
        return self.classify_exit(code)

    def _filters(self, spec: RunSpec) -> list[str]:
        # --filter keeps the order, in which the first match decides, as in rsync; a lone
        # --include would exclude all else (rclone docs, filtering).
        return [f"--filter=+ {pattern}" for pattern in spec.include] + [
            f"--filter=- {pattern}" for pattern in spec.exclude
        ]

    def _locations(self, spec: RunSpec, *, is_directory: bool) -> list[str]:
        source = source_argument(spec, is_directory=is_directory)
        return ["--", source, spec.destination]


class RcloneOutput:
    """Reads the JSON log of a transfer."""

    def __init__(self) -> None:
        self.reading = Reading()

    def feed(self, lines: list[bytes]) -> Batch:
        """Take lines of the log; its meter readings do not belong in ours."""
        batch = Batch()
        for line in lines:
            document = _object(line) if _holds(line, _NEWS) else {}
            stats = document.get("stats")
            if isinstance(stats, dict):
                self._take_stats(stats)
                continue
            batch.log.append(line)
            failure = _failure(document)
            if failure is not None:
                batch.failures.append(failure)
        return batch

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be a reading of the meter or tell of a failed file."""
        return _holds(content, _NEWS, start, end)

    def note_open_file(self, file: OpenFile | None) -> None:
        """rclone's own log tells what is under way."""

    def _take_stats(self, stats: dict[str, Any]) -> None:
        reading = self.reading
        reading.bytes_finished = max(reading.bytes_finished, _count(stats.get("bytes")))
        reading.bytes_sent = reading.bytes_finished
        reading.files_finished = max(reading.files_finished, _count(stats.get("transfers")))
        reading.files_deleted = max(reading.files_deleted, _count(stats.get("deletes")))
        under_way = stats.get("transferring")
        if isinstance(under_way, list) and under_way and isinstance(under_way[0], dict):
            name = str(under_way[0].get("name", ""))
            reading.current_name = name.encode("utf-8", errors="replace")


class RcloneDifferences:
    """Reads the JSON log of a verification."""

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line: an object that failed the check, or that a dry run would copy."""
        document = _object(segment)
        if str(document.get("skipped")) in {"copy", "update", "server-side copy"}:
            return Failure(_name(document), "It is missing or differs at the destination.")
        return _failure(document)

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether a line in it may be a difference."""
        return _holds(content, _DIFFERENCES, start, end)


def _holds(
    content: bytes | bytearray, words: tuple[bytes, ...], start: int = 0, end: int | None = None
) -> bool:
    # A single character first: it is found twenty times as fast as a word.
    return content.find(b"{", start, end) >= 0 and any(
        content.find(word, start, end) >= 0 for word in words
    )


def _failure(document: dict[str, Any]) -> Failure | None:
    if document.get("level") != "error" or not document.get("objectType"):
        return None
    if str(document["objectType"]).endswith(".Fs"):
        return None
    return Failure(_name(document), _shown(document.get("msg", "")))


def _name(document: dict[str, Any]) -> str:
    return _shown(document.get("object", ""))


def _shown(text: object) -> str:
    # JSON can spell a lone surrogate, which has no bytes in UTF-8.
    return shown_name(str(text).encode("utf-8", errors="replace"))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
