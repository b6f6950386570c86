"""rsync: what to call it with, how to read what it prints, what its exit codes mean (rsync(1)).

The output is asked for in two forms at once: one itemised line for each file when it is done
(`--out-format`, whose %b makes rsync print after the transfer of the file), and the meter of
`--info=progress2`, which alone tells how far a large file is.
"""

from __future__ import annotations

import re

from core.engines.base import (
    DifferenceReader,
    ExitMeaning,
    Failure,
    OutputReader,
    Reading,
    ScannedTotals,
    Verdict,
    shown_name,
    source_argument,
)
from models.run_spec import RunSpec

PARTIAL_DIRECTORY = ".longshore-partial"
_OUT_FORMAT = "%i %l %b %n"
_ITEM = re.compile(rb"^([<>ch.][fdLDS][^ ]* *|\*deleting  ) (\d+) (\d+) (.*)$", re.DOTALL)
_ITEM_WIDTH = 11
_METER = re.compile(rb"^\s*(\d+)\s+\d+%\s+\S+/s\s")
_ESCAPE = re.compile(rb"\\#([0-3][0-7]{2})")
_FAILED_FILE = re.compile(
    r'^(?:rsync: )?(?:\[\w+\] )?(?P<what>[^"]*?)\s*"(?P<path>.+)"(?P<rest>[^"]*)$', re.DOTALL
)
_TOTAL_FILES = re.compile(r"^Number of files: [\d,.]+(?: \((?P<kinds>[^)]*)\))?", re.MULTILINE)
_TOTAL_BYTES = re.compile(r"^Total file size: (?P<bytes>[\d,.]+)", re.MULTILINE)
_VERSION = re.compile(r"^rsync\s+version\s+v?(?P<version>\d+(?:\.\d+)+)", re.MULTILINE)

_EXITS: dict[int, ExitMeaning] = {
    0: ExitMeaning(Verdict.GOOD, "Everything was copied."),
    1: ExitMeaning(Verdict.FATAL, "rsync did not accept its arguments."),
    2: ExitMeaning(Verdict.FATAL, "The two rsyncs do not understand each other's protocol."),
    3: ExitMeaning(Verdict.FATAL, "rsync could not select its input or output files or folders."),
    4: ExitMeaning(Verdict.FATAL, "This rsync lacks something that the job needs."),
    5: ExitMeaning(Verdict.TRANSIENT, "The rsync server could not start its protocol."),
    6: ExitMeaning(Verdict.FATAL, "The rsync daemon could not write to its log."),
    10: ExitMeaning(Verdict.TRANSIENT, "The connection failed."),
    11: ExitMeaning(Verdict.FATAL, "A file could not be read or written: is the disk full?"),
    12: ExitMeaning(Verdict.TRANSIENT, "The connection between the two sides of rsync broke off."),
    13: ExitMeaning(Verdict.FATAL, "rsync's own diagnostics failed."),
    14: ExitMeaning(Verdict.TRANSIENT, "rsync's processes lost each other."),
    20: ExitMeaning(Verdict.TRANSIENT, "rsync was told to stop by a signal."),
    21: ExitMeaning(Verdict.FATAL, "rsync could not wait for one of its processes."),
    22: ExitMeaning(Verdict.FATAL, "rsync ran out of memory."),
    23: ExitMeaning(Verdict.PARTIAL, "Some files or attributes could not be copied."),
    24: ExitMeaning(Verdict.PARTIAL, "Some files vanished before they could be copied."),
    25: ExitMeaning(Verdict.PARTIAL, "The limit of deletions was reached: some files were kept."),
    30: ExitMeaning(Verdict.TRANSIENT, "No data came for too long."),
    35: ExitMeaning(Verdict.TRANSIENT, "The connection to the rsync daemon timed out."),
    255: ExitMeaning(Verdict.TRANSIENT, "ssh could not connect."),
}
"""EXIT VALUES of rsync(1); 255 is ssh's own (ssh(1), EXIT STATUS)."""


