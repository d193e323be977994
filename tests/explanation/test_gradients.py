"""Integrated gradients: complete, exact where a closed form is known, and without a trace left."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import keras
import modules
import numpy as np
import pytest
import tensorflow as tf
from samples import NEGATIVE, POSITIVE
from scipy.stats import spearmanr
from trained import few

import keras_seqzoo as sz
from keras_seqzoo.data.targets import Number, OneOf
from keras_seqzoo.explanation import gradients
from keras_seqzoo.explanation.gradients import integrated_gradients
from keras_seqzoo.features import FEATURES
from keras_seqzoo.preprocessing.words import WordPreprocessor
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.head import TextPredictor
from keras_seqzoo.tasks.regress import Regress

TEXTS = ["a good film", "I hated the dull story, and the awful cast", "", "unseen 日本 good!"]
TARGETS = [0, 1, 1, 0]
KINDS = [
    "lstm", "bilstm", "electra_small", "bert_base", "gpt2", "distilbert", "roberta_base",
    "deberta_v3_xsmall",
]  # fmt: skip


def build(name: str, table: Any, **options: Any) -> Any:
    """A tiny model from scratch, its answers far from even: weights are made larger."""
    keras.utils.set_random_seed(3)
    options = {"weights": None, **sz.model_card(name).tiny, **options}
    return sharpened(sz.build_model(name, table, **options))


def values(weight: Any) -> np.ndarray:
    return tf.convert_to_tensor(weight.value).numpy().copy()


def sharpened(model: Any) -> Any:
    for weight in model.weights:
        if "token_embedding" in weight.path:
            weight.assign(weight * 10)
        if "logits/kernel" in weight.path:
            weight.assign(weight * 3)
    return model


@pytest.fixture(scope="module")
def gru(tiny_table: Any) -> Any:
    return build("gru", tiny_table)


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    return modules.write_encoder(folder / "encoder", modules.write_vocabulary(folder))


@pytest.mark.parametrize(
    "name", few(KINDS, but="lstm|bilstm|gpt2|electra|distilbert|roberta|deberta")
)
def test_scores_sum_to_the_difference_and_weights_stay(name: str, tiny_table: Any) -> None:
    model = build(name, tiny_table)
    assert_explains(model, TEXTS)


@pytest.mark.parametrize(
    "options",
    [{"trainable": False}, {"lora_rank": 2}, {"dtype": "mixed_bfloat16"}],
    ids=["frozen", "lora", "mixed"],
)
def test_encoder_may_be_frozen_adapted_or_of_mixed_precision(
    options: dict[str, Any], tiny_table: Any
) -> None:
    assert_explains(build("distilbert", tiny_table, **options), TEXTS, atol=1e-2)


def test_graph_of_a_module_is_reached(hub_folder: Path, tiny_table: Any) -> None:
    keras.utils.set_random_seed(0)
    model = sz.build_model("bert_base", tiny_table, weights=str(hub_folder))
    frozen = sz.build_model("bert_base", tiny_table, weights=str(hub_folder), trainable=False)
    assert_explains(sharpened(model), TEXTS)
    assert_explains(sharpened(frozen), TEXTS)


def test_hub_encoder_is_reached(shared: Any, tiny_table: Any) -> None:
    keras.utils.set_random_seed(0)
    folder = shared("hub", "small_bert_L-2_H-128_A-2_random")
    model = sz.build_model("bert_base", tiny_table, weights=str(folder))
    assert_explains(sharpened(model), TEXTS)


@pytest.mark.slow
def test_model_of_two_replicas_is_reached(tiny_table: Any) -> None:
    two = sz.distribution("mirrored", devices=["CPU:0", "CPU:1"], verbose=False)
    with two.scope():
        model = build("gru", tiny_table)
    assert_explains(model, TEXTS)


PAIRS = [(TEXTS[0], TEXTS[1]), (TEXTS[1], "good"), ("", "a film"), ("good", ""), ("", "")]


@pytest.fixture(scope="module")
def pairs_table() -> Any:
    """Pairs, and two numbers for each."""
    numbers = np.stack([np.linspace(100, 500, 16), np.linspace(0, 1, 16)], axis=1)
    texts = (POSITIVE + NEGATIVE, NEGATIVE + POSITIVE)
    return sz.TextTable.from_texts(texts, numbers, target="number")


@pytest.mark.parametrize("name", few(["gru", "bert_base", "roberta_base"], but="roberta"))
def test_numbers_of_pairs_sum_up(name: str, pairs_table: Any) -> None:
    model = build(name, pairs_table)
    targets = [0, 1, 0, 1, 0]
    scales = np.array(model.task.std)[targets]
    answers = model.predict(PAIRS, verbose=0)[range(len(PAIRS)), targets]
    found = integrated_gradients(model, PAIRS, targets, tolerance=1e-3)
    for pair, item, scale, answer in zip(PAIRS, found, scales, answers, strict=True):
        assert item.output == pytest.approx(answer, abs=1e-5 * scale)
        gap = item.token_scores.sum() + item.rest - (item.output - item.base)
        assert abs(gap) <= 1e-3 * scale, pair
        text = "\n".join(pair)
        assert all("\n" not in text[start:end] for start, end in item.spans)
        assert [end for _, end in item.spans] == sorted(end for _, end in item.spans)
    assert max(np.abs([f.output - f.base for f in found]) / scales) > 0.02, "nothing to explain"


def test_separators_stay_and_a_linear_number_has_a_closed_form() -> None:
    """Each token adds its logit's share of the mean, in the unit of the number."""
    keras.utils.set_random_seed(5)
    words = WordPreprocessor(16, ["good", "film", "dull", "a"], pair=True)
    task = Regress(Number(("stars",)), (3.0,), (20.0,))
    model = bag_of_words(words=words, task=task)
    table, kernel, bias = (values(w).astype(float) for w in model.weights)
    [found] = integrated_gradients(model, [("good film", "a dull dull film")], ["stars"])
    ids = [words.vocabulary.index(w) for w in ["good", "film", "a", "dull", "dull", "film"]]
    separator = float((table[words.pad_id] @ kernel)[0])
    np.testing.assert_allclose(found.token_scores, 20 * (table[ids] @ kernel)[:, 0] / 7, rtol=1e-5)
    assert found.base == pytest.approx(3 + 20 * (separator / 7 + bias[0]), rel=1e-5)
    assert found.spans[2] == (10, 11)


