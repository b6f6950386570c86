"""What a person prefers in one browser, kept there in a cookie."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

YEAR_SECONDS = 365 * 24 * 60 * 60


def remember(
    answer: Response, request: Request, root_path: str, name: str, value: str, seconds: int
) -> None:
    """Have the browser keep a value for so long; no script and no other site gets at it."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=root_path or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
