"""What commands that work on files write into the audit log."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from fastapi_app.commands.console import complain
from models.access import Role, Way
from models.audit import Action, NewAuditEntry
from models.errors import StorageFailed
from storage.audit_append import append
from utils.timestamps import utc_timestamp


def note(directory: Path, action: Action, details: Mapping[str, object]) -> None:
    """Note what was done, by the user of the machine who did it; never fails what was done."""
    entry = NewAuditEntry(
        time=utc_timestamp(),
        account=_user(),
        role=Role.ADMIN,
        way=Way.LOCAL,
        address="",
        action=action,
        details=details,
    )
    try:
        append(directory, entry)
    except StorageFailed as error:
        complain(f"It is done, but not in the audit log: {error}")


def _user() -> str:
    try:
        # Not by the environment, which whoever does it writes.
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
