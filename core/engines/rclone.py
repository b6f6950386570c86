"""rclone: what to call it with, and what its exit codes mean (rclone docs).

Between local paths and remotes of the person's own configuration. What it logs is read in
`core/engines/rclone_output.py`.
"""

from __future__ import annotations

import os
import re

from core.engines.base import (
    DifferenceReader,
    ExitMeaning,
    OutputReader,
    ScannedTotals,
    Verdict,
    source_argument,
)
from core.engines.rclone_list import LIST_SUFFIX, write_list
from core.engines.rclone_names import LINK_SUFFIX
from core.engines.rclone_output import RcloneDifferences, RcloneOutput, parsed
from core.engines.rsync_messages import PARTIAL_DIRECTORY
from models.extra_args import selecting
from models.remote import is_remote, rclone_location
from models.run_spec import KEPT_FOLDER, PASSWORD_VARIABLE, TRASH_FOLDER, RunSpec

CONFIG_PASSWORD_VARIABLE = "RCLONE_CONFIG_PASS"  # noqa: S105 - the variable's name
_VERSION = r"(?m)^rclone v(?P<version>\d+(?:\.\d+)+)"
_COPY_LINKS = "--copy-links"
_NOT_FOR_CHECK = frozenset({"--size-only", "--ignore-size"})
"""These would let a verification by checksum compare less than contents."""
CONNECT_TIMEOUT_SECONDS = 15

_EXITS: dict[int, ExitMeaning] = {
    0: ExitMeaning(Verdict.GOOD, "Everything was copied."),
    1: ExitMeaning(Verdict.PARTIAL, "Some files could not be copied."),
    2: ExitMeaning(Verdict.FATAL, "rclone did not accept its arguments."),
    3: ExitMeaning(Verdict.FATAL, "rclone did not find a folder."),
    4: ExitMeaning(Verdict.PARTIAL, "Some files could not be found."),
    5: ExitMeaning(Verdict.TRANSIENT, "rclone met an error that may pass."),
    6: ExitMeaning(Verdict.PARTIAL, "Some files could not be copied."),
    7: ExitMeaning(Verdict.FATAL, "rclone met an error that will not pass."),
    8: ExitMeaning(Verdict.FATAL, "The transfer limit was reached."),
    9: ExitMeaning(Verdict.GOOD, "Nothing had to be copied."),
    10: ExitMeaning(Verdict.FATAL, "The time limit was reached."),
}
"""https://rclone.org/docs/#exit-code"""


