"""Proves what a notification rule may say, whom it is for, in which words, and where a message may
go."""

from __future__ import annotations

from itertools import product
from typing import Any

import apprise
import pytest
from apprise.utils.parse import parse_url

from core.notifying.addresses import address_fault, ping_address, ping_fault, scheme_of
from core.notifying.messages import Gathered, message_of
from core.notifying.sender import be_patient
from models.error_event import Severity
from models.notifications import (
    DEFAULT_BODY,
    MAX_BODY,
    MAX_TITLE,
    Happened,
    NotificationRule,
    Occasion,
    filled,
    rule_of,
    wants,
)

VALUES = {"name": "Mail", "target": "mail"}


def a_rule(**fields: Any) -> NotificationRule:
    """Return a rule."""
    return NotificationRule.model_validate(VALUES | {"name": "mail"} | fields)


def test_a_template_replaces_known_names_alone_and_nothing_twice() -> None:
    values = {"job_name": "{message} 100% {0}", "message": "x"}
    assert filled("{job_name}: {{{message}}} {outcome}", values) == "{message} 100% {0}: {x} –"


@pytest.mark.parametrize(
    "template",
    ["{job_name.__class__}", "{0}", "{}", "{job_name!r}", "{job_name:>9}", "{secret}", "a } b"],
)
def test_what_a_template_does_not_know_is_a_fault(template: str) -> None:
    for field in ("title", "body"):
        rule, faults = rule_of(VALUES | {field: template})
        assert rule is None
        assert [fault.field for fault in faults] == [field]


def test_every_fault_is_told_at_once() -> None:
    rule, faults = rule_of(
        {"name": "a b", "target": "", "events": ["nonsense"], "digest_seconds": -1, "x": 1}
    )
    assert rule is None
    assert {fault.field.partition(".")[0] for fault in faults} == {
        *("name", "target", "events", "digest_seconds", "x")
    }


def test_an_empty_template_is_the_default_and_events_have_an_order() -> None:
    rule = a_rule(body=" \r\n", events=["error", "run_failed", "error"])
    assert rule.body == DEFAULT_BODY
    assert rule.events == (Occasion.RUN_FAILED, Occasion.ERROR)


@pytest.mark.parametrize(
    ("chosen", "job_id", "tags", "is_wanted"),
    [
        ({}, "a", (), True),
        ({}, None, (), True),
        ({"jobs": ["a"]}, "a", (), True),
        ({"jobs": ["a"]}, "b", ("x",), False),
        ({"jobs": ["a"], "tags": ["x"]}, "b", ("x",), True),
        ({"tags": ["x"]}, None, (), False),
        ({"enabled": False}, "a", (), False),
        ({"events": ["error"]}, "a", (), False),
    ],
)
def test_a_rule_is_for_its_jobs_and_tags(
    chosen: dict[str, Any], job_id: str | None, tags: tuple[str, ...], is_wanted: bool
) -> None:
    happened = Happened("k", Occasion.RUN_FAILED, {}, job_id, tags)
    assert wants(a_rule(**chosen), happened) is is_wanted


def test_an_error_is_told_from_a_severity_on_and_not_to_the_target_it_is_about() -> None:
    rule = a_rule(events=["error"], minimum_severity="high")
    for severity in Severity:
        event = Happened("k", Occasion.ERROR, {}, severity=severity)
        assert wants(rule, event) is (severity in {Severity.HIGH, Severity.CRITICAL})
    high = Severity.HIGH
    assert not wants(rule, Happened("k", Occasion.ERROR, {}, severity=high, about_target="mail"))
    assert wants(rule, Happened("k", Occasion.ERROR, {}, severity=high, about_target="other"))


def test_twenty_failures_are_one_message_with_a_line_for_each() -> None:
    twenty = [Gathered(Occasion.RUN_FAILED, f"Job {n} failed", f"why {n}\nmore") for n in range(20)]
    message = message_of([*twenty, Gathered(Occasion.RUN_COMPLETED, "Job 20", "")])
    assert message.title == "21 notifications: Run failed × 20, Run completed × 1"
    assert message.body.splitlines()[3] == "• Job 3 failed – why 3"
    assert len(message.body.splitlines()) == 21
    assert message.type == "failure"


