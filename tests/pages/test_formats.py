from __future__ import annotations

import pytest

from keras_seqzoo.pages import formats


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(1234.5, 0, "1,234"), (0.004, 2, "<0.01"), (0.0, 2, "0"), (-0.0001, 3, "0.000"),
     (None, 1, "\N{EN DASH}"),
     (float("nan"), 1, "\N{EN DASH}"), (-2.5, 1, "\N{MINUS SIGN}2.5")],
)  # fmt: skip
def test_fixed(value, decimals, text):
    assert formats.fixed(value, decimals) == text


def test_decimals_are_as_few_as_the_column_needs():
    assert formats.decimals_for([2.6, 13.5, 109.4]) == 1
    assert formats.decimals_for([0.31, 4.2]) == 2
    assert formats.decimals_for([40.2, 4100.7]) == 0
    assert formats.decimals_for([3.0, 4.0, None]) == 0


def test_p_values_and_points():
    assert formats.p_value(0.0004).replace("\N{NO-BREAK SPACE}", " ") == "p < 0.001"
    assert formats.p_value(0.0041).replace("\N{NO-BREAK SPACE}", " ") == "p = 0.004"
    assert formats.p_value(0.214).replace("\N{NO-BREAK SPACE}", " ") == "p = 0.21"
    assert formats.points(-0.0123) == "\N{MINUS SIGN}1.2"
    assert formats.points(-0.0001) == formats.points(0.0001) == "0.0"


def test_durations():
    assert [formats.duration(s) for s in (1.26, 48, 720, 9000)] == [
        "1.3 s", "48 s", "12 min", "2.5 h",
    ]  # fmt: skip
