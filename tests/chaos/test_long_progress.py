"""The long form of tests/integration/test_progress.py: half a minute each, in full alone."""

from __future__ import annotations

import pytest

from tests.integration import test_progress as short

pytestmark = [pytest.mark.chaos, *short.pytestmark]

if short.IS_FULL:
    journals = short.journals
    test_percent_rises_to_a_hundred = short.test_percent_rises_to_a_hundred
    test_the_time_left_is_true = short.test_the_time_left_is_true
