"""What is said about an attempt as a whole: by a daemon, by ssh, by the rsync at the other end.

An exit code of rsync says little of it: 255 is any failure of ssh. What a person can mend is not
tried again. The words of ssh count only when rsync has ended because of them, since a banner of
the other host may hold any words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from core.engines.base import ExitMeaning, Failure, Verdict
from core.engines.rsync_messages import Places
from models.remote import RSYNC_SCHEME
from models.run_spec import RunSpec
from utils.shown_names import shown_name

_CLOSING = rb"rsync (?:error|warning): .*\(code (?P<code>\d{1,3})\) at "
_DAEMON = (b"@ERROR: ", b"ERROR: module is ")
_PASSING_REFUSAL = b"max connections"
"""Of all that a daemon may refuse for, being full is what another attempt can help
(rsyncd.conf(5), max connections)."""
_WRONG_LOGIN = b"auth failed on module"
_WORKED = rb"rsync: .*connection unexpectedly closed \((?P<bytes>\d+) bytes received so far\)"
_SSH = (255, 12, 10)
"""rsync hears of ssh's end by its exit code or by its silence, whichever it meets first."""


class _Saying(NamedTuple):
    """A line that tells why an attempt ended, with the exit codes that it goes with."""

    pattern: bytes
    codes: tuple[int, ...]
    verdict: Verdict
    sentence: str


_LOGIN_REFUSED = (
    "The other host refused the login ({words}). Put the public key into that user’s "
    "~/.ssh/authorized_keys there, or name another key in the job; a key with a passphrase must "
    "be in a running ssh-agent."
)
_HOST_UNKNOWN = (
    "The other host’s key is not known here. Log in there once by hand, as the user that Longshore "
    "runs as, and compare its fingerprint; or let the job accept a host that is new."
)
_HOST_CHANGED = (
    "The other host’s key is not the one that is known here: somebody may stand between. Ask "
    "whoever runs that host, and remove the old key from the file that ssh names in the output "
    "only when the change was meant."
)
SAYINGS = (
    _Saying(
        rb"(?:\S+: )?(?P<words>Permission denied \([^()]*\))\.?$",
        _SSH,
        Verdict.FATAL,
        _LOGIN_REFUSED,
    ),
    _Saying(
        rb"Received disconnect from .*: (?P<words>Too many authentication failures)",
        _SSH,
        Verdict.FATAL,
        _LOGIN_REFUSED,
    ),
    _Saying(rb"(?P<words>Host key verification failed)\.$", _SSH, Verdict.FATAL, _HOST_UNKNOWN),
    _Saying(
        rb"(?P<words>Unable to negotiate with .*)$",
        _SSH,
        Verdict.FATAL,
        "This ssh and the other host have no way to talk in common: {words}",
    ),
    _Saying(
        rb"(?P<words>Bad owner or permissions on .*|.*bad configuration option.*|.*Bad number .*)$",
        _SSH,
        Verdict.FATAL,
        "ssh’s own configuration on this machine has a fault: {words}",
    ),
    _Saying(
        rb"ssh: (?P<words>Could not resolve hostname .*|connect to host .*)$",
        _SSH,
        Verdict.TRANSIENT,
        "The other host cannot be reached: {words}.",
    ),
    _Saying(
        rb"(?P<words>Connection (?:closed|reset|timed out|to \S+ closed).*|Timeout, server .*"
        rb"|kex_exchange_identification: .*|client_loop: .*|ssh_dispatch_run_fatal: .*)$",
        _SSH,
        Verdict.TRANSIENT,
        "The connection over ssh broke off: {words}",
    ),
    _Saying(
        rb"(?:\S+: )?(?:line )?(?:\d+: )?(?P<words>rsync: (?:command )?not found)$",
        (127, 12),
        Verdict.FATAL,
        "There is no rsync on the other host: install rsync 3.2.3 or newer there.",
    ),
    _Saying(
        rb"(?:\S+: )?(?:line )?(?:\d+: )?(?P<words>(?:\S*/)?rsync: Permission denied)$",
        (126, 12),
        Verdict.FATAL,
        "rsync on the other host may not be run: {words}.",
    ),
    _Saying(
        rb"\S*rrsync(?: error)?: (?P<words>.+)$",
        (12, 1),
        Verdict.FATAL,
        "The other host lets the job’s key do no more than rrsync allows it: {words}. Look at the "
        "key’s line in that user’s ~/.ssh/authorized_keys there.",
    ),
    _Saying(
        rb"rsync: \[\w+\] (?P<words>Failed to exec ssh: .*)$",
        (14, 12),
        Verdict.FATAL,
        "There is no ssh on this machine: install the OpenSSH client (on Debian and Ubuntu: apt "
        "install openssh-client).",
    ),
    _Saying(
        rb"(?P<words>protocol version mismatch)",
        (2,),
        Verdict.FATAL,
        "What that user’s shell on the other host prints when it starts gets in rsync’s way: "
        "remove it from the files that the shell reads there (rsync(1), DIAGNOSTICS).",
    ),
    _Saying(
        rb"rsync: (?:on remote machine: )?(?P<words>-.*: unknown option|This rsync .*"
        rb"|The server (?:is configured to refuse|does not support) .*)$",
        (1, 4, 5, 12),
        Verdict.FATAL,
        "rsync did not accept an option of the job: {words}.",
    ),
    _Saying(
        rb'rsync: \[Receiver\] (?:mkdir|change_dir#\d) "[^\n]*" (?:\(in .*\) )?'
        rb"failed: (?P<words>.*)$",
        (3, 11),
        Verdict.FATAL,
        "Destination: the folder cannot be made or entered ({words}).",
    ),
    _Saying(
        rb"(?:rsync: \[\w+\] )?ERROR: "
        rb"(?P<words>(?:destination must be|cannot overwrite non-|cannot stat dest).*)$",
        (3,),
        Verdict.FATAL,
        "Destination: {words}.",
    ),
)
"""ssh(1) and its source for the words; EXIT VALUES of rsync(1) for the codes."""
HINTS = (
    (rb"(?:No \S+ host key is known for )", _HOST_UNKNOWN),
    (rb"@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED", _HOST_CHANGED),
    (
        rb"no such identity: (?P<words>.*)$",
        "The file of the job’s ssh key cannot be read: {words}.",
    ),
    (
        rb"(?P<words>Load key .*)$",
        "The job’s ssh key cannot be used: {words}. ssh wants a file that is its user’s alone "
        "(chmod 600), and a key with a passphrase in a running ssh-agent.",
    ),
)
"""What ssh says before its last words, and plainer than these."""


