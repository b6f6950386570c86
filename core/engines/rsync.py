"""rsync: what to call it with, and what its exit codes mean (rsync(1)).

How it reaches another machine stands in `core/engines/rsync_remote.py`. What it prints is read in
`core/engines/rsync_output.py`: one itemised line for each file when it is
done. %b in `--out-format` makes rsync print after the transfer of the file, and `-ii` makes it name
the files that were up to date. How far a large file is, the system tells (`note_open_file`):
`--info=progress2` would cost 5% of the time over many small files.
"""

from __future__ import annotations

import os
import re

from core.engines.base import (
    READ_OR_WRITE_FAILED,
    DifferenceReader,
    ExitMeaning,
    OutputReader,
    ScannedTotals,
    Verdict,
    version_numbers,
)
from core.engines.rsync_messages import PARTIAL_DIRECTORY
from core.engines.rsync_output import OUT_FORMAT, RsyncDifferences, RsyncOutput
from core.engines.rsync_remote import destination_argument, locations, network_options
from models.extra_args import selecting
from models.run_spec import KEPT_FOLDER, PASSWORD_VARIABLE, TRASH_FOLDER, RunSpec

_TOTAL_FILES = r"(?m)^Number of files: [\d,.]+(?: \((?P<kinds>[^)]*)\))?"
_TOTAL_BYTES = r"(?m)^Total file size: (?P<bytes>[\d,.]+)"
_COPIED = frozenset({"reg", "link"})
_VERSION = r"(?m)^rsync\s+version\s+v?(?P<version>\d+(?:\.\d+)+)"
_SOUND_VERSION = "3.5.0"
# Compiled when they are first used (`re` keeps them): a runner starts some milliseconds sooner.

_EXITS: dict[int, ExitMeaning] = {
    0: ExitMeaning(Verdict.GOOD, "Everything was copied."),
    1: ExitMeaning(Verdict.FATAL, "rsync did not accept its arguments."),
    2: ExitMeaning(Verdict.FATAL, "The two rsyncs do not understand each other's protocol."),
    3: ExitMeaning(Verdict.FATAL, "rsync could not select its input or output files or folders."),
    4: ExitMeaning(Verdict.FATAL, "This rsync lacks something that the job needs."),
    5: ExitMeaning(Verdict.FATAL, "The rsync server could not start its protocol."),
    6: ExitMeaning(Verdict.FATAL, "The rsync daemon could not write to its log."),
    10: ExitMeaning(Verdict.TRANSIENT, "The connection failed."),
    11: READ_OR_WRITE_FAILED,
    12: ExitMeaning(Verdict.TRANSIENT, "The connection between the two sides of rsync broke off."),
    13: ExitMeaning(Verdict.FATAL, "rsync's own diagnostics failed."),
    14: ExitMeaning(Verdict.TRANSIENT, "rsync's processes lost each other."),
    15: ExitMeaning(Verdict.TRANSIENT, "One of rsync's processes crashed."),
    16: ExitMeaning(Verdict.TRANSIENT, "One of rsync's processes was ended by a signal."),
    19: ExitMeaning(Verdict.TRANSIENT, "rsync was told to stop by another of its processes."),
    20: ExitMeaning(Verdict.TRANSIENT, "rsync was told to stop by a signal."),
    21: ExitMeaning(Verdict.FATAL, "rsync could not wait for one of its processes."),
    22: ExitMeaning(Verdict.FATAL, "rsync ran out of memory."),
    23: ExitMeaning(Verdict.PARTIAL, "Some files or attributes could not be copied."),
    24: ExitMeaning(Verdict.PARTIAL, "Some files vanished before they could be copied."),
    25: ExitMeaning(Verdict.FATAL, "The limit of deletions was reached: some files were kept."),
    30: ExitMeaning(Verdict.TRANSIENT, "No data came for too long."),
    35: ExitMeaning(Verdict.TRANSIENT, "The connection to the rsync daemon timed out."),
    124: ExitMeaning(Verdict.FATAL, "The command on the other host failed."),
    125: ExitMeaning(Verdict.TRANSIENT, "rsync on the other host was killed."),
    126: ExitMeaning(Verdict.FATAL, "rsync on the other host may not be run."),
    127: ExitMeaning(
        Verdict.FATAL, "There is no rsync on the other host: install rsync 3.2.3 or newer there."
    ),
    255: ExitMeaning(Verdict.TRANSIENT, "The connection over ssh failed or broke off."),
}
"""EXIT VALUES of rsync(1), and errcode.h of rsync for 15, 16, 19 and, from 124 on, for those of the
other host's shell; 255 is ssh's own (ssh(1), EXIT STATUS). No rsync since 3.2.3 ends with 6."""


