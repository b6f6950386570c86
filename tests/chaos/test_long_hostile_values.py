"""The long form of tests/integration/test_hostile_values.py: every value in each field, in full
alone; some twelve minutes."""

from __future__ import annotations

import pytest

from tests.integration import test_hostile_values as short

pytestmark = [pytest.mark.chaos, *short.pytestmark]

if short.IS_FULL:
    arena = short.arena
    nothing_around_changes = short.nothing_around_changes
    test_every_field_of_the_api = short.test_every_field_of_the_api
    test_each_value_in_a_field_by_itself = short.test_each_value_in_a_field_by_itself
    test_every_field_of_the_form = short.test_every_field_of_the_form
    test_names_in_the_tree = short.test_names_in_the_tree
    test_places = short.test_places
    test_names_of_remotes = short.test_names_of_remotes
    test_addresses = short.test_addresses
    test_job_files_edited_by_hand = short.test_job_files_edited_by_hand
