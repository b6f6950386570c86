"""The folder browser on disks that may not answer: it says so, and keeps nobody waiting."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from core.allowed_roots import Roots, silence_words
from core.patience import ask, there_now
from core.questions import Questions
from core.real_paths import Touch
from fastapi_app.folders import FolderView, folder_within, silent_folder, view_roots
from models.errors import NoAnswer

Look = Callable[[Touch], FolderView | None]


async def browse(questions: Questions, field: str, typed: str, roots: Roots) -> FolderView:
    """Return the folder at a typed path, or the nearest one above it; the allowed folders where
    that is none of them."""
    look = partial(folder_within, field, typed, roots)
    try:
        found = await _asked(questions, look, again=bool(roots))
    except NoAnswer as error:
        return silent_folder(field, typed, silence_words(error, roots), has_roots=bool(roots))
    if found is not None:
        return found
    return view_roots(field, roots, await there_now(questions, roots or ()))


async def _asked(questions: Questions, look: Look, *, again: bool) -> FolderView | None:
    try:
        return await ask(questions, look)
    except NoAnswer:
        # Which may have been that of another allowed folder: that it hangs is known by now.
        if not again:
            raise
        return await ask(questions, look)