class RsyncEngine:
    """rsync 3.2.3 or newer, between local paths."""

    name = "rsync"
    command = "rsync"
    names_skipped_files = True
    install_hint = (
        "Install rsync 3.2.3 or newer (on Debian and Ubuntu: apt install rsync; on Fedora: "
        "dnf install rsync; on Alpine: apk add rsync) and start the job again."
    )

    def version_argv(self, tool: str) -> list[str]:
        """Arguments that make rsync print its version."""
        return [tool, "--version"]

    def parse_version(self, output: str) -> str | None:
        """Return the version out of `rsync --version`."""
        match = _VERSION.search(output)
        return match["version"] if match else None

    def environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """Plain locale; no RSYNC_ variable, which could add options or another remote shell."""
        kept = {key: value for key, value in inherited.items() if not key.startswith("RSYNC_")}
        return {**kept, "LC_ALL": "C"}

    def build_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of the transfer."""
        argv = [
            tool,
            "--archive",
            "--no-human-readable",
            "--itemize-changes",
            "--itemize-changes",
            f"--out-format={_OUT_FORMAT}",
            "--info=progress2",
            f"--partial-dir={PARTIAL_DIRECTORY}",
        ]
        if spec.resume:
            # Between local paths rsync copies whole files and ignores what it kept of a partial
            # one, unless it is told to compare. It costs reading, so only when resuming.
            argv.append("--no-whole-file")
        if spec.bandwidth_limit is not None:
            argv.append(f"--bwlimit={max(1, spec.bandwidth_limit // 1024)}")
        return argv + self._common(spec) + self._locations(spec, is_directory=is_directory)

    def build_scan_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of a scan: a dry run that considers every file and would touch none.

        `--existing --ignore-existing` leaves nothing to do, so that only the list is made.
        """
        argv = [
            tool,
            "--archive",
            "--dry-run",
            "--no-human-readable",
            "--existing",
            "--ignore-existing",
            "--stats",
            f"--exclude={PARTIAL_DIRECTORY}",
        ]
        return argv + self._filters(spec) + self._locations(spec, is_directory=is_directory)

    def parse_scan(self, output: bytes) -> ScannedTotals | None:
        """Return the totals out of `--stats`; directories are not counted as files."""
        text = output.decode("utf-8", errors="replace")
        files = _TOTAL_FILES.search(text)
        size = _TOTAL_BYTES.search(text)
        if not files or not size:
            return None
        kinds = dict(part.split(": ", 1) for part in (files["kinds"] or "").split(", ") if part)
        count = sum(_number(value) for kind, value in kinds.items() if kind != "dir")
        return ScannedTotals(files=count, bytes=_number(size["bytes"]))

    def build_verify_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of a verification: a dry run that itemises what it would still change."""
        argv = [
            tool,
            "--archive",
            "--dry-run",
            "--no-human-readable",
            "--itemize-changes",
            f"--out-format={_OUT_FORMAT}",
            f"--exclude={PARTIAL_DIRECTORY}",
        ]
        if spec.verification == "checksum":
            argv.append("--checksum")
        return argv + self._filters(spec) + self._locations(spec, is_directory=is_directory)

    def output_reader(self, spec: RunSpec) -> OutputReader:
        """A fresh reader for one attempt."""
        return RsyncOutput(compares_with_partial=spec.resume)

    def difference_reader(self) -> DifferenceReader:
        """A fresh reader for one verification."""
        return RsyncDifferences()

    def classify_exit(self, code: int) -> ExitMeaning:
        """What this exit code means; a negative one is the signal that ended rsync."""
        if code < 0:
            return ExitMeaning(Verdict.TRANSIENT, f"rsync was ended by signal {-code}.")
        return _EXITS.get(code, ExitMeaning(Verdict.FATAL, f"rsync failed with code {code}."))

    def classify_verify_exit(self, code: int) -> ExitMeaning:
        """A dry run uses the same codes; differences do not change them."""
        return self.classify_exit(code)

    def _common(self, spec: RunSpec) -> list[str]:
        argv = []
        if spec.delete_extraneous:
            argv.append("--delete-delay")
            if spec.max_delete is not None:
                argv.append(f"--max-delete={spec.max_delete}")
        return argv + self._filters(spec)

    def _filters(self, spec: RunSpec) -> list[str]:
        # The first rule that matches decides (rsync(1), FILTER RULES): includes come first.
        return [f"--include={pattern}" for pattern in spec.include] + [
            f"--exclude={pattern}" for pattern in spec.exclude
        ]

    def _locations(self, spec: RunSpec, *, is_directory: bool) -> list[str]:
        source = source_argument(spec, is_directory=is_directory)
        return ["--", source, spec.destination.rstrip("/") + "/"]


class RsyncOutput:
    """Reads what `build_argv` makes rsync print."""

    def __init__(self, *, compares_with_partial: bool) -> None:
        self.reading = Reading()
        self._whole_files = not compares_with_partial
        self._bytes_metered_before = 0
        self._sent_of_finished = 0

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line; returns the file that failed when the line tells of one."""
        item = _ITEM.match(segment)
        if item:
            self._take_item(item)
            return None
        meter = _METER.match(segment)
        if meter:
            self._take_meter(int(meter[1]))
            return None
        return _failure(segment)

    def is_noise(self, segment: bytes) -> bool:
        """Meter readings and files that were up to date do not belong in the log."""
        return segment.startswith((b".f          ", b".L          ", b".d          ")) or (
            _METER.match(segment) is not None
        )

    def _take_item(self, item: re.Match[bytes]) -> None:
        change, size, sent = item[1], int(item[2]), int(item[3])
        reading = self.reading
        if change.startswith(b"*"):
            reading.files_deleted += 1
            return
        if change[1:2] == b"d":
            return
        if change[0:1] in (b">", b"<"):
            reading.files_finished += 1
            reading.bytes_finished += size
            reading.bytes_in_flight = 0
            self._bytes_metered_before += size
            self._sent_of_finished += sent
            reading.bytes_sent = max(reading.bytes_sent, self._sent_of_finished)
            reading.current_file = shown_name(_unescape(item[4]))
        elif change[0:1] == b".":
            reading.files_skipped += 1
            reading.bytes_skipped += size
        else:
            reading.files_finished += 1
            reading.bytes_finished += size

    def _take_meter(self, metered: int) -> None:
        reading = self.reading
        reading.bytes_in_flight = max(0, metered - self._bytes_metered_before)
        if self._whole_files:
            # Compared with a partial file, the meter counts what matched as well: then only the
            # figure at the end of the file tells what travelled.
            travelled = self._sent_of_finished + reading.bytes_in_flight
            reading.bytes_sent = max(reading.bytes_sent, travelled)


