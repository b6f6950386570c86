"""ssh://[user@]host[:port]/path: what a person may write, strictly."""

from __future__ import annotations

import re

from models.authority import climbs, expansion_fault, host_fault

FORM = "ssh://user@host/path"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")


def ssh_url_fault(url: str) -> str | None:
    """Return what is wrong with a text that begins with ssh://, or None.

    Percent signs stand for themselves.
    """
    authority, slash, path = url.partition("://")[2].partition("/")
    return _authority_fault(authority) or _path_fault(path if slash else None)


def _authority_fault(authority: str) -> str | None:
    user, has_user, host = authority.rpartition("@")
    if ":" in user:
        return (
            "A password must not stand in a location: the list of processes and the job’s file "
            "would show it. ssh uses a key: name its file in the options."
        )
    if has_user and not _USER.fullmatch(user):
        return f"A user’s name has letters, digits and “_.+-”, as in {FORM}."
    return host_fault(host, form=FORM, what="A location over ssh")


def _path_fault(path: str | None) -> str | None:
    if path is None:
        return f"Name the path on that host, from its root: {FORM}."
    if climbs(path):
        return "The path must not contain “..”: write where it really leads."
    return expansion_fault(path, who="rsync at the other end")
