"""What a name may have been meant for."""

from __future__ import annotations

import pytest

from keras_seqzoo.names import choose_one, last_part, suggest


def test_case_does_not_hide_a_name() -> None:
    assert suggest("POSITVE", ["Positive", "Negative"]).startswith("Did you mean 'Positive'")
    assert suggest("zzz", ["Positive"]) == ""
    assert choose_one("zzz", ["b", "a"]) == "Choose one of: a, b. "


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("https://tfhub.dev/google/electra_small/2", "electra_small"),
        ("models\\tiny/", "tiny"),
        ("saved/reviews/12", "reviews"),
        ("12", "12"),
        ("gru", "gru"),
        ("/", "/"),
    ],
)
def test_last_part_is_no_version(name: str, part: str) -> None:
    assert last_part(name) == part
