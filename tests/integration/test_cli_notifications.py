"""Proves that notification rules are made, tested and deleted from the command line, and that an
address never is an argument."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.receivers import WebReceiver, a_web_receiver
from tests.integration.command_line import document, words
from tests.support import RunningServer

pytestmark = pytest.mark.integration


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with a_web_receiver() as receiver:
        yield receiver


def test_a_rule_is_made_changed_tested_and_deleted(server: RunningServer, web: WebReceiver) -> None:
    address = f"json://127.0.0.1:{web.port}/hidden\n"
    made = server.cli("notifications", "set", "hook", "--address", typed=address)
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == "hook: hook (json://…)"
    changed = document(
        *(server, "notifications", "set", "hook", "--event", "error", "--digest-seconds", "5"),
        *("--tag", "mine", "--disabled"),
    )
    assert (changed["events"], changed["digest_seconds"]) == (["error"], 5)
    assert "hook (off)" in words(server, "notifications", "list")
    assert document(server, "notifications", "show", "hook") == changed
    assert words(server, "notifications", "test", "hook").strip() == "It arrived."
    assert [one.path for one in web.requests] == ["/hidden"]
    web.status = 500
    refused = server.cli("notifications", "test", "hook")
    assert (refused.returncode, refused.stdout.strip()) == (1, "It answered with the status 500.")
    wrong = server.cli("notifications", "set", "hook", "--title", "{nonsense}")
    assert wrong.returncode == 1
    assert "title: “{nonsense}” is not known" in wrong.stderr
    assert document(server, "notifications", "deliveries")["total"] == 0
    assert server.cli("notifications", "delete", "hook").returncode == 0
    assert server.cli("notifications", "show", "hook").returncode == 1
