"""Talking to the running server of a data directory."""

from __future__ import annotations

from typing import Any, NoReturn
from urllib.parse import quote

import httpx

from fastapi_app.commands.console import complain, fail, settings
from fastapi_app.data_directory import url_of_running_server

_TIMEOUT_SECONDS = 30.0


def call(
    method: str, path: str, *, timeout: float | None = _TIMEOUT_SECONDS, **options: Any
) -> Any:
    """Return the JSON of an answer; says what is wrong and exits when there is none in time, which
    is in seconds, None for as long as it takes."""
    configured = settings()
    base = url_of_running_server(configured.data_dir)
    if base is None:
        fail(
            f"No server runs on {configured.data_dir.absolute()}. Start one with `longshore serve` "
            "or set LONGSHORE_DATA_DIR."
        )
    try:
        response = httpx.request(
            method,
            f"{base}{configured.root_path}/api/v1{path}",
            timeout=timeout,
            trust_env=False,
            **options,
        )
    except httpx.HTTPError as error:
        fail(f"The server at {base} does not answer: {error}")
    if response.is_success:
        return response.json() if response.content else None
    return _explain(response)


def as_part(text: str) -> str:
    """Return a text as one part of a path: an id that a person typed leads nowhere else."""
    return quote(text, safe="")


def _explain(response: httpx.Response) -> NoReturn:
    try:
        problem = response.json()
    except ValueError:
        fail(f"The server answered {response.status_code}.")
    for fault in problem.get("errors", []):
        complain(f"{fault['field']}: {fault['message']}")
    fail(str(problem.get("detail", problem.get("title", response.status_code))))
