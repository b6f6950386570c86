"""The long form of what tests/integration/test_dry_run.py tries of states, in full alone."""

from __future__ import annotations

import pytest

from tests.integration import test_dry_run as short

pytestmark = [pytest.mark.chaos, *short.pytestmark]

if short.IS_FULL:
    slow_rsync = short.slow_rsync
    test_whatever_ends_a_dry_run_the_job_is_what_it_was = (
        short.test_whatever_ends_a_dry_run_the_job_is_what_it_was
    )
