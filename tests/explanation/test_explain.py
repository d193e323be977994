"""Scores by removal, of formulas whose right explanation is known, and of a trained model."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from black_boxes import (
    BlackBox,
    TaskBox,
    additive,
    labelling,
    negating,
    numbering,
    weighed,
)
from scipy.stats import spearmanr

import keras_seqzoo as sz
from keras_seqzoo.explanation.explain import explain, share_out
from keras_seqzoo.explanation.words import word_spans

REMOVAL = ["occlusion", "shapley"]
METHODS = [*REMOVAL, "integrated_gradients"]
NASTY = [
    "I loved\r\nthe great \u0301film, שלום 不好 👩\u200d👩\u200d👧🇩🇪!",
    "\ud83d awful \x00 <b>bad</b>\u200b",
    " \t ",
    "",
]
SENTENCE = "this is not a good film about the good and bad side of film"


def shapley_by_definition(probability: Any, words: list[str]) -> np.ndarray:
    """The mean over all orders of what each word adds when it comes."""
    scores = np.zeros(len(words))
    orders = list(permutations(range(len(words))))
    for order in orders:
        for place, i in enumerate(order):
            before = " ".join(words[j] for j in sorted(order[:place]))
            after = " ".join(words[j] for j in sorted(order[: place + 1]))
            scores[i] += probability(after) - probability(before)
    return scores / len(orders)


@pytest.mark.parametrize("method", REMOVAL)
def test_scores_of_an_additive_model_are_its_weights(method: str) -> None:
    weights = {"good": 0.25, "bad": -0.2, "film": 0.05}
    e = explain(additive(weights), "a good bad film", method, target="pos")[0]
    np.testing.assert_allclose(e.scores, [0, 0.25, -0.2, 0.05], atol=1e-12)
    np.testing.assert_allclose(e.class_scores[:, 0], -e.scores, atol=1e-12)
    assert e.base == 0.5
    assert e.probability == pytest.approx(0.6)
    assert e.tokens == ["a", "good", "bad", "film"]


@pytest.mark.parametrize("words", ["good", "not good", "the film is not good bad"])
def test_shapley_of_few_words_is_the_mean_over_all_orders(words: str) -> None:
    model = BlackBox(negating)
    e = explain(model, words, "shapley", target="pos")[0]
    np.testing.assert_allclose(e.scores, shapley_by_definition(negating, words.split()), atol=1e-12)
    assert e.errors is None
    assert e.convergence == ((2 ** len(words.split()), 0.0),)
    assert len(model.asked) == len(set(model.asked))


def test_sampled_shapley_sums_up_and_is_as_near_as_it_says() -> None:
    few, many = (
        explain(BlackBox(negating), SENTENCE, "shapley", samples=n, tolerance=1e-9, target="pos")[0]
        for n in (64, 4000)
    )
    for e in (few, many):
        assert e.scores.sum() == pytest.approx(e.probability - e.base, abs=1e-12)
    assert many.errors.max() < few.errors.max() / 4
    assert np.all(np.abs(few.scores - many.scores) <= 4 * few.errors + 1e-12)
    efforts, errors = zip(*few.convergence, strict=True)
    assert list(efforts) == sorted(efforts)
    assert errors[-1] == few.errors.max()


def test_sampling_stops_at_the_tolerance() -> None:
    def evaluations(tolerance: float) -> int:
        model = BlackBox(negating)
        e = explain(model, SENTENCE, "shapley", tolerance=tolerance, samples=10_000)[0]
        assert e.errors.max() <= tolerance
        return len(model.asked)

    assert evaluations(0.05) < evaluations(0.005)


def test_same_seed_same_scores_whatever_the_company() -> None:
    texts = [SENTENCE, SENTENCE + " not", "good film"]
    together = explain(BlackBox(negating), texts, "shapley", seed=3, samples=32)
    alone = explain(BlackBox(negating), texts[1], "shapley", seed=3, samples=32)[0]
    other = explain(BlackBox(negating), texts[1], "shapley", seed=4, samples=32)[0]
    np.testing.assert_array_equal(together[1].scores, alone.scores)
    assert not np.array_equal(alone.scores, other.scores)


@pytest.mark.parametrize("method", REMOVAL)
def test_a_text_is_asked_once_and_batch_size_reaches_the_model(method: str) -> None:
    model = BlackBox(negating)
    explain(model, ["good good film", "good film", "good film"], method, batch_size=7)
    assert len(model.asked) == len(set(model.asked))
    assert model.batch_sizes == {7}


@pytest.mark.parametrize("method", REMOVAL)
def test_a_very_long_text_is_taken_in_groups(method: str) -> None:
    model = additive({"good": 1e-4, "bad": -1e-4})
    text = "good " * 700 + "bad " * 700
    e = explain(model, text, method, target="pos", samples=8)[0]
    assert len(e.scores) == 1400
    assert e.scores.sum() == pytest.approx(e.probability - e.base, abs=1e-9)
    assert e.scores[0] == pytest.approx(1e-4)
    assert "groups of neighbours" in e.note
    assert len(model.asked) < 3000


@pytest.mark.parametrize("unit", ["word", "token"])
@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
def test_spans_are_the_user_s_characters(tiny_model: Any, method: str, unit: str) -> None:
    for text, e in zip(NASTY, explain(tiny_model, NASTY, method, unit=unit), strict=True):
        assert e.text == text
        assert e.tokens == [text[start:end] for start, end in e.spans]
        assert all(a[1] <= b[0] for a, b in pairwise(e.spans))
        assert len(e.scores) == len(e.spans)
        assert np.isfinite(e.scores).all()
        if unit == "word":
            assert list(e.spans) == word_spans(text)
        else:
            assert bool(e.spans) == bool(text.strip())


@pytest.mark.parametrize("method", ["shapley", "integrated_gradients"])
def test_scores_sum_to_what_the_words_add(tiny_model: Any, tiny_table: Any, method: str) -> None:
    texts = [*tiny_table.texts, *NASTY, SENTENCE]
    for e in explain(tiny_model, texts, method, tolerance=0.003, batch_size=32):
        assert e.scores.sum() + e.rest == pytest.approx(e.probability - e.base, abs=0.003)


@pytest.mark.parametrize("method", METHODS)
def test_batch_size_changes_nothing(tiny_model: Any, tiny_table: Any, method: str) -> None:
    texts = [SENTENCE, *tiny_table.texts[:3]]
    one, many = (explain(tiny_model, texts, method, batch_size=n, samples=16) for n in (3, 256))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_words_that_decide_are_found(tiny_model: Any, method: str) -> None:
    positive, negative = explain(tiny_model, ["a good film", "an awful book"], method)
    assert (positive.target, negative.target) == ("positive", "negative")
    assert positive.tokens[positive.scores.argmax()] == "good"
    assert negative.tokens[negative.scores.argmax()] == "awful"


@pytest.mark.parametrize("method", METHODS)
def test_a_model_with_shuffled_weights_is_explained_otherwise(
    tiny_model: Any, tiny_table: Any, method: str
) -> None:
    shuffled = sz.build_model("gru", tiny_table, units=8, embedding_dim=16)
    random = np.random.default_rng(0)
    shuffled.set_weights([random.permuted(w) if w.ndim else w for w in tiny_model.get_weights()])
    trained, other = (
        np.concatenate([e.scores for e in explain(m, tiny_table, method, target="positive")])
        for m in (tiny_model, shuffled)
    )
    same = np.concatenate(
        [e.scores for e in explain(tiny_model, tiny_table, method, target="positive", seed=1)]
    )
    assert spearmanr(trained, same).statistic > 0.95
    assert abs(spearmanr(trained, other).statistic) < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_words_beyond_what_is_read_score_nothing(tiny_table: Any, method: str) -> None:
    model = sz.build_model("gru", tiny_table, units=4, embedding_dim=8, sequence_length=6)
    text = "a good film, a dull awful story"
    cut, whole = explain(model, [text, "good film 😀😀"], method)
    assert text[: cut.cut_at].split() == ["a", "good", "film,", "a", "dull"]
    assert np.all(cut.scores[:6] != 0)
    assert np.all(cut.scores[6:] == 0)
    assert f"first {cut.cut_at} of {len(text)} characters" in cut.note
    assert whole.cut_at is None
    assert whole.note == ""


def test_a_text_without_words(tiny_model: Any) -> None:
    for method in METHODS:
        e = explain(tiny_model, "", method)[0]
        assert e.tokens == []
        assert e.scores.shape == (0,)
        assert e.probabilities.sum() == pytest.approx(1, abs=1e-6)
        assert "no word" in e.note


def test_one_text_many_texts_and_a_table(tiny_model: Any, tiny_table: Any) -> None:
    assert [e.text for e in explain(tiny_model, tiny_table)] == list(tiny_table.texts)
    assert len(explain(tiny_model, "a good film")) == 1
    assert len(explain(tiny_model, tiny_table.frame["text"])) == len(tiny_table)
    e, f = explain(tiny_model, ("good", "good"), target=["positive", "negative"])
    assert (e.target, f.target) == ("positive", "negative")
    np.testing.assert_allclose(e.scores, -f.scores, atol=1e-6)


def test_a_progress_bar_is_drawn_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    explain(BlackBox(negating), ["good film"] * 3, progress=True)
    out, _ = capsys.readouterr()
    assert out == ""


WEIGHTS = {"good": 0.25, "bad": -0.2, "film": 0.05}
PAIR = ("a good film", "bad film")


def pairing(weights: Any = WEIGHTS) -> BlackBox:
    """The second text speaks against what the first one speaks for."""
    return BlackBox(lambda pair: 0.5 + weighed(pair, weights))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", REMOVAL)
@pytest.mark.parametrize(
    "texts",
    [
        [PAIR],
        ([PAIR[0]], [PAIR[1]]),
        [list(PAIR)],
        np.array([PAIR], object),
        sz.TextTable.from_texts([PAIR]),
    ],
    ids=["rows", "columns", "lists", "array", "table"],
)
def test_both_texts_of_a_pair_are_explained(method: str, texts: Any) -> None:
    model = pairing()
    [e] = explain(model, texts, method, target="pos")
    np.testing.assert_allclose(e.scores, [0, 0.25, 0.05, 0.2, -0.05], atol=1e-12)
    assert e.text == "a good film\nbad film"
    assert e.texts == PAIR
    assert e.text[e.second_at :] == "bad film"
    assert e.tokens == ["a", "good", "film", "bad", "film"]
    assert e.base == 0.5
    assert e.scores.sum() == pytest.approx(e.probability - e.base)
    assert set(model.asked) >= {PAIR, ("", ""), ("a film", "bad film"), ("a good film", "film")}


def test_shapley_of_a_pair_is_the_mean_over_all_orders() -> None:
    def overlap(pair: Any) -> float:
        first, second = (set(text.split()) for text in pair)
        return len(first & second) / max(len(first | second), 1)

    first, second = ["a", "good", "film"], ["good", "film"]
    words = [f"{side}{word}" for side, text in enumerate((first, second)) for word in text]

    def of_present(present: str) -> float:
        sides = [[w[1:] for w in present.split() if w[0] == side] for side in "01"]
        return overlap([" ".join(side) for side in sides])

    [e] = explain(BlackBox(overlap), [(" ".join(first), " ".join(second))], "shapley", target="pos")
    np.testing.assert_allclose(e.scores, shapley_by_definition(of_present, words), atol=1e-12)


@pytest.mark.parametrize("method", REMOVAL)
def test_no_group_reaches_over_both_texts(method: str) -> None:
    model = pairing({"good": 1e-4})
    [e] = explain(model, [("good " * 1500, "good " * 100)], method, target="pos", samples=8)
    np.testing.assert_allclose(e.scores, [1e-4] * 1500 + [-1e-4] * 100, atol=1e-12)
    assert "groups of neighbours" in e.note


@pytest.mark.parametrize("method", METHODS)
def test_each_text_of_a_pair_is_cut_by_itself(method: str) -> None:
    long = "a good film, a dull awful story"
    table = sz.TextTable.from_texts(([long, "bad"], ["good", "dull film"]), ["pos", "neg"])
    model = sz.build_model("gru", table, units=4, embedding_dim=8, sequence_length=6)
    first, second, both = explain(model, [(long, "good"), ("good", long), (long, long)], method)
    assert long[: first.cut_at].split() == ["a", "good", "film,"]
    assert (first.second_cut_at, second.cut_at) == (None, None)
    assert second.text[second.second_at : second.second_cut_at].split() == ["a", "good", "film,"]
    assert "characters of the second text" in second.note
    assert both.note.count("The model reads the first") == 2
    for e, read in ((first, [*range(4), 8]), (second, range(5)), (both, [0, 1, 2, 8, 9])):
        assert e.pieces.read.tolist() == [*read]
        assert np.flatnonzero(e.scores).tolist() == [*read]


@pytest.mark.parametrize("method", REMOVAL)
def test_scores_for_a_number_are_in_its_unit(method: str) -> None:
    model = numbering({"good": 8, "bad": -3})
    first, second = explain(model, ["a good bad film"] * 2, method, target=[None, "price"])
    assert (first.target, second.target) == ("stars", "price")
    np.testing.assert_allclose(first.scores, [0, 8, -3, 0], atol=1e-9)
    np.testing.assert_allclose(second.scores, [0, 16, -6, 0], atol=1e-9)
    assert (first.output, first.base, first.outcome, first.spread) == (55, 50, "number", 20)
    assert first.scores.sum() == pytest.approx(first.output - first.base)


def test_tolerance_of_a_number_is_in_standard_deviations() -> None:
    def evaluations(scale: float) -> int:
        task = numbering({}, std=scale).task
        model = TaskBox(task, lambda text: [scale * negating(text)] * 2)
        [e] = explain(model, SENTENCE, "shapley", tolerance=0.02, samples=10_000)
        assert 0.01 * scale < e.errors.max() <= 0.02 * scale
        return len(model.asked)

    assert evaluations(1.0) == evaluations(1000.0)


def test_of_several_labels_the_likeliest_is_explained() -> None:
    model = labelling(kind={"good": 0.2}, rude={"bad": 0.4})
    first, second, third = explain(
        model, ["good", "good bad", "good bad"], target=[None, None, "kind"]
    )
    assert [e.target for e in (first, second, third)] == ["kind", "rude", "kind"]
    np.testing.assert_allclose(second.scores, [0, 0.4], atol=1e-12)
    np.testing.assert_allclose(third.scores, [0.2, 0], atol=1e-12)
    assert second.names == ("kind", "rude")


def test_a_model_is_asked_about_what_it_reads(tiny_model: Any) -> None:
    with pytest.raises(ValueError, match=r"Pass texts, each a string.*Received: \('a', 'b'\)"):
        explain(tiny_model, [("a", "b")])
    table = sz.TextTable.from_texts([("a", "b"), ("c", "d")], ["x", "y"])
    model = sz.build_model("gru", table, units=4, embedding_dim=8)
    with pytest.raises(ValueError, match=r"Pass pairs, \[\(first, second\), …\].*Received: 'a'"):
        explain(model, ["a", "b"])
    with pytest.raises(ValueError, match=r"Complete the pairs.*Received: \['c'\]"):
        explain(model, [("a", "b"), ("c",)])
    with pytest.raises(ValueError, match="the same length"):
        explain(model, (["a"], ["b", "c"]))


def test_scores_of_a_model_s_tokens_are_shared_out_by_characters() -> None:
    scores, lost = share_out([1.0, 0.6, 0.5, 2.0], [(0, 2), (2, 8), (8, 9), (9, 9)],
                             [(0, 2), (3, 5), (5, 6)])  # fmt: skip
    np.testing.assert_allclose(scores, [1.0, 0.4, 0.2])
    assert lost == 2.5


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (["x"], {"method": "shaply"}, ValueError, "Did you mean 'shapley'.*method='shaply'"),
        ([("x", None)], {}, TypeError, "Received: None of type NoneType"),
        (["x"], {"target": "postive"}, ValueError, "Did you mean 'pos'.*target='postive'"),
        (["x"], {"target": ["pos", "neg"]}, ValueError, "2 targets, 1 texts"),
        (["x"], {"unit": "letter"}, ValueError, "unit='letter'"),
        (["x"], {"unit": "token"}, ValueError, "Take unit='word'"),
        ([], {}, ValueError, "at least one text"),
        ([None], {}, TypeError, "Received: None of type NoneType"),
        ([b"x"], {}, TypeError, "decode bytes first"),
        (7, {}, TypeError, "Received: int"),
        (["x"], {"samples": 2.5}, ValueError, "samples=2.5"),
        (["x"], {"samples": 3}, ValueError, "at least 4.*samples=3"),
        (["x"], {"steps": 0}, ValueError, "steps=0"),
        (["x"], {"tolerance": 0}, ValueError, "tolerance=0"),
        (["x"], {"seed": -1}, ValueError, "seed=-1"),
        (["x"], {"batch_size": True}, ValueError, "batch_size=True"),
        (["x"], {"method": "integrated_gradients"}, ValueError, "Received: .*BlackBox"),
    ],
)
def test_what_can_not_be_explained(
    arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        explain(BlackBox(negating), arguments, **options)


def test_models_that_are_no_classifiers() -> None:
    with pytest.raises(TypeError, match="Received: object"):
        explain(object(), "x")
    labels = BlackBox(negating)
    labels.predict = lambda x, batch_size=None, verbose=0: np.array(["pos"] * len(x))  # type: ignore[method-assign]
    with pytest.raises(TypeError, match="must return probabilities of shape \\(rows, classes\\)"):
        explain(labels, "x")
