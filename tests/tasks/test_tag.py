"""Tagging from end to end: trained, asked, saved, exported, scored; positions are exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cpp_session import ask_cpp

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.keras_file import load_keras_file

NAMES = ["Ann", "Bob Lee", "Zoe\u0301", "Łukasz", "王", "O'Neil"]
PLACES = ["Rome", "New York", "São Paulo", "東京", "🇩🇪", "St. Louis"]
GOLDENS = Path(__file__).parents[1] / "goldens" / "goldens.json"


def sentence(person: str, place: str, i: int) -> tuple[str, list[tuple[int, int, str]]]:
    start, middle = ("yes ", " lives in ") if i % 2 else ("", " saw ")
    text = f"{start}{person}{middle}{place} ."
    at = len(start) + len(person) + len(middle)
    return text, [
        (len(start), len(start) + len(person), "person"),
        (at, at + len(place), "place"),
    ]


ROWS = [sentence(p, q, i) for i, p in enumerate(NAMES) for q in PLACES]
HARD = [
    "", "  ", "Ann", "Ann\r\nsaw\r\nNew York!", "👩\u200d👧 Zoe\u0301 lives in 東京.",
    "saw Rome\ufe0f and \ufe0f Rome", "½ ﬁne Ann\u200b saw ﬀ Rome", "x" * 300 + " Bob Lee",
    "yes Ann lives in Rome . " * 40,
]  # fmt: skip


def table() -> Any:
    return sz.TextTable.from_texts([t for t, _ in ROWS], [s for _, s in ROWS], target="tags")


@pytest.fixture(
    scope="module",
    params=["bilstm", *(pytest.param(n, marks=pytest.mark.slow) for n in ("bert_base", "gpt2"))],
)
def tagger(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model that was trained, its file and its export."""
    keras.utils.set_random_seed(0)
    name = request.param
    tiny = {**sz.model_card(name).tiny, "dropout": 0.0}
    model = sz.build_model(name, table(), task="tag", weights=None, sequence_length=24, **tiny)
    model.optimizer.learning_rate = 0.02 if name == "bilstm" else 0.005
    model.fit(sz.make_dataset(table(), model, 12, shuffle=True, seed=0), epochs=25, verbose=0)
    folder = tmp_path_factory.mktemp("tag")
    model.save(folder / "model.keras")
    return model, folder / "model.keras", sz.export_model(model, folder / "served")


def test_learns_its_rows(tagger: Any) -> None:
    model, _, _ = tagger
    report = sz.evaluate(model, table())
    assert report.f1 > 0.95
    assert report.per_type.loc["place", "support"] == 36
    assert report.confusion.loc["person", "person"] >= 34
    low, high = report.task.intervals(report.labels, [report.outputs])["f1"]
    assert low <= report.f1 <= high
    assert json.loads(json.dumps(report.to_dict()))["f1"] == report.f1
    assert "per_type" not in str(report)  # the first table stands without its name
    assert "nothing" in str(report)


def hard() -> list[str]:
    return HARD + [golden["text"] for golden in json.loads(GOLDENS.read_text("utf-8"))]


def test_pieces_are_the_very_characters(tagger: Any) -> None:
    model, _, exported = tagger
    texts = hard()
    answers = model.predict(texts)
    served = SavedPredictor(exported).predict(texts)
    assert sum(map(len, answers)) > 20
    for text, pieces, others in zip(texts, answers, served, strict=True):
        end = 0
        for piece, other in zip(pieces, others, strict=True):
            assert text[piece["start"] : piece["end"]] == piece["text"]
            assert end <= piece["start"] < piece["end"]
            assert 0 < piece["probability"] <= 1
            assert other["probability"] == pytest.approx(piece["probability"], abs=1e-4)
            assert {**other, "probability": 0} == {**piece, "probability": 0}
            end = piece["end"]


def test_bytes_and_characters_are_served(tagger: Any) -> None:
    _, _, exported = tagger
    texts = [text.encode() for text in hard()]
    texts += [b"\xff Ann \xfe saw \xe4\xb8 New York", "Ann saw Rome".encode("utf-16")]
    answer = ask_cpp(exported, {"text": np.array(texts, object)})
    flat = SavedPredictor(exported)._module.signatures["spans"]
    flat = {k: v.numpy() for k, v in flat(text=keras.ops.convert_to_tensor(texts)).items()}
    assert flat["row_splits"].tolist()[-1] == len(flat["start"])
    for row, text in enumerate(texts):
        count = int((answer["start"][row] >= 0).sum())
        part = slice(*flat["row_splits"][row : row + 2])
        for name, values in answer.items():
            if name != "probability":
                assert values[row][:count].tolist() == flat[name][part].tolist()
        for i in range(count):
            piece, place = answer["text"][row][i], [answer[n][row][i] for n in ("start", "end")]
            cut = text[answer["start_byte"][row][i] : answer["end_byte"][row][i]]
            assert cut.decode("utf-8", "replace") == piece.decode()
            assert text.decode("utf-8", "replace")[slice(*place)] == piece.decode()


def test_file_answers_as_the_model(tagger: Any) -> None:
    model, file, exported = tagger
    loaded = load_keras_file(file)
    assert loaded.task == model.task == SavedPredictor(exported).task
    assert task_from_dict(model.task.as_dict()) == model.task
    for ours, theirs in zip(model.predict(HARD), loaded.predict(HARD), strict=True):
        assert [p["text"] for p in ours] == [p["text"] for p in theirs]
    assert sz.evaluate(SavedPredictor(exported), table()).f1 == sz.evaluate(model, table()).f1


