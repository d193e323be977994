"""Answering from end to end: trained, asked, saved, exported, scored; positions are exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cpp_session import ask_cpp

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.answer import best_threshold
from keras_seqzoo.tasks.keras_file import load_keras_file

NAMES = ["Ann", "Bob Lee", "Zoe\u0301", "Łukasz", "王", "O'Neil"]
PLACES = ["Rome", "New York", "São Paulo", "東京", "🇩🇪", "St. Louis"]
ASKED = ["who ?", "where ?", "why ?"]
GOLDENS = Path(__file__).parents[1] / "goldens" / "goldens.json"


def table() -> Any:
    questions, contexts, answers = [], [], []
    for i, name in enumerate(NAMES):
        for j, place in enumerate(PLACES):
            question = (i + j) % 3
            questions.append(ASKED[question])
            contexts.append(f"yes {name} lives in {place} .")
            answers.append((name, place, "")[question])
    return sz.TextTable.from_texts((questions, contexts), answers, target="answer")


FILLED = "nobody is here . " * 30
HARD = [
    ("who ?", ""), ("", "yes Ann lives in Rome ."), ("who ?", " \r\n"), ("", ""),
    ("where ?", "yes Ann\r\nlives in\r\nNew York !"), ("who ?", "👩\u200d👧 Zoe\u0301 sees 東京."),
    ("where ?", "yes Rome\ufe0f and \ufe0f Rome"), ("who ?", "½ ﬁne Ann\u200b lives in ﬀ Rome"),
    ("where ?" * 90, "yes Ann lives in Rome ."), ("who ?", "x" * 300 + " yes Bob Lee lives"),
    ("where ?", f"{FILLED}yes Ann lives in Rome . {FILLED}"),
]  # fmt: skip


@pytest.fixture(
    scope="module",
    params=["gru", *(pytest.param(n, marks=pytest.mark.slow) for n in ("bert_base", "gpt2"))],
)
def answerer(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that was trained, its file and its export."""
    keras.utils.set_random_seed(0)
    name = request.param
    tiny = {**sz.model_card(name).tiny, "dropout": 0.0}
    model = sz.build_model(name, table(), weights=None, sequence_length=24, **tiny)
    model.optimizer.learning_rate = 0.02 if name == "gru" else 0.005
    data = sz.make_dataset(table(), model, 36)
    batch = next(iter(data))
    for _ in range(90):  # a pass over the data takes longer than its one step
        model.train_on_batch(*batch)
    model.fit(data, validation_data=data, epochs=1, verbose=0)
    folder = tmp_path_factory.mktemp("answer")
    model.save(folder / "model.keras")
    return model, folder / "model.keras", sz.export_model(model, folder / "served")


def test_learns_its_rows(answerer: Any) -> None:
    model, _, _ = answerer
    report = sz.evaluate(model, table())
    assert min(report.f1, report.exact_match, report.answered_f1, report.unanswered) > 0.9
    assert report.per_kind["support"].tolist() == [24, 12]
    assert report.confusion.loc["answer", "answer"] >= 22
    assert report.task.threshold != 0  # it was chosen
    low, high = report.task.intervals(report.labels, [report.outputs])["f1"]
    assert low <= report.f1 <= high
    assert json.loads(json.dumps(report.to_dict()))["f1"] == report.f1
    assert not report.warnings


def hard() -> list[tuple[str, str]]:
    texts = [golden["text"] for golden in json.loads(GOLDENS.read_text("utf-8"))]
    return HARD + [(ASKED[0], text) for text in texts[::5]]  # all of them: test_tag


def test_answers_are_the_very_characters(answerer: Any) -> None:
    model, file, exported = answerer
    pairs = hard()
    answers = model.predict(pairs)
    served, loaded = SavedPredictor(exported), load_keras_file(file)
    assert loaded.task == served.task == model.task == task_from_dict(model.task.as_dict())
    assert sum(bool(said["answer"]) for said in answers) > 5
    for others in (served.predict(pairs), loaded.predict(pairs)):
        for (_, context), said, other in zip(pairs, answers, others, strict=True):
            place = (said["start"], said["end"])
            assert context[slice(*place)] == said["answer"] if said["answer"] else place == (-1, -1)
            assert 0 <= said["no_answer"] <= 1
            for name, value in said.items():
                is_float = isinstance(value, float)
                assert other[name] == (pytest.approx(value, abs=1e-4) if is_float else value)


