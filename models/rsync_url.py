"""rsync://host[:port]/module/path: what a person may write, strictly.

The daemon takes a location apart once more: it expands wildcards, splits it at a blank before the
module's name, and reads what begins with “-” behind the module as an option of its own. So what it
would not take as it is written is refused here; nothing is ever escaped.
"""

from __future__ import annotations

from models.authority import climbs, expansion_fault, host_fault

FORM = "rsync://host/module/path"
_DAEMON = "the daemon"


def rsync_url_fault(url: str) -> str | None:
    """Return what is wrong with a text that begins with rsync://, or None.

    Percent signs stand for themselves: rsync decodes nothing.
    """
    authority, _, rest = url.partition("://")[2].partition("/")
    module, _, path = rest.partition("/")
    return _authority_fault(authority) or _module_fault(module) or _path_fault(module, path)


def _authority_fault(authority: str) -> str | None:
    user, has_user, _ = authority.rpartition("@")
    if ":" in user:
        return (
            "A password must not stand in a location: the list of processes and the job’s file "
            "would show it. Name a credential in the options."
        )
    if has_user:
        return (
            "The user of an rsync module stands in a credential, with its password. "
            f"Write the location without “{user}@”, as {FORM}."
        )
    return host_fault(authority, form=FORM, what="A location on an rsync daemon")


def _module_fault(module: str) -> str | None:
    if not module:
        return f"Name the daemon’s module, and a path in it: {FORM}."
    if module.startswith(("-", "#")) or module in {".", ".."} or any(map(str.isspace, module)):
        return "The name of a module has no blanks and does not begin with “-” or “#”."
    return expansion_fault(module, who=_DAEMON)


def _path_fault(module: str, path: str) -> str | None:
    components = [component for component in path.split("/") if component]
    if climbs(path):
        return "The path must not contain “..”: write where it really leads."
    if components and components[0].startswith("-"):
        return (
            "The path within the module must not begin with “-”: the daemon would take it for an "
            "option."
        )
    if f" {module}/" in f"{path}/":
        return "The path must not repeat the module’s name after a blank: the daemon would cut it."
    return expansion_fault(path, who=_DAEMON)
