"""SentencePiece: the ids of the library, special tokens, assets, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import sentencepiece
import tensorflow as tf

from keras_seqzoo.preprocessing.sentencepiece import (
    SentencePiecePreprocessor,
    learn_sentence_pieces,
)

TEXTS = ["a good film", "", "  the  dull story ", "日本語 😀 é", "[MASK] [CLS]", "good\ngood\x00"]


@pytest.fixture(scope="module")
def proto() -> bytes:
    return learn_sentence_pieces([["a good film", "the dull story", "", "a good story"] * 10], 60)


@pytest.fixture(scope="module")
def pieces(proto: bytes) -> SentencePiecePreprocessor:
    return SentencePiecePreprocessor(8, proto, start_id=1, end_id=2)


def test_ids_are_the_library_s(pieces: SentencePiecePreprocessor, proto: bytes) -> None:
    reference = sentencepiece.SentencePieceProcessor(model_proto=proto)
    assert pieces.tokenize(TEXTS).to_list() == [reference.EncodeAsIds(text) for text in TEXTS]
    assert pieces.vocabulary[:5] == ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
    assert len(pieces.vocabulary) <= 60


def test_packing_adds_start_and_end_and_keeps_them(pieces: SentencePiecePreprocessor) -> None:
    features = pieces([*TEXTS[:2], "a good film " * 5])
    ids = features["token_ids"].numpy()
    assert ids[:, 0].tolist() == [1, 1, 1]
    assert ids[1].tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
    assert ids[2, -1] == 2, "a text that is cut has an end too"


def test_texts_come_back(pieces: SentencePiecePreprocessor) -> None:
    tokens = pieces.tokenize(TEXTS[:3])
    ends = tf.ones([3, 1], tf.int32)
    ids = tf.concat([ends, tokens, 2 * ends, 0 * ends], axis=1)
    spelt = [text.decode() for text in pieces.detokenize(ids).numpy()]
    assert spelt == ["a good film", "", "the dull story"]


def test_a_new_seed_does_not_lose_the_model(pieces: SentencePiecePreprocessor) -> None:
    """`tf.random.set_seed` clears TensorFlow's kernels, and resources that they alone own."""
    expected = pieces.tokenize(TEXTS).to_list()
    batches = tf.data.Dataset.from_tensors(TEXTS).map(pieces.tokenize)
    assert next(iter(batches)).to_list() == expected
    keras.utils.set_random_seed(0)
    assert next(iter(batches)).to_list() == expected
    assert pieces.tokenize(TEXTS).to_list() == expected


def test_unknown_and_offset_follow_the_encoder(proto: bytes) -> None:
    plain = SentencePiecePreprocessor(8, proto)
    shifted = SentencePiecePreprocessor(8, proto, offset=1, unknown_id=99)
    for a, b in zip(
        plain.tokenize(TEXTS).flat_values.numpy(), shifted.tokenize(TEXTS).flat_values.numpy(),
        strict=True,
    ):  # fmt: skip
        assert b == (99 if a == 3 else a + 1)


def test_assets_bring_everything_back(
    pieces: SentencePiecePreprocessor, tmp_path: Path, proto: bytes
) -> None:
    pieces.save_assets(str(tmp_path))
    loaded = SentencePiecePreprocessor.from_config(pieces.get_config())
    loaded.load_assets(str(tmp_path))
    assert loaded.fingerprint() == pieces.fingerprint()
    assert (
        loaded(TEXTS)["token_ids"].numpy().tolist() == pieces(TEXTS)["token_ids"].numpy().tolist()
    )
    other = SentencePiecePreprocessor(8, learn_sentence_pieces([["x y z"] * 9], 12))
    assert other.fingerprint() != SentencePiecePreprocessor(8, proto).fingerprint()


@pytest.mark.parametrize(
    ("proto", "error", "message"),
    [
        ("nowhere.model", TypeError, "given as bytes"),
        (b"nonsense", ValueError, "not a SentencePiece model"),
    ],
)
def test_wrong_models_are_refused(proto: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SentencePiecePreprocessor(8, proto)
