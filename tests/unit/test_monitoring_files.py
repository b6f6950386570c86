"""Proves that dashboard, alert rules and documentation of the monitoring speak of what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector

from fastapi_app.job_metrics import JobFigures, job_metrics
from fastapi_app.metrics import FiguresCollector
from models.job_snapshot import JobSnapshot
from tests.conftest import need
from tests.fakes.figures import some_figures
from tests.scraped import families
from tests.support import PROJECT_ROOT

DASHBOARD = PROJECT_ROOT / "docs" / "grafana-dashboard.json"
RULES = PROJECT_ROOT / "docs" / "alert-rules.yml"
GUIDE = PROJECT_ROOT / "docs" / "monitoring.md"
TESTS_OF_RULES = sorted(Path(__file__).parent.glob("*.test.yml"))
_NAME = re.compile(r"\b(?:longshore|process)_[a-z_]+\b")
_COLUMNS = 24


def known() -> dict[str, str]:
    """Return the name of every family that is told, with its type."""
    registry = CollectorRegistry()
    registry.register(FiguresCollector(some_figures()))
    ProcessCollector(registry=registry)
    text = generate_latest(registry).decode()
    text += job_metrics(JobFigures(JobSnapshot(), lambda _: None, (), 0))
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in families(text)
    }


def series() -> set[str]:
    """Return the name of every series that can be asked for."""
    found = set()
    for name, kind in known().items():
        suffixes = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        found |= {name + suffix for suffix in suffixes}
    return found


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def expressions() -> Iterator[str]:
    """Yield what the panels ask for."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def test_the_dashboard_asks_for_what_there_is() -> None:
    asked = {name for expression in expressions() for name in _NAME.findall(expression)}
    assert asked - series() == set()
    # And for all of it, of the application's own.
    own = {name for name in known() if name.startswith("longshore_")}
    unasked = [name for name in own if not any(one.startswith(name) for one in asked)]
    assert unasked == []


def test_the_dashboard_can_be_imported() -> None:
    document = dashboard()
    assert [one["name"] for one in document["__inputs"]] == ["DS_PROMETHEUS"]
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    used: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= _COLUMNS, panel["title"]
        assert not cells & used, panel["title"]
        used |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == "${DS_PROMETHEUS}"


def test_prometheus_understands_the_dashboards_questions(tmp_path: Path) -> None:
    rules = [
        {"record": f"asked:{number}", "expr": question}
        for number, expression in enumerate(expressions())
        if (question := re.sub(r"\$__rate_interval", "5m", expression))
    ]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert promtool("check", "rules", str(path)).returncode == 0


def test_the_alert_rules_go_by_what_there_is() -> None:
    document = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in _NAME.findall(rule["expr"])}
    assert asked
    assert asked - series() == set()
    tried = "".join(path.read_text(encoding="utf-8") for path in TESTS_OF_RULES)
    assert [rule["alert"] for rule in rules if rule["alert"] not in tried] == []


def test_each_alert_is_raised_when_it_should_be_and_not_before() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stderr + checked.stdout
    tried = promtool("test", "rules", *map(str, TESTS_OF_RULES))
    assert tried.returncode == 0, tried.stderr + tried.stdout


def test_the_guide_names_every_metric_with_its_type() -> None:
    rows = re.findall(
        r"^\| `(longshore_\w+)\S*` \| (\w+) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE
    )
    told = {name: kind for name, kind in known().items() if name.startswith("longshore_")}
    assert dict(rows) == told


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Prometheus' own tool."""
    path = shutil.which("promtool")
    need("promtool", path)
    assert path is not None
    return subprocess.run([path, *arguments], capture_output=True, text=True)
