"""WordPiece: exact ids, BERT's packing, and vocabularies learnt or given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import modules
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.hub.archive import pack_module
from keras_seqzoo.preprocessing.hub import (
    HubPreprocessor,
    hub_preprocessor,
    preprocessor_of_encoder,
)
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor, learn_word_pieces

REVIEWS = Path(__file__).parents[2] / "examples" / "data" / "reviews.csv"

HUB = "bert_en_uncased_preprocess_3"
HARD = [
    "",
    "  ",
    "a\x00b",
    "x" * 300,
    "[CLS] good [SEP]",
    "Café ÀÉ",
    "日本",
    "\u200b",
    "a" * 100_000,
]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return modules.write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="module")
def goldens(shared: Any) -> list[str]:
    lines = shared("goldens", "bert_wordpiece.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="module")
def original(shared: Any) -> Any:
    import tensorflow_text  # noqa: F401 - the module holds its ops

    return tf.saved_model.load(str(shared("hub", HUB)))


@pytest.mark.parametrize("sequence_length", [128, 16, 3])
def test_features_are_those_of_the_hub_preprocessor(
    original: Any, goldens: list[str], shared: Any, sequence_length: int
) -> None:
    ours = preprocessor_of_encoder(shared("hub", "minilm_L-6_H-384_A-12"), sequence_length)
    assert ours is not None
    tokens = original.tokenize(tf.constant(goldens))
    theirs = original.bert_pack_inputs([tokens], tf.constant(sequence_length))
    features = {name: value.numpy() for name, value in ours(goldens).items()}
    length = features["token_ids"].shape[1]
    for name, key in (
        ("token_ids", "input_word_ids"),
        ("padding_mask", "input_mask"),
        ("segment_ids", "input_type_ids"),
    ):
        np.testing.assert_array_equal(features[name], theirs[key][:, :length])
        assert not theirs[key][:, length:].numpy().any()


def test_tokens_are_those_of_the_hub_preprocessor(original: Any, shared: Any) -> None:
    ours = hub_preprocessor(shared("hub", HUB), 32)
    assert isinstance(ours, WordPiecePreprocessor)
    theirs = original.tokenize(tf.constant(HARD)).merge_dims(1, 2)
    assert ours.tokenize(HARD).to_list() == theirs.to_list()


def test_own_graph_gives_the_same_ids(original: Any, goldens: list[str], shared: Any) -> None:
    slow = HubPreprocessor(64, pack_module(shared("hub", HUB)))
    fast = hub_preprocessor(shared("hub", HUB), 64)
    some = goldens[::20]
    for name, value in fast(some).items():
        np.testing.assert_array_equal(slow(some)[name], value)


def test_packing_adds_special_tokens_and_cuts(vocabulary: Path) -> None:
    pieces = WordPiecePreprocessor(5, modules.PIECES)
    features = pieces(["Good goodness films!", "", "a good film and a story"])
    assert features["token_ids"].numpy().tolist() == [
        [2, 6, 6, 28, 3],
        [2, 3, 0, 0, 0],
        [2, 5, 6, 10, 3],
    ]
    assert features["padding_mask"].numpy().sum(axis=1).tolist() == [5, 2, 5]
    assert not features["segment_ids"].numpy().any()


def test_empty_batch_and_bytes() -> None:
    pieces = WordPiecePreprocessor(5, modules.PIECES)
    assert pieces([])["token_ids"].shape[0] == 0
    assert pieces.tokenize(np.array([b"good \xff\xfe"], object)).to_list() == [[6, 1]]


def test_special_tokens_in_text_are_text() -> None:
    pieces = WordPiecePreprocessor(16, [*modules.PIECES, "[", "]", "cls", "sep"])
    ids = pieces.tokenize(["[CLS] good [SEP]"]).to_list()[0]
    assert not {0, 2, 3, 4} & set(ids)


def test_cased_vocabulary_keeps_case() -> None:
    pieces = WordPiecePreprocessor(8, [*modules.PIECES, "Good"], lowercase=False)
    assert pieces.tokenize(["Good good"]).to_list() == [[len(modules.PIECES), 6]]


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (["[PAD]", "[UNK]", "good"], r"special tokens too. Add \['\[CLS\]', '\[SEP\]'\]"),
        ([*modules.PIECES, "good"], r"each piece once. Remove \['good'\]"),
        ([], "special tokens too"),
    ],
)
def test_wrong_vocabulary_is_explained(vocabulary: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WordPiecePreprocessor(8, vocabulary)


def test_too_short_sequence_is_explained() -> None:
    with pytest.raises(ValueError, match=r"at least 3.*Received: sequence_length=2"):
        WordPiecePreprocessor(2, modules.PIECES)


def test_learnt_pieces_cover_the_texts() -> None:
    texts = ["the unaffable filmmaker", "filmmakers make films", "Café \ud83d naïve"] * 3
    pieces = learn_word_pieces(lambda: [texts[:4], texts[4:]], vocabulary_size=60)
    assert pieces[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(pieces) <= 60
    assert "film" in pieces or "##film" in pieces or "filmmaker" in pieces
    ids = WordPiecePreprocessor(32, pieces).tokenize(["the unaffable filmmakers cafe"])
    assert 1 not in ids.to_list()[0], "no unknown token among words that were seen"
    spelt = [pieces[i] for i in ids.to_list()[0]]
    assert "".join(p.removeprefix("##") for p in spelt) == "theunaffablefilmmakerscafe"
    assert sum(not p.startswith("##") for p in spelt) == 4, "a piece does not go on over a space"


def test_the_same_texts_give_the_same_pieces() -> None:
    """So that several workers, and a training that is resumed, have the same vocabulary."""
    reviews = sz.read_table(REVIEWS, text="review", label="sentiment").texts
    learnt = [learn_word_pieces(lambda: [reviews], vocabulary_size=900) for _ in range(4)]
    assert all(pieces == learnt[0] for pieces in learnt)
    assert len(learnt[0]) == 900


def test_encoder_s_vocabulary_makes_its_preprocessor(tmp_path: Path, vocabulary: Path) -> None:
    with_words = modules.write_encoder(tmp_path / "with", vocabulary)
    found = preprocessor_of_encoder(with_words, 8)
    assert found is not None
    assert (found.vocabulary, found.lowercase) == (tuple(modules.PIECES), True)
    assert preprocessor_of_encoder(modules.write_encoder(tmp_path / "without", None), 8) is None


def _write_preprocessor(folder: Path, vocabulary: Path, **options: bool) -> Path:
    tf.saved_model.save(modules.Preprocessor(vocabulary, **options), str(folder))
    return folder


@pytest.mark.parametrize("fold", [True, False])
def test_plain_preprocessor_is_rebuilt_fast(tmp_path: Path, vocabulary: Path, fold: bool) -> None:
    found = hub_preprocessor(_write_preprocessor(tmp_path / "p", vocabulary, fold=fold), 8)
    assert isinstance(found, WordPiecePreprocessor)
    assert found.lowercase is fold


def test_odd_preprocessor_keeps_its_own_graph(tmp_path: Path, vocabulary: Path) -> None:
    folder = _write_preprocessor(tmp_path / "p", vocabulary, odd=True)
    found = hub_preprocessor(folder, 8)
    assert isinstance(found, HubPreprocessor)
    assert found(["quick film", ""])["token_ids"].numpy().tolist() == [[2, 6, 10, 3], [2, 3, 0, 0]]
    assert found.vocabulary == tuple(modules.PIECES)
    other = HubPreprocessor(8, pack_module(_write_preprocessor(tmp_path / "q", vocabulary)))
    assert found.fingerprint() != other.fingerprint()


def test_something_else_is_no_preprocessor(tmp_path: Path, vocabulary: Path) -> None:
    encoder = modules.write_encoder(tmp_path / "e", vocabulary)
    with pytest.raises(ValueError, match=r"not a text preprocessor.*has the signatures"):
        hub_preprocessor(encoder, 8)


def test_a_tensor_of_a_rank_known_later_is_checked() -> None:
    """Another rank would end the process in TensorFlow Text's op."""
    pieces = WordPiecePreprocessor(8, vocabulary=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good"])
    tokenize = tf.function(pieces.tokenize, input_signature=[tf.TensorSpec(None, tf.string)])
    assert tokenize(tf.constant(["good", ""])).to_list() == [[4], []]
    for texts in (tf.constant("good"), tf.constant([["good"]])):
        with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
            tokenize(texts)
