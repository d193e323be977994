"""Whether deleting what an explanation names lowers the answer more than deleting anything else."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from black_boxes import BlackBox, additive, negating, numbering

import keras_seqzoo as sz
from keras_seqzoo.explanation.explain import explain
from keras_seqzoo.explanation.faithfulness import faithfulness

WEIGHTS = {"good": 0.2, "bad": -0.2}


@pytest.fixture(scope="module")
def test_texts(tiny_table: Any) -> list[str]:
    """Longer texts than those that the model was trained on."""
    one, other = list(tiny_table.texts[:8]), list(tiny_table.texts[8:])
    return [f"{a}, and {b}" for part in (one, other) for a in part for b in part[:2] if a != b]


def test_of_an_additive_model_it_is_known() -> None:
    model = additive(WEIGHTS, base=0.5)
    explanations = explain(model, ["a good x y z", "u good v w t"], target="pos")
    table = faithfulness(model, explanations, share=[0.2, 1.0], draws=400)
    first, whole = (row for _, row in table.iterrows())
    assert first["comprehensiveness"] == pytest.approx(0.2)
    assert first["sufficiency"] == pytest.approx(0)
    assert first["comprehensiveness_random"] == pytest.approx(0.2 / 5, abs=0.02)
    assert first["sufficiency_random"] == pytest.approx(0.2 * 4 / 5, abs=0.02)
    assert whole["comprehensiveness"] == whole["comprehensiveness_random"] == pytest.approx(0.2)
    assert list(table["texts"]) == [2, 2]


def test_of_numbers_of_pairs_it_is_in_their_unit() -> None:
    model = numbering({"good": 10})
    explanations = explain(model, [("a good", "x y z"), ("u v w", "bad t")])
    [row] = faithfulness(model, explanations, share=0.2, draws=400).to_dict("records")
    assert row["comprehensiveness"] == pytest.approx(10 / 2)
    assert row["comprehensiveness_random"] == pytest.approx(10 / 2 / 5, abs=1)
    assert row["sufficiency"] == pytest.approx(0)


@pytest.mark.parametrize("method", ["occlusion", "shapley", "integrated_gradients"])
def test_top_words_beat_random_ones_over_a_test_set(
    tiny_model: Any, test_texts: list[str], method: str
) -> None:
    explanations = explain(tiny_model, test_texts, method, samples=16)
    table = faithfulness(tiny_model, explanations, share=(0.2, 0.5))
    deleted = table["comprehensiveness"] - table["comprehensiveness_random"]
    kept = table["sufficiency_random"] - table["sufficiency"]
    print(f"\n{table.to_string()}")
    assert (deleted > 2 * table["comprehensiveness_error"]).all()
    assert (kept > 3 * table["sufficiency_error"]).all()


def test_same_seed_same_figures() -> None:
    model = BlackBox(negating)
    explanations = explain(model, ["this is not a good film", "good but bad film"])
    a, b, c = (faithfulness(model, explanations, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(a, b)
    assert not a.equals(c)


def test_what_is_not_read_is_not_deleted(tiny_table: Any) -> None:
    model = sz.build_model("gru", tiny_table, units=4, embedding_dim=8, sequence_length=3)
    explanations = explain(model, ["a good film, a dull awful story"], target="positive")
    table = faithfulness(model, explanations, share=[1.0])
    fall = explanations[0].probability - explanations[0].base
    assert table["comprehensiveness"][0] == pytest.approx(fall, abs=1e-6)
    assert table["sufficiency"][0] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("share", [0, 1.5, [], [0.5, -1]])
def test_bad_shares(share: Any) -> None:
    model = additive(WEIGHTS)
    with pytest.raises(ValueError, match="Shares must lie"):
        faithfulness(model, explain(model, "good"), share=share)


def test_nothing_to_measure() -> None:
    model = additive(WEIGHTS)
    with pytest.raises(ValueError, match="Received: 0 such texts"):
        faithfulness(model, explain(model, ""))
    mixed = [*explain(model, "good"), *explain(model, "good", "shapley")]
    with pytest.raises(ValueError, match="methods \\['occlusion', 'shapley'\\]"):
        faithfulness(model, mixed)
