"""What rclone's messages mean where its exit code does not say it: for the whole attempt, or for
one file. All of them as version 1.75 writes them."""

from __future__ import annotations

import re

from core.engines.base import DISK_FULL, ExitMeaning, Verdict
from utils.shown_names import shown_name

_NO_REMOTE = r"didn't find section in config file \(\"(?P<name>.*?)\"\)"
_UNREADABLE = r"(?s)^Failed to load config file \".*?\": (?P<why>.*)$"
_PATH = r"/\S+"
_MISSING = "file not in "
_LONGEST_SHOWN = 300

NEEDS_PASSWORD = ExitMeaning(
    Verdict.FATAL,
    "rclone's configuration is encrypted, and this job has no password for it: name a credential "
    "that holds the password.",
)
WRONG_PASSWORD = ExitMeaning(
    Verdict.FATAL,
    "The password does not open rclone's configuration: look at the job's credential.",
)
NO_SUCH_TYPE = ExitMeaning(
    Verdict.FATAL, "The remote has a type in rclone's configuration that this rclone has not."
)
ACCESS_REFUSED = ExitMeaning(
    Verdict.FATAL,
    "The remote refused the user, the password or the key that rclone's configuration has for it.",
)
UNKNOWN_HOST_KEY = ExitMeaning(
    Verdict.FATAL,
    "The host's key is not the one that is known of it, or not known at all: see to the remote's "
    "known_hosts_file.",
)
NOT_ALLOWED = ExitMeaning(Verdict.FATAL, "The destination cannot be written: permission denied.")
CANNOT_KEEP = ExitMeaning(
    Verdict.FATAL,
    "This remote can neither move nor copy files by itself, so that what is replaced cannot be "
    "kept: switch “keep replaced files” off.",
)
NO_ANSWER = ExitMeaning(Verdict.TRANSIENT, "The remote did not answer, or the connection broke.")
FILE_OR_NO_ANSWER = ExitMeaning(
    Verdict.TRANSIENT,
    "rclone takes the folder at the remote for a file: either it is one, or the remote did not "
    "answer, or it refused the keys.",
)
LIMIT_OF_DELETIONS = ExitMeaning(
    Verdict.PARTIAL, "The limit of deletions was reached: some files were kept."
)

_OF_ALL = (
    (("not allowed to ask for password",), NEEDS_PASSWORD),
    (("unable to decrypt configuration", "couldn't decrypt configuration"), WRONG_PASSWORD),
    (("didn't find backend called",), NO_SUCH_TYPE),
    (("doesn't support server-side move",), CANNOT_KEEP),
    (("--max-delete threshold",), LIMIT_OF_DELETIONS),
    (("is a file not a directory",), FILE_OR_NO_ANSWER),
)
_NO_ROOM = (
    "no space left on device",
    "too big for remaining disk space",
    "disk quota exceeded",
    "quota exceeded",
    "storagequotaexceeded",
    "insufficient storage",
    "insufficient space",
)
_REFUSED = (
    "401 unauthorized",
    "403 forbidden",
    "statuscode: 401",
    "statuscode: 403",
    "invalidaccesskeyid",
    "signaturedoesnotmatch",
    "accessdenied",
    "access denied",
    "expiredtoken",
    "unable to authenticate",
    "authentication failed",
    "login incorrect",
    "invalid_grant",
    "couldn't fetch token",
)
_HOST_KEY = ("knownhosts: key", "host key mismatch")
_PASSING = (
    "timeout",
    "timed out",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "connection lost",
    "connection closed",
    "broken pipe",
    "unexpected eof",
    ": eof",
    "use of closed network connection",
    "network is unreachable",
    "no route to host",
    "no such host",
    "server misbehaving",
    "temporary failure in name resolution",
    "too many requests",
    "slowdown",
    "statuscode: 429",
    "statuscode: 50",
    "500 internal server error",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway",
)
_DENIED = ("permission denied", "read-only file system", "operation not permitted")
_OF_SOURCE = ("failed to open source object", "failed to open directory")


def meaning_of_file(message: str) -> ExitMeaning | None:
    """Return what the reason for which a file failed means for the attempt, or None when it is the
    file's own: DISK_FULL, ACCESS_REFUSED, NOT_ALLOWED, NO_ANSWER, LIMIT_OF_DELETIONS."""
    # Where something lies is no reason, whatever the folders are called.
    text = re.sub(_PATH, "", message).lower()
    if text.startswith(_MISSING):
        return None
    if _has(text, ("--max-delete threshold",)):
        return LIMIT_OF_DELETIONS
    if _has(text, _NO_ROOM):
        return DISK_FULL
    if _has(text, _HOST_KEY):
        return UNKNOWN_HOST_KEY
    if _has(text, _REFUSED):
        return ACCESS_REFUSED
    if _has(text, _DENIED):
        return None if _has(text, _OF_SOURCE) else NOT_ALLOWED
    return NO_ANSWER if _has(text, _PASSING) else None


def meaning_of_all(message: str) -> ExitMeaning | None:
    """Return what a message about the whole attempt means, or None when it says nothing new."""
    unknown = re.search(_NO_REMOTE, message)
    if unknown:
        name = shown_name(unknown["name"].encode("utf-8", errors="replace"))
        return ExitMeaning(
            Verdict.FATAL,
            f"rclone's configuration has no remote “{name}”: make it with `rclone config`, or "
            "choose another one.",
        )
    text = message.lower()
    for words, meaning in _OF_ALL:
        if _has(text, words):
            return meaning
    unreadable = re.search(_UNREADABLE, message)
    if unreadable:
        return ExitMeaning(
            Verdict.FATAL, f"rclone's configuration cannot be read: {_shown(unreadable['why'])}."
        )
    return meaning_of_file(message)


def last_words(message: str) -> ExitMeaning:
    """Return the meaning of a message after which rclone ends at once."""
    return meaning_of_all(message) or ExitMeaning(
        Verdict.FATAL, f"rclone could not begin: {_shown(message)}."
    )


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text for word in words)


def _shown(message: str) -> str:
    plain = shown_name(message.encode("utf-8", errors="replace"))
    return plain[:_LONGEST_SHOWN].rstrip(" .")
