"""What tests of plots look at: whether anything is drawn, and what."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.support import wait_until

_INK = """(id) => {
  const canvas = document.querySelector(`#${id}-area canvas`);
  if (!canvas || !canvas.width) return null;
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let pixels = 0;
  for (let at = 3; at < data.length; at += 4) pixels += data[at] > 0;
  return pixels;
}"""
_PIXELS = "(id) => document.querySelector(`#${id}-area canvas`)?.toDataURL()"
_HAS_COLOUR = """([id, token]) => {
  const canvas = document.querySelector(`#${id}-area canvas`);
  if (!canvas || !canvas.width) return false;
  const wanted = getComputedStyle(document.documentElement).getPropertyValue(`--${token}`).trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(wanted.slice(at, at + 2), 16));
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < data.length; at += 4) {
    const isWanted = data[at] === r && data[at + 1] === g && data[at + 2] === b;
    if (isWanted && data[at + 3] === 255) return true;
  }
  return false;
}"""


def wait_for_ink(page: Page, plot: str) -> int:
    """Wait until something is drawn in a plot; returns how many pixels of it are not blank."""
    return int(wait_until(lambda: page.evaluate(_INK, plot), what=f"something drawn in {plot}"))


def pixels_of(page: Page, plot: str) -> str:
    """Return the picture that a plot shows."""
    return str(page.evaluate(_PIXELS, plot))


def has_colour(page: Page, plot: str, token: str) -> bool:
    """Whether any pixel of a plot has the colour of a token, as the scheme is now."""
    return bool(page.evaluate(_HAS_COLOUR, [plot, token]))
