"""Proves that a job's page tells the options that are not as they are in a new job."""

from __future__ import annotations

from fastapi_app.option_words import job_options_in_words
from tests.fakes.builders import a_job


def test_a_plain_job_has_nothing_to_tell() -> None:
    assert job_options_in_words(a_job()) == ()


def test_what_was_chosen_is_told() -> None:
    job = a_job(
        options={"hard_links": True, "extra_args": ["--sparse", "--fuzzy"], "timeout_seconds": 30},
        retry={"first_delay_seconds": 2.5},
        tags=["home", "nas"],
    )
    assert job_options_in_words(job) == (
        ("Extra arguments", "--sparse --fuzzy"),
        ("Timeout in seconds", "30"),
        ("Keeps hard links", "yes"),
        ("Delays of attempts", "2.5 s, at most 60 s"),
        ("Tags", "home, nas"),
    )
