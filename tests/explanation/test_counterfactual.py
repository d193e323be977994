"""The smallest deletion that changes an answer."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from black_boxes import BlackBox, additive, containing, labelling, numbering, weighed

from keras_seqzoo.explanation.counterfactual import counterfactual
from keras_seqzoo.explanation.explain import explain


def smallest_size(model: BlackBox, words: list[str]) -> int | None:
    """By trying everything."""
    before = model.probability(" ".join(words)) > 0.5
    for size in range(1, len(words)):
        for gone in combinations(range(len(words)), size):
            left = " ".join(w for i, w in enumerate(words) if i not in gone)
            if (model.probability(left) > 0.5) != before:
                return size
    return None


@pytest.mark.parametrize(
    ("groups", "text", "removed"),
    [
        ([["good"]], "a good film", ["good"]),
        ([["good"], ["great"]], "a good and great film", ["good", "great"]),
        ([["a"], ["b"], ["c"]], "x a b c y", ["a", "b", "c"]),
    ],
)
def test_deletions_that_must_be_found(groups: Any, text: str, removed: list[str]) -> None:
    model = containing(*groups)
    found = counterfactual(model, text)
    assert found is not None
    assert found.tokens == removed
    assert found.is_smallest
    assert (found.before, found.label) == ("pos", "neg")
    assert (found.before_probability, found.probability) == (pytest.approx(0.9),) * 2
    assert model.predict([found.text_left])[0].argmax() == 0
    assert found.evaluations <= len(model.asked)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("budget", [10, 40, 5000])
def test_what_is_said_to_be_smallest_is(seed: int, budget: int) -> None:
    random = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(9)]
    model = additive(dict(zip(words, random.uniform(-0.1, 0.12, 9), strict=True)), base=0.47)
    found = counterfactual(model, " ".join(words), max_evaluations=budget)
    size = smallest_size(model, words)
    if budget == 5000:
        assert (None if found is None else len(found.removed)) == size
    if found is None:
        assert budget < 5000 or size is None
        return
    assert found.label != found.before
    assert model.predict([found.text_left])[0].argmax() == model.classes.index(found.label)
    assert size is not None
    assert len(found.removed) >= size
    if found.is_smallest:
        assert len(found.removed) == size


def test_of_equals_the_strongest_is_taken() -> None:
    found = counterfactual(additive({"good": 0.1, "great": 0.3}, base=0.15), "good great film")
    assert found is not None
    assert found.tokens == ["great"]


def test_a_long_text_is_pruned_to_what_is_needed() -> None:
    words = [f"w{i}" for i in range(200)]
    model = containing(["w7"], ["w90"], ["w150"], ["w199"])
    found = counterfactual(model, " ".join(words), max_evaluations=3000)
    assert found is not None
    assert found.tokens == ["w7", "w90", "w150", "w199"]
    assert not found.is_smallest


def test_no_deletion() -> None:
    assert counterfactual(BlackBox(lambda text: 0.9), "a good film") is None
    assert counterfactual(containing(["good"], ["great"]), "good great x", max_removed=1) is None
    assert counterfactual(containing(["good"]), "good") is None
    assert counterfactual(containing(["good"]), "") is None


def test_of_an_explanation(tiny_model: Any) -> None:
    found = explain(tiny_model, "an awful film")[0].counterfactual(tiny_model)
    assert found is not None
    assert found.tokens == ["awful"]
    assert str(found).startswith("negative ")
    assert "the smallest deletion" in str(found)
    assert found.as_dict()["removed"] == ((3, 8),)


def test_tokens_of_both_texts_of_a_pair_may_go() -> None:
    model = BlackBox(lambda pair: 0.9 if weighed(pair, {"good": 1, "not": -1}) > 0 else 0.1)  # type: ignore[arg-type]
    found = counterfactual(model, ("a good film", "not so"))
    assert found is not None
    assert (found.text, found.removed) == ("a good film\nnot so", ((2, 6), (12, 15)))
    assert found.text_left == ("a film", "so")
    assert model.predict([found.text_left])[0].argmax() == 0


def test_a_label_goes_or_comes() -> None:
    model = labelling(kind={"good": 0.2, "rude": -0.2}, loud={"hey": 0.3}, dull={})
    found = counterfactual(model, "hey a good film")
    assert found is not None
    assert found.tokens == ["hey"]
    assert (found.before, found.label, found.target) == ("loud, kind", "kind", "loud")
    assert (found.before_probability, found.probability) == (pytest.approx(0.8), 0.5)
    assert str(found).startswith("loud 0.800 → 0.500 (loud, kind → kind) without 'hey'")
    found = counterfactual(model, "hey a good film", target="kind")
    assert found is not None
    assert (found.tokens, found.label) == (["good"], "loud")
    found = counterfactual(model, "good but rude")
    assert found is not None
    assert (found.before, found.label) == ("no label", "kind")
    assert counterfactual(model, "hey a good film", target="dull") is None


def test_a_number_moves_by_what_is_asked() -> None:
    model = numbering({"good": 12, "fine": 8, "bad": -15}, std=20)
    text = "good fine bad film"
    for change, removed in ((10, ["bad"]), (None, ["good", "fine"]), (15, ["bad"])):
        found = counterfactual(model, text, change=change)
        assert found is not None
        assert found.is_smallest
        assert found.tokens == removed, change
        assert abs(found.probability - found.before_probability) >= (change or 20)
    assert str(found).startswith("stars 55.0 → 70.0 without 'bad' (the smallest")
    assert counterfactual(model, text, change=21) is None
    found = counterfactual(model, text, target="price", change=24)
    assert found is not None
    assert (found.tokens, found.target, found.probability) == (["bad"], "price", 90)


def test_a_class_comes_or_goes() -> None:
    model = containing(["good"])
    for target in ("pos", "neg"):
        found = counterfactual(model, "a good film", target=target)
        assert found is not None
        assert (found.tokens, found.label, found.target) == (["good"], "neg", target)


@pytest.mark.parametrize("target", [None, "pos"])
def test_a_change_is_of_numbers_alone(target: str | None) -> None:
    with pytest.raises(ValueError, match=r"Leave `change` out.*change=0.5 for classes"):
        counterfactual(containing(["good"]), "good film", change=0.5, target=target)
    with pytest.raises(ValueError, match=r"Leave `change` out.*change=0.5 for labels"):
        counterfactual(labelling(kind={}), "good film", change=0.5)
    with pytest.raises(ValueError, match=r"Pass change=….*Received: change=None"):
        counterfactual(numbering({"good": 1}, std=0), "good film")


@pytest.mark.parametrize("change", [0, -1, True, "1", float("nan")])
def test_a_change_is_above_0(change: Any) -> None:
    with pytest.raises(ValueError, match="`change` must be a number above 0"):
        counterfactual(numbering({"good": 1}), "good film", change=change)


@pytest.mark.parametrize(
    "options", [{"max_removed": 0}, {"max_evaluations": 1.5}, {"unit": "x"}, {"target": "x"}]
)
def test_bad_options(options: Any) -> None:
    with pytest.raises(ValueError, match="Received"):
        counterfactual(containing(["good"]), "good film", **options)


@pytest.mark.parametrize("text", [["a"], ("a", None), ("a", "b", "c"), 7, None])
def test_the_text_must_be_one_string_or_pair(text: Any) -> None:
    with pytest.raises(TypeError, match=r"a string, or a pair \(first, second\). Received"):
        counterfactual(containing(["good"]), text)