def test_bytes_and_characters_are_served(answerer: Any) -> None:
    _, _, exported = answerer
    pairs = [(q.encode(), c.encode()) for q, c in hard()]
    pairs += [(b"who ?", b"\xff yes Ann \xfe lives in \xe4\xb8 Rome"), (b"\xff", b"\xff\xfe")]
    questions, contexts = (np.array(side, object) for side in zip(*pairs, strict=True))
    answer = ask_cpp(exported, {"text": questions, "text_pair": contexts})
    for row, context in enumerate(contexts):
        said = {name: values[row] for name, values in answer.items()}
        if said["start"] < 0:
            assert said["answer"] == b""
            assert said["end"] == said["start_byte"] == said["end_byte"] == -1
            continue
        text = said["answer"].decode()
        assert context[said["start_byte"] : said["end_byte"]].decode("utf-8", "replace") == text
        assert context.decode("utf-8", "replace")[said["start"] : said["end"]] == text
    none = ask_cpp(exported, {"text": np.array([], object), "text_pair": np.array([], object)})
    assert none["answer"].shape == none["probability"].shape == (0,)


def test_answers_far_into_a_context_are_found(answerer: Any) -> None:
    model, _, _ = answerer
    if model.name != "gru":
        pytest.skip("has learnt of where in a text words stand, too")
    [said] = model.predict([("where ?", f"{FILLED}yes Ann lives in Rome . {FILLED}")])
    assert said["answer"] == "Rome"
    assert said["start"] == len(FILLED) + 17


def test_batch_mates_and_padding_change_nothing(answerer: Any) -> None:
    model, _, _ = answerer
    for pair, said in zip(HARD, model.predict(HARD), strict=True):
        [alone] = model.predict([pair])
        assert alone["answer"] == said["answer"]
        assert alone["no_answer"] == pytest.approx(said["no_answer"], abs=1e-4)


def test_columns_tables_and_datasets_are_answered(answerer: Any) -> None:
    model, _, _ = answerer
    pairs = table().texts[:4]
    expected = model.predict(pairs)
    assert [*expected[0]] == ["answer", "start", "end", "probability", "no_answer"]
    columns = (pairs[:, 0].tolist(), pairs[:, 1].tolist())
    assert [s["answer"] for s in model.predict(columns)] == [s["answer"] for s in expected]
    data = tf.data.Dataset.from_tensor_slices((columns,)).batch(2)
    assert [s["answer"] for s in model.predict(data)] == [s["answer"] for s in expected]
    assert model.predict([]).shape == (0,)
    assert len(model.predict(table().take(range(3)))) == 3


def test_words_that_made_an_answer_are_explained(answerer: Any) -> None:
    model, _, exported = answerer
    pair = ("where ?", "yes Ann lives in Rome .")
    for asked in (model, SavedPredictor(exported)):
        [found] = sz.explain(asked, [pair])
        assert found.target == "answer"
        assert max(found.scores) > 0.3
        [answer] = asked.predict([pair])
        [of_answer] = sz.explain(asked, [pair], span=answer)
        words = dict(zip(of_answer.tokens, of_answer.scores, strict=True))
        assert words["Rome"] > 0.3
        if model.name == "gru":  # others have learnt of where in a text words stand, too
            # Without it the answer is another, however sure.
            assert words["Rome"] == pytest.approx(answer["probability"], abs=1e-4)
    with pytest.raises(ValueError, match="must touch a piece"):
        sz.explain(model, [pair], span=(0, 3))


