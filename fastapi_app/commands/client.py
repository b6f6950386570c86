"""Talking to the running server of a data directory."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import typer

from fastapi_app.commands.console import EXIT_FAILED, complain, fail, settings
from fastapi_app.data_directory import url_of_running_server
from storage.local_token import left_token

_TIMEOUT_SECONDS = 30.0
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: the server of this machine is spoken to without TLS, and httpx would read all of
the certificates of the machine first, which takes longer than most commands."""


class Refusal(Exception):
    """The server's word that something cannot be done; `faults` are fields with what is wrong."""

    def __init__(self, status: int, detail: str, faults: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.detail = detail
        self.faults = faults
        super().__init__(detail)

    def tell(self, about: str = "") -> None:
        """Say all of it, each line with what it is about."""
        head = f"{about}: " if about else ""
        for field, message in self.faults:
            complain(f"{head}{field}: {message}")
        complain(f"{head}{self.detail}")


def call(
    method: str, path: str, *, timeout: float | None = _TIMEOUT_SECONDS, **options: Any
) -> Any:
    """Return the JSON of an answer; says what is wrong and exits when there is none in time, which
    is in seconds, None for as long as it takes."""
    try:
        return ask(method, path, timeout=timeout, **options)
    except Refusal as refusal:
        refusal.tell()
        raise typer.Exit(EXIT_FAILED) from None


def ask(method: str, path: str, *, timeout: float | None = _TIMEOUT_SECONDS, **options: Any) -> Any:
    """Return the JSON of an answer, as `call` does, but raises Refusal when the server says no."""
    response = answer_of(method, path, timeout=timeout, **options)
    return response.json() if response.content else None


def answer_of(
    method: str, path: str, *, timeout: float | None = _TIMEOUT_SECONDS, **options: Any
) -> httpx.Response:
    """Return an answer as it came. Raises Refusal when the server says no."""
    response = send(method, f"/api/v1{path}", timeout=timeout, **options)
    if response.is_success:
        return response
    raise _refusal(response)


def send(
    method: str, path: str, *, timeout: float | None = _TIMEOUT_SECONDS, **options: Any
) -> httpx.Response:
    """Return the server's answer, whatever it says; exits when there is none in time."""
    base = _base()
    try:
        return httpx.request(
            method,
            f"{base}{path}",
            timeout=timeout,
            trust_env=False,
            verify=_NO_TLS,
            auth=_shown_token,
            **options,
        )
    except httpx.HTTPError as error:
        fail(f"The server at {base} does not answer: {error}")


def parts_of(path: str, **options: Any) -> Iterator[bytes]:
    """Yield an answer as it comes, however long that takes; says what is wrong and exits when the
    server says no."""
    base = _base()
    try:
        with httpx.stream(
            "GET",
            f"{base}/api/v1{path}",
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
            verify=_NO_TLS,
            auth=_shown_token,
            **options,
        ) as response:
            if not response.is_success:
                response.read()
                _refusal(response).tell()
                raise typer.Exit(EXIT_FAILED)
            yield from response.iter_bytes()
    except httpx.HTTPError as error:
        fail(f"The server at {base} does not answer: {error}")


def _shown_token(request: httpx.Request) -> httpx.Request:
    """Show the token that the server left for who can read its data directory."""
    token = left_token(settings().data_dir)
    if token is not None:
        request.headers["Authorization"] = f"Bearer {token}"
    return request


def _base() -> str:
    """Return where the server of the data directory is; exits when none runs."""
    configured = settings()
    base = url_of_running_server(configured.data_dir)
    if base is None:
        fail(
            f"No server runs on {configured.data_dir.absolute()}. Start one with `longshore serve` "
            "or set LONGSHORE_DATA_DIR."
        )
    return f"{base}{configured.root_path}"


def as_part(text: str) -> str:
    """Return a text as one part of a path: an id that a person typed leads nowhere else."""
    return quote(text, safe="")


def _refusal(response: httpx.Response) -> Refusal:
    try:
        problem = response.json()
    except ValueError:
        return Refusal(response.status_code, f"The server answered {response.status_code}.")
    faults = tuple((fault["field"], fault["message"]) for fault in problem.get("errors", []))
    detail = str(problem.get("detail", problem.get("title", response.status_code)))
    return Refusal(response.status_code, detail, faults)