def test_long_texts_are_read_to_their_ends(tagger: Any) -> None:
    """Words beyond `sequence_length` are tagged as those before it."""
    model, _, _ = tagger
    [pieces] = model.predict(["yes Ann lives in Rome . " * 40])
    starts = {p["start"] // 24 for p in pieces if p["text"] == "Rome"}
    assert len(starts) > 36


def test_batch_mates_and_padding_change_nothing(tagger: Any) -> None:
    model, _, _ = tagger
    together = model.predict(HARD)
    for text, pieces in zip(HARD, together, strict=True):
        [alone] = model.predict([text])
        assert [p["text"] for p in alone] == [p["text"] for p in pieces]
        for a, b in zip(alone, pieces, strict=True):
            assert a["probability"] == pytest.approx(b["probability"], abs=1e-4)


def test_lists_of_words_tables_and_datasets() -> None:
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = sz.build_model("gru", table(), units=4, embedding_dim=4)
    words = [["yes", "Ann", "lives"], ["Rome"]]
    texts = ["yes Ann lives", "Rome"]
    expected = model.predict(texts).tolist()
    assert model.predict(words).tolist() == expected
    assert model.predict(tf.data.Dataset.from_tensor_slices(texts).batch(1)).tolist() == expected
    assert model.predict([]).shape == (0,)
    assert len(model.predict(table())) == len(ROWS)
    assert model.task.decode(model.predict(texts))[0] == {"spans": expected[0]}
    model.fit(texts, [[(4, 7, "person")], []], sample_weight=[1.0, 0.5], epochs=1, verbose=0)
    with pytest.raises(TypeError, match="makes no vectors of whole texts"):
        sz.embed(model, texts)
    with pytest.raises(ValueError, match="one of the known types"):
        model.fit(texts, [[(4, 7, "thing")], []], verbose=0)


@pytest.mark.parametrize("labels", [["pos", "neg"] * 18, np.linspace(0, 1, 36)])
def test_tables_of_other_targets_are_refused(labels: Any) -> None:
    other = sz.TextTable.from_texts([t for t, _ in ROWS], labels)
    model = sz.build_model("gru", table(), units=4, embedding_dim=4)
    with pytest.raises(ValueError, match="target that the model was built for"):
        model.fit(other, verbose=0)
    with pytest.raises(ValueError, match="learns tagged pieces"):
        sz.build_model("gru", other, task="tag", units=4)
    with pytest.raises(ValueError, match=r"learns|one class for each row"):
        sz.build_model("gru", table(), task="classify", units=4)


def test_words_that_made_a_piece_are_explained(tagger: Any) -> None:
    model, _, exported = tagger
    text = "yes Ann lives in Rome ."
    for asked in (model, SavedPredictor(exported)):
        [found] = sz.explain(asked, [text], target="place")
        assert found.target == "place"
        words = dict(zip(found.tokens, found.scores, strict=True))
        assert max(words, key=words.__getitem__) in ("Rome", "in", "lives")
    with pytest.raises((TypeError, ValueError), match="Received"):
        sz.explain(model, [text], "integrated_gradients")


def test_one_piece_is_explained(tagger: Any) -> None:
    model, _, _ = tagger
    text = "yes Ann lives in Rome ."
    pieces = model.predict([text])[0]
    assert "Rome" in [p["text"] for p in pieces]
    for piece in pieces:
        for span in (piece, (piece["start"], piece["end"] - 1)):
            [found] = sz.explain(model, text, span=span)
            assert found.target == piece["label"]
            assert found.output == pytest.approx(piece["probability"], abs=1e-5)
            scores = dict(zip(found.tokens, found.scores, strict=True))
            assert scores[piece["text"]] == pytest.approx(found.output)  # gone without its word
    for wrong, said in (
        ((3, 4), r"'Rome' \(17, 21\)"),
        ((0,), "two whole numbers"),
        ("ab", "two whole"),
    ):
        with pytest.raises(ValueError, match=said):
            sz.explain(model, text, span=wrong)
    with pytest.raises(ValueError, match="piece of one text"):
        sz.explain(model, [text, text], span=(0, 3))


@pytest.mark.slow
def test_taggers_are_compared(tmp_path: Path) -> None:
    train, valid, test = table().split(valid=0.2, test=0.2, seed=0)
    small = {"model": "gru", "units": 8, "embedding_dim": 8}
    compared = sz.compare(
        [small], train, valid, test, seeds=1, epochs=2, folder=tmp_path / "compared"
    )
    shown = compared.table
    assert list(shown.index[shown["f1"].notna()]) == list(shown.index)
    assert {"gru", "dictionary"} <= set(shown.index)
    page = compared.to_html(tmp_path / "page.html").read_text("utf-8")
    assert "F1 by type" in page
    again = sz.compare([small], train, valid, test, seeds=1, epochs=2, folder=tmp_path / "compared")
    assert again.table["f1"].equals(shown["f1"])  # read back, not trained anew


@pytest.mark.slow
def test_two_replicas_train_as_one() -> None:
    """But for the words of a batch, whose number differs from replica to replica."""
    import tensorflow as tf

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
