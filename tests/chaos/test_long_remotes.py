"""The long form of tests/integration/test_rclone_remotes.py: each kind of server, in full alone."""

from __future__ import annotations

import os

import pytest

from tests.integration import test_rclone_remotes as short

pytestmark = pytest.mark.chaos

if os.environ.get("LONGSHORE_CHAOS") == "full":
    remotes = short.remotes
    test_a_copy_comes_back_from_a_remote = short.test_a_copy_comes_back_from_a_remote
    test_a_copy_that_rotted_is_found_by_contents = (
        short.test_a_copy_that_rotted_is_found_by_contents
    )
    test_what_is_replaced_is_kept = short.test_what_is_replaced_is_kept