def assert_explains(model: Any, texts: list[str], atol: float = 1e-3) -> None:
    before = [values(w) for w in model.weights]
    found = integrated_gradients(model, texts, TARGETS, steps=16, tolerance=atol)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, values(new))
    answers = model.predict(texts, verbose=0)[range(len(texts)), TARGETS]
    np.testing.assert_allclose([f.output for f in found], answers, atol=max(1e-5, atol / 10))
    for text, item, spans in zip(texts, found, model.preprocessor.spans(texts), strict=True):
        assert item.spans == tuple(spans)
        assert item.token_scores.shape == (len(spans),)
        assert item.token_scores.dtype == np.float64
        difference = item.output - item.base
        assert abs(item.token_scores.sum() + item.rest - difference) <= atol, text
        assert item.convergence[-1][1] <= atol
    assert max(abs(item.output - item.base) for item in found) > 0.02, "nothing to explain"


def test_linear_model_gives_the_closed_form() -> None:
    """With logits linear in the vectors, a token's share of the difference is its logit's."""
    model = bag_of_words()
    words = model.preprocessor.vocabulary
    table, kernel, bias = (values(w).astype(float) for w in model.trainable_weights)
    texts = ["good film", "a dull dull good film"]
    for text, found in zip(texts, integrated_gradients(model, texts, ["yes", "no"]), strict=True):
        sign = 1 if text == texts[0] else -1
        ids = [words.index(word) for word in text.split()]
        logits = sign * table[ids] @ (kernel[:, 1] - kernel[:, 0]) / len(ids)
        offset = sign * (bias[1] - bias[0])
        full, base = (1 / (1 + np.exp(-offset - sum_)) for sum_ in (logits.sum(), 0))
        np.testing.assert_allclose(
            found.token_scores, logits / logits.sum() * (full - base), atol=1e-6
        )
        assert found.base == pytest.approx(base, abs=1e-6)