class RcloneEngine:
    """rclone 1.75.1 or newer."""

    name = "rclone"
    command = "rclone"
    names_skipped_files = False
    paces_by_wall_clock = False
    reads_source_itself = False
    least_version = "1.75.1"
    install_hint = "Run `make setup` again: rclone comes with Longshore's own packages."

    def version_argv(self, tool: str) -> list[str]:
        """Arguments that make rclone print its version."""
        return [tool, "version", "--config", ""]

    def parse_version(self, output: str) -> str | None:
        """Return the version out of `rclone version`."""
        match = re.search(_VERSION, output)
        return match["version"] if match else None

    def version_notice(self, version: str) -> str | None:
        """Nothing is known of those that are new enough."""
        return None

    def environment(self, inherited: dict[str, str]) -> dict[str, str]:
        """No RCLONE_ variable: each of them is an option, a remote or a command (rclone docs,
        environment variables); but the password of the configuration where there is one."""
        password = inherited.get(PASSWORD_VARIABLE)
        kept = {
            key: value
            for key, value in inherited.items()
            if not key.upper().startswith("RCLONE_") and key != PASSWORD_VARIABLE
        }
        if password:
            kept[CONFIG_PASSWORD_VARIABLE] = password
        return {**kept, "LC_ALL": "C"}

    def write_only_files(self, spec: RunSpec) -> None:
        """Write the names as rclone reads them. Raises OSError."""
        if spec.only_files_path is not None:
            write_list(spec, spec.only_files_path)

    def build_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, lists_at_once: bool = False
    ) -> list[str]:
        """Arguments of the transfer: `sync` when it may delete at the destination, else `copy`."""
        deletes = spec.delete_extraneous and is_directory and spec.only_files_path is None
        argv = [
            tool,
            "sync" if deletes else "copy",
            *_ways(spec),
            *_metadata(spec),
            "--create-empty-src-dirs",
            "--stats=500ms",
            "--stats-log-level=NOTICE",
            # A line for each copied file would cost 15% of the time over many small ones.
            "--log-level=NOTICE",
            "--retries=1",
        ]
        if spec.bandwidth_limit is not None:
            argv.append(f"--bwlimit={spec.bandwidth_limit}B")
        if deletes and spec.max_delete is not None:
            argv.append(f"--max-delete={spec.max_delete}")
        if spec.keep_replaced_in is not None:
            kept = _within(_argument(spec.destination), spec.keep_replaced_in)
            argv.append(f"--backup-dir={kept}")
        argv += [*_loads(spec), *spec.extra_args, *_filters(spec, is_directory=is_directory)]
        return argv + _locations(spec, is_directory=is_directory)

    def build_scan_argv(self, spec: RunSpec, tool: str, *, is_directory: bool) -> list[str]:
        """Arguments of a scan that counts files and bytes."""
        return [
            tool,
            "size",
            "--json",
            *_configuration(spec),
            *_links(spec),
            "--log-level=ERROR",
            *_loads(spec),
            *selecting(self.name, spec.extra_args),
            *_filters(spec, is_directory=is_directory),
            "--",
            _source(spec, is_directory=is_directory),
        ]

    def parse_scan(self, output: bytes) -> ScannedTotals | None:
        """Return the totals out of `rclone size --json`."""
        document = parsed(output)
        count, size = document.get("count"), document.get("bytes")
        if not isinstance(count, int) or not isinstance(size, int):
            return None
        return ScannedTotals(files=count, bytes=size)

    def build_verify_argv(
        self, spec: RunSpec, tool: str, *, is_directory: bool, reads_back: bool = False
    ) -> list[str]:
        """Arguments of a verification: contents by `check`, size and time by a dry run of `copy`.

        A remote that has no hash in common with the source is read back (`check --download`).
        """
        selected = selecting(self.name, spec.extra_args)
        if spec.verification == "checksum":
            command = ["check", "--one-way", *_ways(spec)]
            command += ["--download"] if reads_back else []
            selected = [one for one in selected if one not in _NOT_FOR_CHECK]
        else:
            command = ["copy", "--dry-run", *_ways(spec), *_metadata(spec)]
        return [
            tool,
            *command,
            "--stats=500ms",
            "--stats-log-level=NOTICE",
            *_loads(spec),
            *selected,
            *_filters(spec, is_directory=is_directory),
            *_locations(spec, is_directory=is_directory),
        ]

    def output_reader(self, spec: RunSpec) -> OutputReader:
        """A fresh reader for one attempt."""
        return RcloneOutput(spec)

    def difference_reader(self, spec: RunSpec) -> DifferenceReader:
        """A fresh reader for one verification."""
        return RcloneDifferences(spec)

    def classify_exit(self, code: int) -> ExitMeaning:
        """What this exit code means; a negative one is the signal that ended rclone."""
        if code < 0:
            return ExitMeaning(Verdict.TRANSIENT, f"rclone was ended by signal {-code}.")
        return _EXITS.get(code, ExitMeaning(Verdict.FATAL, f"rclone failed with code {code}."))

    def is_partial_for_sure(self, code: int, *, files_failed: int) -> bool:
        """Code 1 is also that of a mistake in a filter, after which nothing was copied; 4 may be
        that of the one file that was to be copied."""
        return files_failed > 0

    def classify_verify_exit(self, code: int) -> ExitMeaning:
        """`rclone check` ends with 1 when it found differences, which it has listed."""
        if code == 1:
            return ExitMeaning(Verdict.PARTIAL, "The verification could not look at every file.")
        return self.classify_exit(code)


