"""What every engine offers: a pure translation between a RunSpec and one tool. Starts nothing.

An engine is asked for argument lists, is handed the tool's lines, and classifies its exit code.
One Reading holds the state of one attempt's output.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from models.run_spec import RunSpec
from utils.shown_names import shown_name

MAX_LINE = 64 * 1024
"""A longer line of output is cut: no tool writes one, and memory is bounded."""


class Verdict(StrEnum):
    """What an exit code means."""

    GOOD = "good"
    PARTIAL = "partial"
    """Done, but some files were not: completed with warnings."""
    TRANSIENT = "transient"
    """Worth another attempt."""
    FATAL = "fatal"


class ExitMeaning(NamedTuple):
    """A verdict with a sentence that a person understands."""

    verdict: Verdict
    message: str


class ScannedTotals(NamedTuple):
    """What a scan of the source found: files that are not directories, and bytes."""

    files: int
    bytes: int


class Failure(NamedTuple):
    """One file that the tool could not do, with its own words."""

    path: str
    reason: str
    name: str | None = None
    """Its name from the top of the source as it is on disk (os.fsdecode), where that is told."""


SPECIAL = "special"
"""The kind of a special file where nobody says which: a FIFO, a socket or a device."""


class SkippedSpecial(NamedTuple):
    """A file that no engine copies: its path for people, and `fifo`, `socket`, `device` or, where
    the tool does not tell, SPECIAL."""

    path: str
    kind: str = SPECIAL
    name: str | None = None
    """As in Failure."""


_FULL_DISK_WORDS = ("no space left on device", "too big for remaining disk space")
READ_OR_WRITE_FAILED = ExitMeaning(
    Verdict.FATAL,
    "A file or folder could not be read or written: is there a file in the destination’s place, "
    "may it be written to, is the disk full?",
)
"""Of a tool that said no more: its last words may be lost on their way from one of its processes to
the other."""
DISK_FULL = ExitMeaning(
    Verdict.FATAL, "The destination's disk is full: some files could not be copied."
)


def tells_of_full_disk(failure: Failure) -> bool:
    """Whether a file failed for want of room, which no exit code says for certain.

    The words of ENOSPC, and rclone's own when it reserves room before it copies.
    """
    return any(words in failure.reason.lower() for words in _FULL_DISK_WORDS)


class Reading:
    """What an attempt's output has said so far. Sizes in bytes.

    `in_flight` is the part of the file under way that is already at the destination; it counts as
    done, since a large file would otherwise stand at 0% until its end.
    """

    def __init__(self) -> None:
        self.bytes_finished = 0
        self.bytes_skipped = 0
        self.bytes_in_flight = 0
        self.bytes_sent = 0
        self.files_finished = 0
        self.files_skipped = 0
        self.files_deleted = 0
        self.current_name = b""
        self.refusal: ExitMeaning | None = None
        """What the other side said about the whole attempt: plainer than any exit code."""
        self.totals: ScannedTotals | None = None
        """Those of the scan, as soon as they are known: for a tool that tells less of its own."""

    @property
    def wants_totals(self) -> bool:
        """Whether files were met that only the totals of a scan can tell from skipped ones."""
        return False

    @property
    def counts_all(self) -> bool:
        """Whether, at the end, all that is done is counted here without the totals of a scan."""
        return True

    @property
    def current_file(self) -> str | None:
        """The file under way, or the last one, for people."""
        return shown_name(self.current_name) if self.current_name else None

    @property
    def bytes_done(self) -> int:
        """What is whole or on its way at the destination."""
        return self.bytes_finished + self.bytes_skipped + self.bytes_in_flight

    @property
    def files_done(self) -> int:
        """Files that are whole at the destination, skipped ones included."""
        return self.files_finished + self.files_skipped


class OpenFile(NamedTuple):
    """A file that the engine process has open: its name from the top of the source, and how far it
    is read, or from a remote source written, in bytes."""

    name: bytes
    position: int
    is_compared: bool = False
    """Whether parts of it come from what the destination has already."""


class Batch:
    """What some lines of output came to: failed files, special files that were passed over, and the
    lines that belong in the log."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.skipped: list[SkippedSpecial] = []
        self.log: list[bytes] = []