def test_one_word_s_place_does_not_matter_to_a_bag_but_its_count_does() -> None:
    first, second = integrated_gradients(bag_of_words(), ["good a a", "a good a"], [1, 1])
    np.testing.assert_allclose(first.token_scores[[1, 0, 2]], second.token_scores, atol=1e-7)


def test_batches_and_neighbours_do_not_matter(gru: Any) -> None:
    together = integrated_gradients(gru, TEXTS, TARGETS)
    again = integrated_gradients(gru, TEXTS, TARGETS)
    for a, b in zip(together, again, strict=True):
        np.testing.assert_array_equal(a.token_scores, b.token_scores)
    for batch_size in (1, 7):
        for a, b in zip(
            together, integrated_gradients(gru, TEXTS, TARGETS, batch_size=batch_size), strict=True
        ):
            np.testing.assert_allclose(a.token_scores, b.token_scores, atol=1e-6)
    alone = integrated_gradients(gru, TEXTS[:1], TARGETS[:1])[0]
    np.testing.assert_allclose(alone.token_scores, together[0].token_scores, atol=1e-6)


def test_gap_is_recorded_and_falls(tiny_table: Any) -> None:
    model = build("gpt2", tiny_table)
    found = integrated_gradients(model, TEXTS[:2], [0, 0], steps=1, tolerance=1e-4)
    for item in found:
        steps, gaps = zip(*item.convergence, strict=True)
        assert steps == tuple(2**i for i in range(len(steps)))
        assert gaps[-1] <= 1e-4
    assert found[0].convergence[0][1] > 0.01, "one step is too few, and the gap says so"


def test_steps_end_where_the_tolerance_can_not_be_reached(gru: Any) -> None:
    found = integrated_gradients(gru, TEXTS[:1], [0], steps=200, tolerance=1e-30)[0]
    assert [steps for steps, _ in found.convergence] == [200, 400]


def test_text_without_tokens_has_no_scores_but_a_rest(gru: Any) -> None:
    empty = integrated_gradients(gru, [""], [0])[0]
    assert empty.token_scores.shape == (0,)
    assert empty.spans == ()
    assert empty.rest == pytest.approx(empty.output - empty.base, abs=1e-5)
    assert empty.rest != 0


def test_no_texts_give_no_scores(gru: Any) -> None:
    assert integrated_gradients(gru, [], []) == []


def test_shuffled_weights_explain_otherwise(tiny_model: Any) -> None:
    """Adebayo et al. (2018), Sanity Checks for Saliency Maps."""
    texts, targets = POSITIVE + NEGATIVE, [0] * 16

    def scores(model: Any) -> np.ndarray:
        found = integrated_gradients(model, texts, targets, steps=16)
        return np.concatenate([item.token_scores for item in found])

    trained, weights = scores(tiny_model), tiny_model.get_weights()
    random, correlations = np.random.default_rng(0), []
    # The texts have some twenty words, so that a single shuffle may look alike by chance.
    for _ in range(8):
        tiny_model.set_weights([random.permutation(w.ravel()).reshape(w.shape) for w in weights])
        correlations.append(spearmanr(trained, scores(tiny_model)).statistic)
    tiny_model.set_weights(weights)
    assert abs(np.mean(correlations)) < 0.25
    assert np.abs(correlations).max() < 0.8
    np.testing.assert_array_equal(trained, scores(tiny_model))


