"""Word vectors that were learnt elsewhere: read from every layout, and begun with."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.data.vectors import read_vectors
from keras_seqzoo.encoders.static import rarity
from keras_seqzoo.serving.saved import SavedPredictor

WORDS = ["the", "Good", "good", "new york", "bad", "film", "Résumé"]
ROWS = np.arange(28, dtype=np.float32).reshape(7, 4) / 8
TABLE = sz.TextTable.from_texts(["good film", "bad film"] * 4, ["pos", "neg"] * 4)


def text(path: Path, header: str = "") -> Path:
    lines = (f"{w} {' '.join(map(str, r))}\n" for w, r in zip(WORDS, ROWS.tolist(), strict=True))
    path.write_text(header + "".join(lines), "utf-8")
    return path


def binary(path: Path) -> Path:
    words = [w.replace(" ", "_") for w in WORDS]  # this layout has no spaces in words
    parts = (f"{w} ".encode() + r.tobytes() for w, r in zip(words, ROWS, strict=True))
    path.write_bytes(b"7 4\n" + b"\n".join(parts))
    return path


def sources(folder: Path) -> dict[str, Any]:
    packed = folder / "packed.txt.gz"
    packed.write_bytes(gzip.compress(text(folder / "glove.txt").read_bytes()))
    np.save(folder / "rows.npy", ROWS)
    return {
        "GloVe": folder / "glove.txt",
        "with counts": str(text(folder / "fast.vec", "7 4\n")),
        "packed": packed,
        "binary": binary(folder / "words.bin"),
        "mapping": dict(zip(WORDS, ROWS.tolist(), strict=True)),
        "array": (WORDS, ROWS),
        "file of an array": (WORDS, folder / "rows.npy"),
    }


def form(words: list[str]) -> list[str]:
    return [w.lower() if w.replace("é", "e").isalpha() else "" for w in words]


def test_all_layouts_tell_the_same(tmp_path: Path) -> None:
    for name, source in sources(tmp_path).items():
        found = read_vectors(source, {"good", "résumé", "unseen"}, 2, form)
        assert found.words == ("the", "good", "bad", "résumé"), name
        np.testing.assert_array_equal(found.rows, ROWS[[0, 1, 4, 6]], err_msg=name)


def test_gensim_s_files_are_read(tmp_path: Path) -> None:
    gensim = pytest.importorskip("gensim", reason="needs the extra `vectors`")
    vectors = gensim.models.KeyedVectors(4)
    vectors.add_vectors([w for w in WORDS if " " not in w], ROWS[:6])
    vectors.save_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    for source in (vectors, tmp_path / "v.bin"):
        found = read_vectors(source, {"good"}, 0, form)
        np.testing.assert_array_equal(found.rows, ROWS[[1]])
    parts = gensim.models.FastText([["good", "film"]] * 5, vector_size=4, min_count=1, bucket=50)
    gensim.models.fasttext.save_facebook_model(parts, str(tmp_path / "parts.bin"))
    found = read_vectors(tmp_path / "parts.bin", {"good", "goodness"}, 0, form)
    assert found.words == ("good", "goodness")
    np.testing.assert_allclose(found.rows[1], parts.wv["goodness"], rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"good 1 2 3\nbad 1 2\n", r"line 2"),
        (b"good 1 2 3\nbad 1 x 3\n", r"line 2"),
        (b"2 3\ngood 1 2 3 4\n", r"says 3 numbers a word and has 4"),
        (b"good nan 2 3\n", r"not finite"),
        (b"gut 1 2 3\n", r"with none of 1 words"),
        (b"\x80\x04pickled", r"line 1"),
        (b"", r"is empty"),
    ],
)
def test_other_files_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        read_vectors(tmp_path / "v.txt", {"good"}, 5, form)


def test_other_sources_are_refused(tmp_path: Path) -> None:
    whole = binary(tmp_path / "v.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[:-20])
    (tmp_path / "foreign.bin").write_bytes(b"PK\x03\x04 and so on\n" * 9)
    (tmp_path / "v.kv").write_bytes(b"\x80\x04.")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(text(tmp_path / "t").read_bytes())[:-9])
    (tmp_path / "foreign.gz").write_bytes(b"good 1 2 3\n")
    (tmp_path / "empty.bin").write_bytes(b"")
    for source, said in (
        (tmp_path / "cut.bin", "ends after 6 of 7 words"),
        (tmp_path / "foreign.bin", "two counts"),
        (tmp_path / "v.kv", "pickles"),
        (tmp_path / "cut.gz", "cut off, or no gzip"),
        (tmp_path / "foreign.gz", "cut off, or no gzip"),
        (tmp_path / "empty.bin", "is empty"),
        ((WORDS, ROWS[:3]), "a row for each word"),
    ):
        with pytest.raises(ValueError, match=said):
            read_vectors(source, {"good"}, 5, form)
    with pytest.raises(FileNotFoundError, match="no such file of word vectors"):
        read_vectors(tmp_path / "none.txt", {"good"}, 5, form)
    with pytest.raises(TypeError, match="`vectors` must be"):
        read_vectors(3, {"good"}, 5, form)


def build(**options: Any) -> Any:
    keras.utils.set_random_seed(0)
    return sz.build_model("gru", TABLE, units=4, vectors=(WORDS, ROWS), dropout=0.0, **options)


def rows_of(model: Any) -> Any:
    return np.array(model.encoder.get_layer("token_embedding").embeddings)


def test_a_model_begins_with_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = build()
    assert "3 of 3 words of the texts, and 2 further ones" in capsys.readouterr().err
    words = model.preprocessor.vocabulary
    assert set(words[2:]) == {"film", "good", "bad", "the", "résumé"}
    np.testing.assert_array_equal(rows_of(model)[words.index("good")], ROWS[1])
    asked = ["résumé", "unseen"]
    known, unknown = model.predict(asked, verbose=0)
    assert abs(known - unknown).max() > 1e-5  # a word that no training text has
    model.save(tmp_path / "model.keras")
    exported = SavedPredictor(sz.export_model(model, tmp_path / "served"))
    for again in (keras.saving.load_model(tmp_path / "model.keras"), exported):
        np.testing.assert_allclose(again.predict(asked, verbose=0), [known, unknown], atol=1e-6)


def test_vectors_may_stay_or_learn_late() -> None:
    for tune, changed in ((True, (True, True)), (False, (False, False)), ("late", (False, True))):
        model = build(tune=tune, vector_words=0)
        begun = [rows_of(model)]

        class Keep(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None, begun: Any = begun) -> None:
                begun.append(rows_of(self.model))

        model.fit(TABLE.texts, ["pos", "neg"] * 4, epochs=3, verbose=0, callbacks=[Keep()])
        first, _, last = (bool((rows != begun[0]).any()) for rows in begun[1:])
        assert (first, last) == changed, tune


def test_a_narrower_model_projects_them() -> None:
    model = build(embedding_dim=2, vector_words=0)
    assert model.encoder.get_layer("vector_projection").kernel.shape == (4, 2)
    assert rows_of(model).shape == (5, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tune": "later"}, "`tune` must be"),
        ({"vector_words": -1}, "vector_words=-1"),
        ({"tokens": "byte_pairs"}, "`vectors` are only for words"),
        ({"vectors": {"gut": [1.0]}}, "in the same case"),
        ({"vectors": None, "tune": False}, "`tune` needs `vectors`"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sz.build_model("gru", TABLE, **{"units": 4, "vectors": (WORDS, ROWS), **options})


def test_an_encoder_gives_vectors_of_words(tmp_path: Path) -> None:
    encoder = build(tune=False)  # 4 wide
    encoder.save(tmp_path / "encoder.keras")
    asked = ["good", "bad", "film", "the"]
    alone = sz.embed(encoder, asked)
    for source in (encoder, str(tmp_path / "encoder.keras")):
        model = sz.build_model("static", TABLE, vectors=source, dropout=0.0)
        words = model.preprocessor.vocabulary
        assert set(words[2:]) == {"film", "good", "bad", "the", "résumé"}
        at = [words.index(word) for word in asked]
        common = [encoder.preprocessor.vocabulary.index(word) - 2 for word in asked]
        taken = rows_of(model)[at] / rarity(np.arange(6))[common][:, None]
        # Turned towards the directions of most variance, they are as far apart as they were.
        apart = [np.linalg.norm(rows[:, None] - rows[None], axis=2) for rows in (taken, alone)]
        np.testing.assert_allclose(*apart, atol=1e-4)


def test_static_vectors_know_no_order() -> None:
    model = sz.build_model("static", TABLE, vectors=(WORDS, ROWS), dropout=0.0)
    one, other, twice = model.predict(["bad good", "good bad", "good bad good bad"], verbose=0)
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(one, twice, atol=1e-6)
    weights = rarity(np.arange(1000))
    assert (np.diff(weights) > 0).all()
    assert 0 < weights[0] < 1e-3 < 0.4 < weights[-1] < 1


def test_of_a_large_file_it_is_said_that_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = text(tmp_path / "glove.txt")
    sz.build_model("static", TABLE, vectors=path)
    assert "Reading" not in capsys.readouterr().err
    monkeypatch.setattr("keras_seqzoo.encoders.words._LARGE_FILE", 10)
    sz.build_model("static", TABLE, vectors=path)
    assert f"Reading {path}, 0 MB" in capsys.readouterr().err