class OutputReader(Protocol):
    """Reads one attempt's output; never raises, whatever the bytes are."""

    reading: Reading

    def feed(self, lines: list[bytes]) -> Batch:
        """Take lines (without their ends) of standard output or standard error."""
        ...

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether the whole lines from start to end may hold anything but words for the log.

        At a glance: where a tool floods its output, no line is looked at by itself.
        """
        ...

    def note_open_file(self, file: OpenFile | None) -> None:
        """Take note of the source file that the engine process is reading now."""
        ...


class DifferenceReader(Protocol):
    """Reads the output of a verification: each difference is a Failure."""

    refusal: ExitMeaning | None
    """What was said of the verification as a whole: plainer than any exit code."""
    is_unproven: bool
    """Whether contents were to be compared and could not be by what both sides tell of them: then
    they have to be read back."""
    files_compared: int
    """How many files were looked at by now."""
    bytes_compared: int | None
    """Their sizes in all; None where the tool does not tell."""

    def feed(self, segment: bytes) -> Failure | None:
        """Take one line (without its end)."""
        ...

    def tells_progress(self, segment: bytes) -> bool:
        """Whether a line only tells how far the verification is: no word for the log."""
        ...

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether the whole lines from start to end may hold a difference: at a glance, too."""
        ...


class Engine(Protocol):
    """One tool. All methods are pure."""

    name: str
    command: str
    """The executable's name on PATH."""
    install_hint: str
    """What to do when the tool is missing or too old, as a sentence."""
    least_version: str
    """The oldest version that the engine works with."""
    names_skipped_files: bool
    """Whether the output tells of files that were up to date; else the scan has to."""
    reads_source_itself: bool
    """Whether the process that is started reads the source, so that the system can tell how far
    the file under way is, and which one it was when the process is killed."""

    paces_by_wall_clock: bool
    """Whether a bandwidth limit makes the tool wait for as long as the clock was set back; then it
    is better started anew."""

    def version_argv(self, tool: str) -> list[str]:
        """Arguments that make the tool print its version."""
        ...

    def parse_version(self, output: str) -> str | None:
        """Return the version out of that print."""
        ...

    def version_notice(self, version: str) -> str | None:
        """Return what a person should know of a version that works, as a sentence, or None."""
        ...

    def environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """Return the environment for the tool: plain locale, nothing that changes its ways."""
        ...

    def write_only_files(self, spec: RunSpec) -> None:
        """Before a run over some files alone is begun: write their names once more where the tool
        needs them in another form. Raises OSError."""
        ...

    def build_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, lists_at_once: bool = False
    ) -> list[str]:
        """Arguments of the transfer; `lists_at_once` allows the tool to hold the list of all files
        in memory where that is quicker."""
        ...

    def build_scan_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of a scan that counts what the transfer will have to do."""
        ...

    def parse_scan(self, output: bytes) -> ScannedTotals | None:
        """Return the totals out of a scan's output; None when it does not hold any."""
        ...

    def build_verify_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, reads_back: bool = False
    ) -> list[str]:
        """Arguments of a verification that changes nothing; with `reads_back` it compares contents
        themselves, for a reader that calls it unproven without."""
        ...

    def output_reader(self, spec: RunSpec) -> OutputReader:
        """A fresh reader for one attempt."""
        ...

    def difference_reader(self, spec: RunSpec) -> DifferenceReader:
        """A fresh reader for one verification."""
        ...

    def classify_exit(self, code: int) -> ExitMeaning:
        """What this exit code of the transfer means; negative for a signal."""
        ...

    def is_partial_for_sure(self, code: int, *, files_failed: int) -> bool:
        """Whether an exit code that may mean a partial transfer does so, given the files that the
        output named as failed."""
        ...

    def classify_verify_exit(self, code: int) -> ExitMeaning:
        """What this exit code of a verification means, apart from the differences it listed."""
        ...


def version_numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, for comparing: `3.2.7` is (3, 2, 7)."""
    numbers = []
    for part in version.split("."):
        if not (part.isascii() and part.isdigit()):
            break
        numbers.append(int(part[:9]))
    return tuple(numbers)


def too_old(engine: Engine, version: str) -> str | None:
    """Return why a version cannot be used, as a sentence that says what to do, or None."""
    if version_numbers(version) >= version_numbers(engine.least_version):
        return None
    return (
        f"{engine.command} {version} is too old: at least {engine.least_version} is needed. "
        f"{engine.install_hint}"
    )


def source_argument(spec: RunSpec, *, is_directory: bool) -> str:
    """Return the source so that a folder's contents, or the one file itself, are meant."""
    return spec.source.rstrip("/") + "/" if is_directory else spec.source