def partial_directory(spec: RunSpec) -> str:
    """Return the partial directory of a transfer: one for all, or one in each folder.

    One for all, by its absolute path, spares 8% of the time over many small files; but rsync before
    3.5.0 cannot go on with a file from there ("failed verification"). So a transfer that resumes
    looks in each folder, and `core/partial_files.py` brings the part of a file to its folder. It
    cannot do so on another machine, nor tell which file it was without the source: then every
    transfer looks in each folder.
    """
    if spec.resume or spec.is_remote:
        return PARTIAL_DIRECTORY
    return f"{spec.destination.rstrip('/')}/{PARTIAL_DIRECTORY}"


def temporary_file_argv(spec: RunSpec, tool: str, name: bytes) -> list[str]:
    """Arguments that list what the other side is still writing of one file of the destination.

    rsync writes `.<name>.<six characters>` beside the file (rsync(1), --temp-dir). By filters and
    not as a location: the other side would expand the wildcards of a folder's name.
    """
    *folders, base = name.split(b"/")
    parents = [b"/".join(folders[: depth + 1]) for depth in range(len(folders))]
    patterns = [
        *(b"/" + _literally(parent) + b"/" for parent in parents),
        b"/" + _literally(b"/".join([*folders, b"." + base]), always=True) + b".??????",
    ]
    return [
        tool,
        "--recursive",
        "--list-only",
        "--no-motd",
        "--no-human-readable",
        *(f"--include={os.fsdecode(pattern)}" for pattern in patterns),
        "--exclude=*",
        *network_options(spec),
        "--",
        destination_argument(spec),
    ]


def _literally(name: bytes, *, always: bool = False) -> bytes:
    # A backslash is one itself in a pattern without wildcards (rsync(1), FILTER RULES).
    if not always and not re.search(rb"[*?[]", name):
        return name
    return re.sub(rb"([\\*?[])", rb"\\\1", name)


