"""Holds docs/hardening.md and SECURITY.md to what is there: the unit, the compose file, nginx's
site, settings, commands, and the tests that are said to guard."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from fastapi_app.cli import app
from models.setting_facts import AT_START, SAVED
from storage.yaml_documents import parse
from tests.support import PROJECT_ROOT
from tests.unit.test_command_line import commands

PAGE = PROJECT_ROOT / "docs" / "hardening.md"
SECURITY = PROJECT_ROOT / "SECURITY.md"
DEPLOY = PROJECT_ROOT / "deploy"
# What a service has whether or not anybody means harm.
PLAIN = {"Type", "User", "Group", "Environment", "EnvironmentFile", "WorkingDirectory", "ExecStart"}
PLAIN |= {"TimeoutStopSec", "Restart", "RestartSec"}


def table(heading: str) -> list[tuple[str, str]]:
    """The first column and the rest of each row below the row of headings."""
    text = PAGE.read_text(encoding="utf-8")
    rows = text.partition(f"\n| {heading} |")[2].split("\n")[2:]
    end = next(number for number, row in enumerate(rows) if not row.startswith("|"))
    cells = [row.strip("| ").partition(" | ") for row in rows[:end]]
    return [(first, rest) for first, _, rest in cells]


def code(text: str) -> list[str]:
    """What is set in the type of programs."""
    return re.findall(r"`([^`]+)`", text)


def options_of_the_unit() -> list[str]:
    """The options of the service, as they stand there."""
    text = (DEPLOY / "longshore.service").read_text(encoding="utf-8")
    service = text.partition("[Service]\n")[2].partition("\n[")[0]
    return re.findall(r"^(\w+=.*)$", service, re.MULTILINE)


def test_the_page_has_each_option_of_the_unit_and_no_other() -> None:
    told = [option for first, _ in table("in the unit") for option in code(first)]
    named = {option for option in options_of_the_unit() if option.partition("=")[0] not in PLAIN}
    assert sorted(told) == sorted(named)


def test_what_the_page_says_is_not_in_the_unit_is_not() -> None:
    left_out = {name for first, _ in table("not in the unit") for name in code(first)}
    text = (DEPLOY / "longshore.service").read_text(encoding="utf-8")
    assert {"PrivateTmp", "DynamicUser", "ProcSubset"} <= left_out
    assert not left_out & set(re.findall(r"^(\w+)=", text, re.MULTILINE))
    drop_in = PAGE.read_text(encoding="utf-8").partition("```ini\n")[2].partition("```")[0]
    assert not left_out & set(re.findall(r"^(\w+)=", drop_in, re.MULTILINE))


def test_the_page_has_each_key_of_the_compose_file_and_no_other() -> None:
    compose: dict[str, Any] = parse((DEPLOY / "compose.yaml").read_bytes(), "compose.yaml")
    service = compose["services"]["longshore"]
    told = [key for first, _ in table("in the compose file") for key in code(first)]
    assert sorted(told) == sorted(service)
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] in {True, "true"}
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert not service["user"].startswith(("0", "root"))
    (network,) = compose["networks"].values()
    text = PAGE.read_text(encoding="utf-8") + (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    trusted = set(re.findall(r"TRUSTED_PROXIES(?:`|: )[^\d\n]*(172[\d.]*\d)", text))
    assert trusted == {network["ipam"]["config"][0]["gateway"]}


def test_the_page_has_each_directive_of_the_site_that_guards() -> None:
    site = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    directives = set(re.findall(r"^ *#?([a-z]+(?:_[a-z]+)*) +\S.*;$", site, re.MULTILINE))
    told = [name for first, _ in table("directive") for name in code(first)]
    ordinary = {"listen", "server_name", "ssl_certificate", "ssl_certificate_key", "proxy_pass"}
    assert sorted(told) == sorted(directives - ordinary - {"default"})


def test_every_setting_and_command_of_the_page_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    known = {facts.variable for facts in (*SAVED.values(), *AT_START.values())}
    assert set(re.findall(r"LONGSHORE_[A-Z_]+", text)) <= known
    there = dict(commands(typer.main.get_command(app), "longshore"))
    called = re.findall(
        r"(?:^|[;`] ?|/bin/|exec longshore )(longshore [a-z]+(?: [a-z]+)?)([^;`#\n]*)",
        text,
        re.MULTILINE,
    )
    assert len(called) >= 12
    for words, rest in called:
        parts = words.split()
        (name,) = {" ".join(parts[:2]), words} & there.keys()
        options = {option for one in there[name].params for option in one.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, words


@pytest.mark.parametrize("page", [PAGE, SECURITY], ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert not target or (page.parent / target).exists(), target


def rows_of_threats() -> list[list[str]]:
    """The cells of each row of the tables in SECURITY.md."""
    text = SECURITY.read_text(encoding="utf-8").partition("## Threats\n")[2].partition("\n## ")[0]
    rows = [row.strip("| ").split(" | ") for row in text.splitlines() if row.startswith("| ")]
    return [row for row in rows if row[0] not in {"threat", "---"}]


@pytest.mark.parametrize("row", rows_of_threats(), ids=lambda row: row[0][:50])
def test_each_threat_has_a_guard_that_exists_or_says_why_not(row: list[str]) -> None:
    assert len(row) == 3, row
    named = code(row[2])
    assert named or row[2].startswith("not guarded: "), row
    for name in named:
        path, _, function = name.partition("::")
        file = PROJECT_ROOT / path
        assert file.is_file(), name
        tests = {
            node.name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
        }
        assert (function in tests) if function else tests, name