class RsyncDifferences:
    """Reads what `build_verify_argv` makes rsync print: each line is a difference."""

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line; folders whose own attributes alone differ do not count."""
        item = _ITEM.match(segment)
        if not item:
            return _failure(segment)
        change = item[1].ljust(_ITEM_WIDTH)
        if change[1:2] == b"d" and change[0:1] == b".":
            return None
        return Failure(shown_name(_unescape(item[4])), _difference_reason(change))


def _difference_reason(change: bytes) -> str:
    if b"+" in change:
        return "It is missing at the destination."
    attributes = {
        3: (b"c", "its checksum"),
        4: (b"s", "its size"),
        5: (b"tT", "its modification time"),
        6: (b"p", "its permissions"),
        7: (b"o", "its owner"),
        8: (b"g", "its group"),
    }
    different = [
        text
        for place, (letters, text) in ((key - 1, value) for key, value in attributes.items())
        if change[place : place + 1] and change[place : place + 1] in letters
    ]
    return f"It differs in {', '.join(different)}." if different else "It differs."


def _failure(segment: bytes) -> Failure | None:
    if not segment.startswith((b"rsync: ", b"file has vanished: ", b"IO error", b"cannot ")):
        return None
    match = _FAILED_FILE.match(_unescape(segment).decode("utf-8", errors="backslashreplace"))
    if not match:
        return None
    reason = f"{match['what']}{match['rest']}".strip(" :")
    path = shown_name(match["path"].encode("utf-8", errors="replace"))
    return Failure(path, shown_name(reason.encode("utf-8", errors="replace")))


def _unescape(name: bytes) -> bytes:
    # rsync prints bytes that are not printable as \#ooo, in octal (rsync(1), --8-bit-output).
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), name)


def _number(text: str) -> int:
    return int(text.replace(",", "").replace(".", ""))