class RsyncEngine:
    """rsync 3.2.3 or newer: between local paths, over ssh, or to and from a daemon."""

    name = "rsync"
    command = "rsync"
    names_skipped_files = True
    paces_by_wall_clock = True
    reads_source_itself = True
    least_version = "3.2.3"
    install_hint = (
        "Install rsync 3.2.3 or newer (on Debian and Ubuntu: apt install rsync; on Fedora: "
        "dnf install rsync; on Alpine: apk add rsync) and start the job again."
    )

    def version_argv(self, tool: str) -> list[str]:
        """Arguments that make rsync print its version."""
        return [tool, "--version"]

    def parse_version(self, output: str) -> str | None:
        """Return the version out of `rsync --version`."""
        match = re.search(_VERSION, output)
        return match["version"] if match else None

    def version_notice(self, version: str) -> str | None:
        """Tell of the weaknesses that are known of a version."""
        if version_numbers(version) >= version_numbers(_SOUND_VERSION):
            return None
        return (
            f"rsync {version} has weaknesses that are known: {_SOUND_VERSION} closed 33 of them, "
            "CVE-2026-53800 among these. Update rsync, or see that your distribution has closed "
            "them in its own package."
        )

    def environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """Plain locale; no RSYNC_ variable, which could add options or another remote shell, and
        nothing that could ask a person (ssh(1), SSH_ASKPASS)."""
        kept = {
            key: value
            for key, value in inherited.items()
            if not key.startswith(("RSYNC_", "SSH_ASKPASS")) and key != PASSWORD_VARIABLE
        }
        # Always set, since rsync asks a terminal for a password that is missing.
        password = inherited.get(PASSWORD_VARIABLE, "")
        return {**kept, "LC_ALL": "C", "RSYNC_PASSWORD": password}

    def build_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, lists_at_once: bool = False
    ) -> list[str]:
        """Arguments of the transfer."""
        argv = [
            tool,
            "--archive",
            "--no-devices",
            "--no-specials",
            "--no-human-readable",
            "--itemize-changes",
            "--itemize-changes",
            f"--out-format={OUT_FORMAT}",
            f"--partial-dir={partial_directory(spec)}",
        ]
        if lists_at_once:
            # 6% quicker over many small files; costs about 100 bytes of memory a file.
            argv.append("--no-inc-recursive")
        if spec.resume and not spec.is_remote:
            # Between local paths rsync copies whole files and ignores what it kept of a partial
            # one, unless it is told to compare. It costs reading, so only when resuming.
            argv.append("--no-whole-file")
        if spec.destination_is_remote:
            # A local destination is made by the runner.
            argv.append("--mkpath")
        if spec.bandwidth_limit is not None:
            argv.append(f"--bwlimit={max(1, spec.bandwidth_limit // 1024)}")
        argv += _kept_attributes(spec)
        argv += _changes_at_destination(spec)
        argv += network_options(spec, hashes="--checksum" in spec.extra_args)
        argv += _filters(spec)
        argv += _only_files(spec, is_directory=is_directory)
        return [*argv, *spec.extra_args, *locations(spec, is_directory=is_directory)]

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
        ]
        argv += network_options(spec) + _filters(spec)
        argv += _only_files(spec, is_directory=is_directory)
        argv += selecting(self.name, spec.extra_args)
        return argv + locations(spec, is_directory=is_directory)

    def parse_scan(self, output: bytes) -> ScannedTotals | None:
        """Return the totals out of `--stats`: of files and links, which are what is copied."""
        text = output.decode("utf-8", errors="replace")
        files = re.search(_TOTAL_FILES, text)
        size = re.search(_TOTAL_BYTES, text)
        if not files or not size:
            return None
        kinds = dict(part.split(": ", 1) for part in (files["kinds"] or "").split(", ") if part)
        count = sum(_number(value) for kind, value in kinds.items() if kind in _COPIED)
        return ScannedTotals(files=count, bytes=_number(size["bytes"]))

    def build_verify_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, reads_back: bool = False
    ) -> list[str]:
        """Arguments of a verification: a dry run that itemises what it would still change."""
        # Not --archive: owner and permissions, which many destinations cannot hold, are no part
        # of what `fast` (size and time) and `checksum` promise (contracts.md).
        only_files = _only_files(spec, is_directory=is_directory)
        return [
            tool,
            *([] if only_files else ["--recursive"]),
            "--links",
            "--checksum" if spec.verification == "checksum" else "--times",
            "--dry-run",
            "--no-human-readable",
            # Twice: what is the same is named as well, and tells how far it is.
            "--itemize-changes",
            "--itemize-changes",
            f"--out-format={OUT_FORMAT}",
            *network_options(spec, hashes=spec.verification == "checksum"),
            *_filters(spec),
            *only_files,
            *selecting(self.name, spec.extra_args),
            *locations(spec, is_directory=is_directory),
        ]

    def write_only_files(self, spec: RunSpec) -> None:
        """rsync reads the names as they are."""

    def output_reader(self, spec: RunSpec) -> OutputReader:
        """A fresh reader for one attempt."""
        return RsyncOutput(spec)

    def difference_reader(self, spec: RunSpec) -> DifferenceReader:
        """A fresh reader for one verification."""
        return RsyncDifferences(spec)

    def classify_exit(self, code: int) -> ExitMeaning:
        """What this exit code means; a negative one is the signal that ended rsync."""
        if code < 0:
            return ExitMeaning(Verdict.TRANSIENT, f"rsync was ended by signal {-code}.")
        return _EXITS.get(code, ExitMeaning(Verdict.FATAL, f"rsync failed with code {code}."))

    def is_partial_for_sure(self, code: int, *, files_failed: int) -> bool:
        """rsync's codes say so by themselves."""
        return True

    def classify_verify_exit(self, code: int) -> ExitMeaning:
        """A dry run uses the same codes; differences do not change them."""
        return self.classify_exit(code)


def _kept_attributes(spec: RunSpec) -> list[str]:
    options = {"--hard-links": spec.hard_links, "--acls": spec.acls, "--xattrs": spec.xattrs}
    return [option for option, wanted in options.items() if wanted]


def _changes_at_destination(spec: RunSpec) -> list[str]:
    argv = []
    if spec.delete_extraneous and spec.only_files_path is None:
        argv.append("--delete-delay")
        if spec.max_delete is not None:
            argv.append(f"--max-delete={spec.max_delete}")
    if spec.keep_replaced_in is not None:
        argv += ["--backup", f"--backup-dir={spec.keep_replaced_in}"]
    return argv


def _filters(spec: RunSpec) -> list[str]:
    # The first rule that matches decides (rsync(1), FILTER RULES): includes come before excludes.
    # An absolute partial directory is not left out by rsync itself. Whatever has the name of one
    # of our folders is left out: a link in its place would lead what is kept elsewhere.
    return [
        f"--exclude={PARTIAL_DIRECTORY}",
        f"--exclude=/{KEPT_FOLDER}",
        f"--exclude=/{TRASH_FOLDER}",
        *(f"--include={pattern}" for pattern in spec.include),
        *(f"--exclude={pattern}" for pattern in spec.exclude),
    ]


def _only_files(spec: RunSpec, *, is_directory: bool) -> list[str]:
    # A folder that is named there is made, and not gone into: --archive does not imply --recursive
    # then (rsync(1), --files-from).
    if spec.only_files_path is None or not is_directory:
        return []
    return [f"--files-from={spec.only_files_path}", "--from0"]


def _number(text: str) -> int:
    return int(text.replace(",", "").replace(".", ""))
