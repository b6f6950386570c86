"""What a scraper reads in an answer of /metrics, by the client's own parsers."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

Series = tuple[str, ...]
"""A name, and labels as `name=value`, in their order."""


def families(text: str) -> Iterable[Metric]:
    """Return the families of the text format."""
    return text_string_to_metric_families(text)


def openmetrics_families(text: str) -> dict[str, Metric]:
    """Return the families of an answer in OpenMetrics; fails where it is none."""
    found = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {family.name: family for family in found}


def samples(text: str, *kinds: str) -> dict[Series, float]:
    """Return every sample of the text format, or those of some types."""
    return {
        series(sample.name, **sample.labels): float(sample.value)
        for family in families(text)
        for sample in family.samples
        if not kinds or family.type in kinds
    }


def series(name: str, **labels: str) -> Series:
    """Return what stands before a value."""
    return name, *(f"{label}={value}" for label, value in sorted(labels.items()))