def test_windows_hold_all_of_a_context() -> None:
    """Each as BERT lays out a pair; words of an answer are learnt where all of it is."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklq"]
    sizes = {"num_layers": 1, "num_heads": 1, "hidden_dim": 4, "intermediate_dim": 4}
    model = sz.build_model(
        "bert_base", task="answer", inputs="pair", weights=None, vocabulary=words,
        sequence_length=9, stride=2, dropout=0.0, **sizes,
    )  # fmt: skip
    layer = model.get_layer("logits")
    features = model.preprocessor((["q q", "q"], ["a b c d e f g", "h i"]))
    windows = layer.windows(features)
    spelt = [
        "".join(words[i][0] for i in row if i)
        for row in windows["read"]["token_ids"].numpy().tolist()
    ]
    assert spelt == ["[qq[abcd[", "[qq[cdef[", "[qq[efg[", "[q[hi["]
    assert windows["read"]["segment_ids"].numpy()[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert windows["read"]["padding_mask"].numpy().sum(axis=1).tolist() == [9, 9, 8, 6]
    assert windows["rows"].numpy().tolist() == [0, 0, 0, 1]
    scored = layer(features)
    assert scored["starts"].numpy()[2].tolist() == [8, 10, 12, -1]
    first, last = tf.constant([6, -1]), tf.constant([11, -1])  # "d e f"
    _, weights = layer.losses_of(scored, features, first, last)
    assert weights.numpy().tolist() == [0, 1, 0, 1]
    scores = np.full(scored["scores"].shape, -20.0, np.float32)
    scores[[0, 2, 3], 0] = 20  # nothing
    scores[1, 2, 0] = scores[1, 4, 1] = 20  # from d to f
    told = {**scored, "scores": tf.constant(scores)}
    nats, _ = layer.losses_of(told, features, first, last)
    np.testing.assert_allclose(nats, 0, atol=1e-4)
    best = layer.best(told, tf.constant(2), 3)
    assert (best.starts.numpy()[0], best.ends.numpy()[0]) == (6, 11)
    assert best.answer.numpy()[0] > best.nothing.numpy()[0]
    assert best.answer.numpy()[1] < best.nothing.numpy()[1]
    shorter = layer.best(told, tf.constant(2), 2)
    assert shorter.answer.numpy()[0] < -10


@pytest.mark.parametrize(
    ("margins", "scores", "has", "given"),
    [
        ([3, 2, 1, 0], [1, 0, 1, 0.5], [1, 0, 1, 1], [1, 1, 1, 1]),
        ([3, 2, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]),
        ([3, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0]),  # both or none of the last two
        ([1, 5], [1, 1], [1, 1], [1, 1]),
        ([1, 5], [0, 0], [0, 0], [0, 0]),
        ([], [], [], []),
    ],
)
def test_the_threshold_has_the_highest_f1(margins: Any, scores: Any, has: Any, given: Any) -> None:
    threshold = best_threshold(np.array(margins), np.array(scores), np.array(has, bool))
    assert [m >= threshold for m in margins] == given


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stride": 0}, "`stride` must be"),
        ({"max_answer_length": 0}, "`max_answer_length` must be"),
        ({"dropout": 1}, "dropout"),
        ({"classes": ["a", "b"]}, "have no classes"),
    ],
)
def test_unsuitable_options_are_refused(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sz.build_model("gru", table(), units=4, **options)


def test_tables_of_other_targets_are_refused(answerer: Any) -> None:
    model, _, _ = answerer
    pairs = (["a", "b"] * 3, ["c", "d"] * 3)
    other = sz.TextTable.from_texts(pairs, ["pos", "neg"] * 3)
    with pytest.raises(ValueError, match="target that the model was built for"):
        model.fit(other, verbose=0)
    with pytest.raises(ValueError, match="learns where answers stand"):
        sz.build_model("gru", other, task="answer", units=4)
    with pytest.raises(ValueError, match="asked about a context"):
        sz.build_model("gru", ["a text"], task="answer", units=4)
    with pytest.raises(ValueError, match="have their positions"):
        model.fit(pairs, ["c"] * 6, verbose=0)
    with pytest.raises((TypeError, ValueError), match="pair"):
        model.predict(["a text alone"])


@pytest.mark.slow
def test_two_replicas_train_as_one() -> None:
    """But for the windows of a batch, whose number differs from replica to replica."""
    losses = []
    for strategy in (
        tf.distribute.get_strategy(),
        sz.distribution("mirrored", devices=["CPU:0", "CPU:1"], verbose=False),
    ):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = sz.build_model("gru", table(), units=8, embedding_dim=8, dropout=0.0)
        data = sz.make_dataset(table(), model, 12, shuffle=True, seed=0)
        losses.append(model.fit(data, epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=0.02)
