"""Who gets in, opened with what it stands on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from core.access.registry import Access
from core.access.sessions import Sessions
from core.ports import ErrorLog
from fastapi_app.access_edits import AccessEdits
from fastapi_app.task_keeper import KeptWork
from fastapi_app.websocket.hub import Hub
from fastapi_app.websocket.live_access import LiveAccess
from models.error_event import Component, Fault, Severity
from storage.access_file import ACCESS_NAME, AccessFile
from storage.file_watch import FileWatch
from storage.local_token import leave_token, take_token_away
from storage.session_file import SessionFile
from storage.settings_store import SettingsStore
from utils.shown_names import shown_name

DAMAGED = "AccessFileDamaged"
_MAX_REASON = 600


@dataclass(frozen=True)
class AccessGround:
    """Who gets in, and whose live connections stay."""

    access: Access
    live: LiveAccess
    watch: KeptWork
    """Takes over what is changed in the file beside the server."""


async def open_access(
    data_dir: Path,
    store: SettingsStore,
    hub: Hub,
    error_log: ErrorLog,
    edits: AccessEdits,
    first_code: str,
    stack: AsyncExitStack,
    *,
    may_be_open: bool,
) -> AccessGround:
    """Open it. Raises InvalidDocument, StorageFailed: nobody gets in by damage."""
    sessions = Sessions(
        SessionFile(data_dir), idle_seconds=lambda: store.in_force.session_idle_hours * 3600
    )
    token = await asyncio.to_thread(leave_token, data_dir)
    stack.callback(take_token_away, data_dir)
    access = Access(
        AccessFile(data_dir), sessions, token, first_code=first_code, may_be_open=may_be_open
    )
    await access.open()
    access.on_damage = partial(_tell_of_damage, error_log)
    access.on_hand_edit = edits.edited
    if access.was_edited_away:
        edits.edited_while_away()
    _tell_of_damage(error_log, None)  # It is whole, or this would not go on.
    stack.push_async_callback(sessions.close)
    live = LiveAccess(hub)
    access.on_change = live.look_again
    hub.on_ping = live.look_again
    watch = FileWatch(data_dir, ACCESS_NAME, access.reload)
    return AccessGround(access, live, KeptWork("access-watch", Component.STORAGE, watch.run))


def _tell_of_damage(error_log: ErrorLog, reason: str | None) -> None:
    # Also when it is damaged in another way by now: of the two one holds.
    error_log.settle(error_type=DAMAGED, job_id=None)
    if reason is None:
        return
    shown = shown_name(reason.encode("utf-8", "backslashreplace"))[:_MAX_REASON]
    error_log.report(
        Fault(
            severity=Severity.HIGH,
            component=Component.STORAGE,
            error_type=DAMAGED,
            message=f"{ACCESS_NAME} cannot be used: {shown.rstrip('.')}. Whoever could get in "
            "before still can, and nobody else; after a restart nobody gets in until the file is "
            "mended.",
            details={"reason": shown},
        )
    )
