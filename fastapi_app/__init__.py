"""The outside: HTTP, WebSocket, pages and command line.

`create_app` makes the application; its lifespan composes the parts. `fastapi_app:app` is made when
it is asked for, for `uvicorn fastapi_app:app`.
"""

from __future__ import annotations

from typing import Any

from fastapi_app.application import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> Any:
    if name == "app":
        return create_app()
    raise AttributeError(name)
