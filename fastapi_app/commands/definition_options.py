"""The options that make up a job's definition, declared once for `jobs create` and `jobs edit`.

Every value is text, as it was typed: the server validates it and tells all that is wrong at once.
An empty text takes a value away, `--exclude ""` all patterns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple

import typer

from fastapi_app.commands.console import fail
from models.job import JobDefinition


class _Option(NamedTuple):
    """One option, and where its value stands in a definition."""

    path: tuple[str, ...]
    help: str
    kind: Any = str


def _options_part(name: str, help_text: str, kind: Any = str) -> _Option:
    return _Option(("options", name), help_text, kind)


_LINES = list[str]
DECLARED: Mapping[str, _Option] = {
    "name": _Option(("name",), "What the job is called."),
    "engine": _Option(("engine",), "rsync or rclone."),
    "source": _Option(
        ("source",),
        "An absolute path, ssh://user@host/path, rsync://host/module/path or rclone://remote/path.",
    ),
    "destination": _Option(("destination",), "As with --source."),
    "exclude": _options_part("exclude", "A pattern to leave out; may be repeated.", _LINES),
    "include": _options_part("include", "A pattern to take all the same; repeatable.", _LINES),
    "bandwidth_limit": _options_part("bandwidth_limit", "Such as 500K or 10M."),
    "verification": _Option(("verification",), "off, fast or checksum."),
    "tag": _Option(("tags",), "A tag; may be repeated.", _LINES),
    "delete_extraneous": _options_part(
        "delete_extraneous", "Delete at the destination what is not in the source.", bool
    ),
    "max_delete": _options_part("max_delete", "Delete at most so many."),
    "keep_replaced": _options_part("keep_replaced", "Keep what is replaced or deleted.", bool),
    "timeout_seconds": _options_part("timeout_seconds", "How long the other side may be silent."),
    "credential": _options_part("credential", "The name of a credential."),
    "extra_arg": _options_part("extra_args", "An argument for the tool; repeatable.", _LINES),
    "hard_links": _options_part("hard_links", "rsync: keep hard links.", bool),
    "acls": _options_part("acls", "rsync: copy ACLs.", bool),
    "xattrs": _options_part("xattrs", "rsync: copy extended attributes.", bool),
    "ssh_identity": _options_part("ssh_identity", "rsync: the file of the private key."),
    "ssh_host_keys": _options_part("ssh_host_keys", "rsync: strict or accept_new."),
    "transfers": _options_part("transfers", "rclone: how many files at once."),
    "checkers": _options_part("checkers", "rclone: how many comparisons at once."),
    "source_marker": _options_part("source_marker", "A name that must be in the source."),
    "source_mount": _options_part("source_mount", "A mount point that must hold the source."),
    "destination_mount": _options_part(
        "destination_mount", "A mount point that must hold the destination."
    ),
    "max_attempts": _Option(("retry", "max_attempts"), "How often a run tries."),
    "first_delay_seconds": _Option(
        ("retry", "first_delay_seconds"), "The delay before the second attempt."
    ),
    "max_delay_seconds": _Option(("retry", "max_delay_seconds"), "The longest delay."),
    "success_within_seconds": _Option(
        ("monitoring", "success_within_seconds"),
        "The job is overdue when it has had no success for longer.",
    ),
    "ping": _Option(
        ("monitoring", "ping"), "The credential that holds the address to ping for each run."
    ),
    "delete_source": _Option(
        ("source_deletion", "enabled"), "Delete sources once their copies are proven.", bool
    ),
    "delete_source_mode": _Option(("source_deletion", "mode"), "verify_then_delete or per_file."),
    "delete_empty_directories": _Option(
        ("source_deletion", "delete_empty_directories"), "Delete emptied folders as well.", bool
    ),
    "trash_days": _Option(
        ("source_deletion", "trash_days"), "Keep deleted sources for so many days."
    ),
}
"""Every field of a definition, by the name of its option; a test holds it complete."""

Typed = Mapping[str, Any]
"""What was typed, by the names of DECLARED; None is what was not."""


def takes_definition(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; it gets those that were typed as `typed`."""

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in DECLARED}
        typed = {name: value for name, value in given.items() if value is not None}
        command(**arguments, typed=typed)

    own = inspect.signature(command, eval_str=True)
    parameters = [one for name, one in own.parameters.items() if name != "typed"]
    parameters += [_parameter(name, option) for name, option in DECLARED.items()]
    signature = own.replace(
        parameters=[one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    )
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in parameters}
    return with_options


def definition_in(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person decides of a job: the API's JSON without what the program decides."""
    return {name: job[name] for name in JobDefinition.model_fields}


def merged(definition: Mapping[str, Any], typed: Typed) -> dict[str, Any]:
    """Return a definition with what was typed put into it."""
    result = dict(definition)
    for name, value in typed.items():
        head, *rest = DECLARED[name].path
        meant = _meaning(value)
        if not rest:
            result[head] = meant if meant is not None else ""
            continue
        part = result.get(head, {})
        if not isinstance(part, dict):
            fail(f"{head}: This must be a mapping of keys to values.")
        others = {key: old for key, old in part.items() if key != rest[0]}
        result[head] = others if meant is None else {**part, rest[0]: meant}
    return result


def _meaning(value: Any) -> Any:
    if isinstance(value, list):
        return [text for text in value if text]
    return None if value == "" else value


def _parameter(name: str, option: _Option) -> inspect.Parameter:
    flag = f"--{name.replace('_', '-')}"
    names = (f"{flag}/--no-{flag.removeprefix('--')}",) if option.kind is bool else (flag,)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=typer.Option(None, *names, help=option.help),
        annotation=option.kind | None,
    )
