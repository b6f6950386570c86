"""How severities and components are called and shown."""

from __future__ import annotations

from dataclasses import dataclass

from models.error_event import Component, Severity

SEVERITIES = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)
"""The worst first."""
_SEVERITY_WORDS = {
    Severity.LOW: "Low",
    Severity.MEDIUM: "Medium",
    Severity.HIGH: "High",
    Severity.CRITICAL: "Critical",
}
_SEVERITY_ICONS = {
    Severity.LOW: "info",
    Severity.MEDIUM: "circle",
    Severity.HIGH: "triangle-alert",
    Severity.CRITICAL: "circle-x",
}
_COMPONENT_WORDS = {
    Component.JOB_MANAGER: "Job manager",
    Component.BACKGROUND_MONITOR: "Monitor",
    Component.WEBSOCKET: "Live updates",
    Component.STORAGE: "Storage",
    Component.ENGINE: "Engine",
    Component.EXECUTOR: "Executor",
    Component.UI: "Pages",
    Component.API: "API",
    Component.NOTIFICATIONS: "Notifications",
}


@dataclass(frozen=True)
class SeverityView:
    """A severity as shape, word and colour: `key` is the CSS modifier, `icon` a sprite symbol."""

    key: str
    word: str
    icon: str


def severity_view(severity: Severity) -> SeverityView:
    """Return how a severity is shown."""
    return SeverityView(severity.value, _SEVERITY_WORDS[severity], _SEVERITY_ICONS[severity])


def component_word(component: Component) -> str:
    """Return how a component is called."""
    return _COMPONENT_WORDS.get(component) or component.value.replace("_", " ").capitalize()
