"""Proves what is logged of a request, and which id it has."""

from __future__ import annotations

import logging

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from fastapi_app.request_log import RequestLog
from utils.log_context import ids, note


async def _app(scope: Scope, _receive: Receive, send: Send) -> None:
    note(job_id=scope["path"].strip("/"))
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": str(dict(ids())).encode()})


async def _ask(*, is_wanted: bool, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(RequestLog(_app, is_wanted=is_wanted))
    async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
        return await client.get("/photos?q=secret", headers=headers)


async def test_a_request_is_logged_when_that_is_wanted_and_without_its_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "longshore.access")
    await _ask(is_wanted=False)
    assert "longshore.access" not in {record.name for record in caplog.records}
    await _ask(is_wanted=True)
    (record,) = (record for record in caplog.records if record.name == "longshore.access")
    assert record.getMessage().startswith("GET /photos 418 in ")
    assert "secret" not in record.getMessage()
    fields = vars(record)["fields"]
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/photos", 418)
    assert fields["milliseconds"] >= 0


@pytest.mark.parametrize(
    ("given", "is_taken"), [("proxy-1.A_b", True), ("", False), ("a b", False), ("x" * 65, False)]
)
async def test_each_request_has_an_id_of_its_own_or_a_sound_one_that_it_came_with(
    given: str, *, is_taken: bool
) -> None:
    note(job_id="of an earlier request", run_id="as well")
    answers = [await _ask(is_wanted=False, **{"X-Request-ID": given}) for _ in range(2)]
    told = [answer.headers["x-request-id"] for answer in answers]
    assert (told == [given, given]) == is_taken
    assert (told[0] != told[1]) == (not is_taken)
    assert answers[0].text == str({"request_id": told[0], "job_id": "photos"})