def test_interrupt_gives_the_embedding_back(gru: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [values(w) for w in gru.weights]
    changed = []
    ask = gradients._Lookup.__call__

    def interrupted(self: Any, *arguments: Any) -> Any:
        changed.append(not np.array_equal(before[0], values(gru.weights[0])))
        if len(changed) == 4:
            raise KeyboardInterrupt
        return ask(self, *arguments)

    monkeypatch.setattr(gradients._Lookup, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        integrated_gradients(gru, TEXTS, TARGETS)
    assert changed == [False, True, True, True], "the table was another when it stopped"
    for old, new in zip(before, gru.weights, strict=True):
        np.testing.assert_array_equal(old, values(new))


def test_model_is_not_kept() -> None:
    def explained() -> Any:  # whoever looks at a frame's locals has it keep them
        model = bag_of_words()
        integrated_gradients(model, TEXTS[:1], [0])
        return weakref.ref(model)

    gone = explained()
    gc.collect()
    assert gone() is None


def test_training_afterwards_is_followed(gru: Any) -> None:
    """The graph is kept between calls; what it reads is not."""
    before = integrated_gradients(gru, TEXTS[:1], [0])[0]
    weights = gru.get_weights()
    gru.set_weights([w * 0.5 for w in weights])
    after = integrated_gradients(gru, TEXTS[:1], [0])[0]
    gru.set_weights(weights)
    assert after.output != pytest.approx(before.output, abs=1e-4)


class OneHot(keras.layers.Layer):
    """An embedding by multiplication."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(6, 4))

    def call(self, ids: Any) -> Any:
        return keras.ops.one_hot(ids, 6) @ self.kernel


class ReadsIds(keras.layers.Layer):
    """An embedding to which the number of the id is added."""

    def build(self, shape: Any) -> None:
        self.embedding = keras.layers.Embedding(6, 4)
        self.embedding.build(shape)

    def call(self, ids: Any) -> Any:
        return self.embedding(ids) + keras.ops.cast(ids, "float32")[..., None]


def with_lora() -> Any:
    embedding = keras.layers.Embedding(6, 4)
    embedding.build((None, None))
    embedding.enable_lora(2)
    embedding.lora_embeddings_b.assign(np.ones((2, 4), "float32"))
    return embedding


@pytest.mark.parametrize("make", [OneHot, ReadsIds, with_lora])
def test_embedding_out_of_reach_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"cannot be reached.*'occlusion' or 'shapley'.*Received"):
        integrated_gradients(bag_of_words(make()), ["good film"], [0])


def test_other_models_are_refused(tiny_table: Any) -> None:
    prompt = sz.build_model(
        "gpt2", tiny_table, task="prompt", weights=None, **sz.model_card("gpt2").tiny
    )
    for model, kind in ((prompt, "PromptClassifier"), (object(), "object")):
        with pytest.raises(ValueError, match=rf"cannot be reached.*Received: a {kind}"):
            integrated_gradients(model, ["a"], [0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "`steps`.*steps=0"),
        ({"batch_size": 0}, "`batch_size`.*batch_size=0"),
        ({"tolerance": 0.0}, "`tolerance` must be above 0.*tolerance=0.0"),
        ({"targets": [0]}, "Each text needs one target.*2 texts"),
        ({"targets": ["positive", "unheard of"]}, "`targets` must be answers.*unheard of"),
        ({"targets": [0, 2]}, "`targets` must be answers.*Received: 2"),
    ],
)
def test_what_makes_no_sense_is_refused(gru: Any, options: dict[str, Any], message: str) -> None:
    options = {"targets": [0, 1], **options}
    with pytest.raises(ValueError, match=message):
        integrated_gradients(gru, ["a", "b"], **options)


def bag_of_words(embedding: Any = None, words: Any = None, task: Any = None) -> Any:
    keras.utils.set_random_seed(5)
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
    initializer = keras.initializers.RandomNormal(stddev=1.0)
    embedding = embedding or keras.layers.Embedding(6, 4, embeddings_initializer=initializer)
    x = embedding(inputs["token_ids"])
    encoder = keras.Model(inputs, {"sequence_output": x, "pooled_output": x[:, 0]})
    words = words or WordPreprocessor(16, ["good", "film", "dull", "a"])
    task = task or Classify(OneOf(("no", "yes")))
    model = TextPredictor(encoder, words, task, pooling="mean")
    model.get_layer("logits").bias.assign([0.3, -0.2][: len(task.names)])
    return model