def configuration_options(config: str | None) -> list[str]:
    """Arguments for a call that reads the person's configuration, in whichever place: never a
    question, and no command that could answer it."""
    where = [] if config is None else [f"--config={config}"]
    return [*where, "--ask-password=false", "--password-command="]


def _configuration(spec: RunSpec) -> list[str]:
    # Between local paths there is none to read.
    return configuration_options(spec.rclone_config) if spec.is_remote else ["--config="]


def _links(spec: RunSpec) -> list[str]:
    # As they are on disk, whatever the bytes: what is encoded by default is not unambiguous.
    as_such = [] if _COPY_LINKS in spec.extra_args else ["--links"]
    return [*as_such, "--local-encoding=Raw"]


def _ways(spec: RunSpec) -> list[str]:
    return [*_configuration(spec), *_links(spec), "--use-json-log"]


def _metadata(spec: RunSpec) -> list[str]:
    """Owner, mode and times are kept where the source has them as they are.

    Where only root may give files away, they become ours: rclone would fail on a file whose owner
    it cannot set. What a remote tells beside times is no local attribute of a file: a storage class
    would become an extended one, which a symbolic link cannot have.
    """
    if spec.source_is_remote:
        return []
    if spec.destination_is_remote:
        return ["--metadata"]
    if os.geteuid() == 0:
        return ["--metadata"]
    return [
        "--metadata",
        f"--metadata-set=uid={os.geteuid()}",
        f"--metadata-set=gid={os.getegid()}",
    ]


def _loads(spec: RunSpec) -> list[str]:
    options = []
    if spec.is_remote:
        options.append(f"--contimeout={CONNECT_TIMEOUT_SECONDS}s")
        if spec.timeout_seconds is not None:
            options.append(f"--timeout={spec.timeout_seconds}s")
    if spec.transfers is not None:
        options.append(f"--transfers={spec.transfers}")
    if spec.checkers is not None:
        options.append(f"--checkers={spec.checkers}")
    return options


def _filters(spec: RunSpec, *, is_directory: bool) -> list[str]:
    if spec.only_files_path is not None:
        return [f"--files-from-raw={spec.only_files_path}{LIST_SUFFIX}", "--no-traverse"]
    if not is_directory:
        # Whoever names one file means it.
        return []
    # --filter keeps the order, in which the first match decides, as in rsync; a lone --include
    # would exclude all else (rclone docs, filtering).
    own = (f"/{KEPT_FOLDER}", f"/{TRASH_FOLDER}", PARTIAL_DIRECTORY)
    return [
        # Whatever has the name of one of our folders, a link too: that would lead what is kept
        # there elsewhere.
        *(f"--filter=- {name}{end}" for name in own for end in ("/**", "", LINK_SUFFIX)),
        *(f"--filter=+ {pattern}" for pattern in spec.include),
        *(f"--filter=- {pattern}" for pattern in spec.exclude),
    ]


def _locations(spec: RunSpec, *, is_directory: bool) -> list[str]:
    return ["--", _source(spec, is_directory=is_directory), _argument(spec.destination)]


def _source(spec: RunSpec, *, is_directory: bool) -> str:
    if spec.source_is_remote:
        return _argument(spec.source)
    source = source_argument(spec, is_directory=is_directory)
    if not is_directory and _COPY_LINKS not in spec.extra_args and os.path.islink(source):
        # Under this name rclone knows a link (rclone docs, local, --links).
        return source + LINK_SUFFIX
    return source


def _argument(location: str) -> str:
    """Return a location as rclone takes it: `remote:path`, or an absolute local path."""
    if not is_remote(location):
        return location
    remote, path = rclone_location(location)
    return f"{remote}:{path}"


def _within(folder: str, name: str) -> str:
    separator = "" if folder.endswith(("/", ":")) else "/"
    return f"{folder}{separator}{name}"
