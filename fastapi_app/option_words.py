"""What a job's page says of the options that are not as they are in a new job."""

from __future__ import annotations

from typing import NamedTuple

from models.job import Job, RetryPolicy
from models.job_options import JobOptions
from utils.durations import in_words

_LABELS = {
    "keep_replaced": "Keeps what is replaced",
    "extra_args": "Extra arguments",
    "timeout_seconds": "Timeout in seconds",
    "credential": "Credential",
    "hard_links": "Keeps hard links",
    "acls": "Copies ACLs",
    "xattrs": "Copies extended attributes",
    "ssh_identity": "SSH key",
    "ssh_host_keys": "Unknown SSH hosts",
    "transfers": "Transfers at once",
    "checkers": "Checkers at once",
    "source_marker": "Marker in the source",
    "source_mount": "Mount of the source",
    "destination_mount": "Mount of the destination",
}


class OptionWords(NamedTuple):
    """One option of a job, for people."""

    label: str
    value: str


def job_options_in_words(job: Job) -> tuple[OptionWords, ...]:
    """Return the options, delays and tags that differ from those of a new job."""
    usual = JobOptions()
    words = [
        OptionWords(label, _in_words(getattr(job.options, name)))
        for name, label in _LABELS.items()
        if getattr(job.options, name) != getattr(usual, name)
    ]
    first, longest = job.retry.first_delay_seconds, job.retry.max_delay_seconds
    usual_retry = RetryPolicy()
    if (first, longest) != (usual_retry.first_delay_seconds, usual_retry.max_delay_seconds):
        words.append(OptionWords("Delays of attempts", f"{first:g} s, at most {longest:g} s"))
    within = job.monitoring.success_within_seconds
    if within is not None:
        words.append(OptionWords("Expects a success within", in_words(within)))
    if job.monitoring.ping is not None:
        words.append(OptionWords("Pings", job.monitoring.ping))
    if job.tags:
        words.append(OptionWords("Tags", ", ".join(job.tags)))
    return tuple(words)


def _in_words(value: object) -> str:
    if value is True:
        return "yes"
    if value == "accept_new":
        return "accepted and remembered"
    return " ".join(value) if isinstance(value, tuple) else str(value)