_WORDS = (
    b"@ERROR: ",
    b"HAS CHANGED",
    b"Permission denied",
    b"rrsync",
    b"ost key ",
    b"identity: ",
    b"Load key ",
    b"ssh",
    b"not found",
    b"protocol version",
    b"onnection ",
    b"negotiate",
    b"onfiguration option",
    b"Bad ",
    b"Timeout",
    b"disconnect",
    b"kex_",
    b"client_",
)
"""What each of these lines holds, to tell at a glance; how rsync itself ended is told by
`may_hold_message`."""


class Refusals:
    """Takes the lines of one attempt; `refusal` is what they came to."""

    def __init__(self, spec: RunSpec, places: Places) -> None:
        self.refusal: ExitMeaning | None = None
        on_daemon = RSYNC_SCHEME in (spec.source[:8], spec.destination[:8])
        self._host = "the rsync daemon" if on_daemon else "the other host"
        top = places.module if on_daemon else places.source
        self._remote_source = top if spec.source_is_remote else None
        self._words = _WORDS if spec.is_remote else ()
        self._hint: str | None = None
        self._said: tuple[tuple[int, ...], ExitMeaning] | None = None

    def take(self, line: bytes, failure: Failure | None) -> None:
        """Take one line that is no item, and the failed file that it names."""
        if line.startswith(_DAEMON):
            self.refusal = _refusal_by_daemon(line)
        elif failure is not None and self._is_about_whole_source(failure):
            self.refusal = self._no_source(failure)
        elif match := re.match(_CLOSING, line):
            self._close(int(match["code"]))
        elif (match := re.match(_WORKED, line)) and int(match["bytes"][:18]):
            # The login was good: such words were a banner's.
            self._said = None
        else:
            self._take_words(line)

    def concerns(self, content: bytearray, start: int, end: int) -> bool:
        """Whether lines may tell why the attempt ends: at a glance."""
        return any(content.find(word, start, end) >= 0 for word in self._words)

    def _take_words(self, line: bytes) -> None:
        for pattern, sentence in HINTS:
            if match := re.match(pattern, line):
                self._hint = self._hint or _filled(sentence, match)
                return
        for saying in SAYINGS:
            if match := re.match(saying.pattern, line):
                is_refined = saying.sentence in {_LOGIN_REFUSED, _HOST_UNKNOWN} and self._hint
                message = self._hint if is_refined else _filled(saying.sentence, match)
                self._said = (saying.codes, ExitMeaning(saying.verdict, message or ""))
                return

    def _close(self, code: int) -> None:
        if self._said is not None and code in self._said[0]:
            self.refusal = self._said[1]

    def _is_about_whole_source(self, failure: Failure) -> bool:
        # The same code 23 as for one file among many; nothing was copied.
        if self._remote_source is None or not failure.reason.startswith(("change_dir ", "opendir")):
            return False
        path = failure.path.removesuffix("/.").strip("/")
        return path == shown_name(self._remote_source).strip("/")

    def _no_source(self, failure: Failure) -> ExitMeaning:
        reason = failure.reason.rpartition("failed: ")[2]
        if "Permission denied" in reason:
            message = f"Source: the folder on {self._host} may not be read ({reason})."
        else:
            message = f"Source: there is no such folder on {self._host} ({reason})."
        return ExitMeaning(Verdict.FATAL, message)


def _refusal_by_daemon(line: bytes) -> ExitMeaning:
    words = shown_name(line.partition(b": ")[2].strip())
    if _WRONG_LOGIN in line:
        return ExitMeaning(
            Verdict.FATAL,
            f"The rsync daemon refused: {words}. Put the right user and password into a "
            "credential, and name that in the job.",
        )
    verdict = Verdict.TRANSIENT if _PASSING_REFUSAL in line else Verdict.FATAL
    return ExitMeaning(verdict, f"The rsync daemon refused: {words}.")


def _filled(sentence: str, match: re.Match[bytes]) -> str:
    words = shown_name(match.groupdict().get("words") or b"").strip().rstrip(".")
    filled = sentence.replace("{words}", words)
    return filled if filled.endswith(".") else f"{filled}."
