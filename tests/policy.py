"""What the Content-Security-Policy of every answer has to say."""

from __future__ import annotations

from collections.abc import Mapping

# Of the design, word for word: what the application says of itself is what is tested.
_POLICY = {
    "default-src": "'self'",
    "script-src": "'self'",
    "style-src": "'self'",
    "frame-ancestors": "'none'",
}
_KEYWORDS = frozenset({"'self'", "'none'"})


def fault_of_policy(headers: Mapping[str, str]) -> str | None:
    """Return what is wrong with the Content-Security-Policy of an answer, None when it is right."""
    policy = headers.get("content-security-policy")
    if policy is None:
        return "there is none"
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    wrong = [name for name, sources in _POLICY.items() if directives.get(name) != sources]
    wrong += [name for name, sources in directives.items() if set(sources.split()) - _KEYWORDS]
    return f"{', '.join(wrong)} in: {policy}" if wrong else None