def test_one_thing_is_told_in_its_own_words_and_nothing_is_longer_than_it_may_be() -> None:
    assert message_of([Gathered(Occasion.JOB_RECOVERED, "t", "b")]) == ("t", "b", "success")
    many = [Gathered(Occasion.RUN_WARNING, "t" * 300, "b" * 5000)] * 70
    message = message_of(many)
    assert len(message.title) <= MAX_TITLE
    assert len(message.body) <= MAX_BODY
    short = message_of([Gathered(Occasion.RUN_PAUSED, "t", "")] * 70)
    assert short.body.splitlines()[50:] == ["… and 20 more"]
    assert short.type == "info"


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("file:///etc/passwd", "stays on this machine"),
        ("SYSLOG://", "stays on this machine"),
        ("dbus://", "stays on this machine"),
        ("mailto", "scheme"),
        ("", "scheme"),
        ("fcm://p@k/d?keyfile=/etc/shadow", "keyfile"),
        ("vapid://a@b?SubFile=/x", "subfile"),
        ("slack://a/b/c?template=/etc/passwd", "template"),
        ("slack://a/b/c?template=%252Fetc%252Fpasswd", "template"),
        ("mailtos://u:p@h?to=a@b.c;pgpkey=/etc/passwd", "pgpkey"),
        ("vapid://a@b?a=b;keyfile=/x", "keyfile"),
        ("mailto://u:p@h\n?x", "control"),
    ],
)
def test_what_stays_here_or_reads_files_is_no_address(address: str, word: str) -> None:
    fault = address_fault(address)
    assert fault is not None
    assert word in fault


@pytest.mark.parametrize("before", ["", "a=b&", "a=b;", "a;", "&&;", "a=%3F?b&", "a=1&amp;"])
def test_a_parameter_that_reads_a_file_is_found_wherever_apprise_finds_it(before: str) -> None:
    around = ("{}", "%20{}", "{}%20", "{}+", " {}", "\xa0{}", "%C2%A0{}")
    names = ("pgpkey", "pgp%6Bey", "PgpKey", "template")
    for sign, space, name in product(("", "+", "-", ":", "%2B"), around, names):
        address = f"json://h/p?{before}{sign}{space.format(name)}=/etc/passwd"
        parsed = parse_url(address)  # type: ignore[no-untyped-call]
        found = {key for part in ("qsd", "qsd+", "qsd-", "qsd:") for key in parsed[part]}
        assert sign or {"pgpkey", "template"} & found
        assert address_fault(address) is not None, address


@pytest.mark.parametrize(
    "address",
    ["mailtos://me:pw@example.org", "json://h/p", "https://hooks.slack.com/x?template=id1"],
)
def test_what_tells_somebody_elsewhere_is_one(address: str) -> None:
    assert address_fault(address) is None
    assert scheme_of(address) == address.partition(":")[0]


@pytest.mark.parametrize(("more", "seconds"), [("", 25.0), ("?rto=7", 7.0)])
def test_a_service_has_longer_to_answer_than_apprise_gives_it(more: str, seconds: float) -> None:
    base: Any = apprise.URLBase
    plugin = base(**base.parse_url(f"json://h/p{more}"))
    be_patient(plugin)
    assert plugin.request_timeout == (4.0, seconds)


@pytest.mark.parametrize(
    "address", ["ftp://h/x", "https:///x", "http://h:x/", "http://h/a b", "h", "http://[x/"]
)
def test_a_ping_goes_to_the_web_alone(address: str) -> None:
    assert ping_fault(address) is not None


def test_the_step_of_a_ping_stands_behind_its_path() -> None:
    assert ping_fault("https://hc-ping.com/uuid") is None
    assert ping_address("https://h/u/", "start") == "https://h/u/start"
    assert ping_address("https://h/u?a=1#x", "fail") == "https://h/u/fail?a=1"
    assert ping_address("https://h/u", "") == "https://h/u"
