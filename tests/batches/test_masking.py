"""Hidden tokens: how many, which, as what, and the same again where that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.batches.masking import Masking, cut_passages, masked_batches
from keras_seqzoo.batches.passes import Share, passes_of
from keras_seqzoo.preprocessing.masks import mask_of, texts_of_tokens, tokenize_masked
from keras_seqzoo.preprocessing.sentencepiece import (
    SentencePiecePreprocessor,
    learn_sentence_pieces,
)
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnop"
PIECES = [*SPECIAL, *LETTERS, *(f"##{c}" for c in LETTERS)]
WORDS = WordPiecePreprocessor(20, PIECES)
SEED = tf.constant([3, 0], tf.int64)


def masking(**options: Any) -> Masking:
    is_text = np.arange(len(PIECES)) >= len(SPECIAL)
    begins = np.array([not piece.startswith("##") for piece in PIECES])
    return Masking(4, is_text, begins, **options)


@pytest.fixture(scope="module")
def rows() -> tf.RaggedTensor:
    """Rows of one to 60 tokens, some of them special."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, 4000)
    ids = rng.integers(1, len(PIECES), lengths.sum()).astype(np.int32)
    return tf.RaggedTensor.from_row_lengths(np.where(ids == 4, 5, ids), lengths)


@pytest.mark.parametrize("whole_words", [False, True])
def test_so_many_are_hidden_as_mask_as_another_or_as_they_are(
    rows: tf.RaggedTensor, whole_words: bool
) -> None:
    read, hidden = masking(rate=0.3, whole_words=whole_words).hide(rows, SEED)
    before = rows.flat_values.numpy()
    is_hidden = np.zeros(len(before), bool)
    at = (tf.gather(rows.row_starts(), hidden.places.value_rowids())).numpy()
    is_hidden[at + hidden.places.flat_values.numpy()] = True
    is_text = before >= len(SPECIAL)
    assert not is_hidden[~is_text].any()
    assert is_hidden.sum() / is_text.sum() == pytest.approx(0.3, abs=0.03)
    assert (before[is_hidden] == hidden.ids.flat_values.numpy()).all()
    after = read.flat_values.numpy()
    assert (after[~is_hidden] == before[~is_hidden]).all()
    masked = after[is_hidden] == 4
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    kept = after[is_hidden] == before[is_hidden]
    assert kept.mean() == pytest.approx(0.1, abs=0.02)
    others = after[is_hidden][~masked & ~kept]
    assert set(others) == set(range(len(SPECIAL), len(PIECES)))
    has_text = tf.reduce_any(rows.with_flat_values(is_text), axis=1).numpy()
    assert (hidden.places.row_lengths().numpy()[has_text] > 0).all(), "one of every row at least"
    if whole_words:
        inner = np.array([piece.startswith("##") for piece in PIECES])[before]
        inner[rows.row_starts().numpy()] = False
        same = inner[1:] & is_text[1:] & is_text[:-1]
        assert (is_hidden[1:][same] == is_hidden[:-1][same]).all()


def batches(seed: int = 1, **options: Any) -> tf.data.Dataset:
    texts = ["".join(f"{a}{b} " for b in LETTERS) for a in LETTERS] + ["", "a b"]
    passages, document_of = cut_passages(texts, WORDS, masking(), 8, least=2)
    settings: dict[str, Any] = {"shuffle": True, "seed": seed, **options}
    return masked_batches(passages, document_of, WORDS, masking(), 4, **settings)


def arrays(elements: Any) -> list[np.ndarray]:
    return [np.asarray(part) for element in elements for part in tf.nest.flatten(element)]


def test_a_pass_hides_others_and_a_seed_the_same() -> None:
    stream = passes_of(batches())
    again = passes_of(batches())
    assert stream is not None
    assert again is not None
    steps = stream.steps
    first = arrays(stream.stream(0).take(2 * steps))
    per_batch = len(first) // (2 * steps)
    # Taken up in the middle, by another dataset of the same seed.
    later = arrays(again.stream(steps + 2).take(1))
    expected = first[(steps + 2) * per_batch :][:per_batch]
    assert all((a == b).all() for a, b in zip(later, expected, strict=True))
    half = steps * per_batch
    masks = [sum(int((a == 4).sum()) for a in part) for part in (first[:half], first[half:])]
    assert masks[0] != masks[1]


@pytest.mark.slow
def test_replicas_divide_what_one_reads() -> None:
    stream = passes_of(batches(draws=True))
    assert stream is not None
    [(features, targets, weights)] = stream.stream(0).take(1)
    parts = list(stream.stream(0, Share(0, 2, 2)).take(2))
    for name in ("mask_positions", "draws"):
        whole = features[name][weights > 0]
        split = tf.concat([f[name][w > 0] for f, _, w in parts], 0)
        np.testing.assert_array_equal(np.sort(whole), np.sort(split))
    assert sum(float(tf.reduce_sum(w)) for *_, w in parts) == float(tf.reduce_sum(weights))
    ids = targets["tokens"][weights > 0].numpy()
    assert (ids >= len(SPECIAL)).all()


def test_half_of_the_pairs_follow_each_other() -> None:
    follow, count = 0, 0
    for features, targets, _ in batches(next_sentence=True).repeat(20):
        is_next = targets["is_next"].numpy()
        follow, count = follow + is_next.sum(), count + len(is_next)
        ids, segments = features["token_ids"].numpy(), features["segment_ids"].numpy()
        assert ids.shape[1] <= WORDS.sequence_length
        assert ((ids == 3).sum(axis=1) == 2).all()
        middle = (ids == 3).argmax(axis=1)
        assert (segments.argmax(axis=1) == middle + 1).all()
        assert ((segments == 1) <= (features["padding_mask"].numpy() == 1)).all()
    assert follow / count == pytest.approx(0.5, abs=0.1)


def test_passages_are_cut_before_words() -> None:
    text = "abc de fghij k lm " * 7
    passages, document_of = cut_passages([text, " ", "a"], WORDS, masking(), 10)
    assert set(document_of) == {0, 2}
    assert passages.row_lengths().numpy().max() <= 10
    firsts = [PIECES[row[0]] for row in passages.to_list()]
    assert not any(piece.startswith("##") for piece in firsts)
    assert passages.flat_values.numpy().tolist() == [
        i for row in WORDS.tokenize([text, "a"]).to_list() for i in row
    ]
    long, _ = cut_passages(["a" * 50], WORDS, masking(), 10)
    assert long.row_lengths().numpy().max() <= 10, "a word that is longer is cut"


def test_masks_in_a_text_are_read_as_such() -> None:
    mask = mask_of(WORDS)
    texts = ["ab [MASK] c", "[MASK][MASK]", "", "[MASK]", "[mask]"]
    found = tokenize_masked(WORDS, texts, mask).to_list()
    told = [[PIECES[i] for i in row] for row in found]
    assert told[:4] == [["a", "##b", "[MASK]", "c"], ["[MASK]"] * 2, [], ["[MASK]"]]
    assert "[MASK]" not in told[4]
    assert texts_of_tokens(WORDS)[5] == "a"


@pytest.mark.parametrize("texts", [["", " "], ["a"]])
def test_texts_without_two_passages_are_refused(texts: list[str]) -> None:
    passages, document_of = cut_passages(texts, WORDS, masking(), 8, least=2)
    with pytest.raises(ValueError, match="no text to learn from"):
        masked_batches(passages, document_of, WORDS, masking(), 4, next_sentence=True)


def test_a_mask_beside_the_pieces_is_found() -> None:
    """DeBERTa-v3's SentencePiece model has none; its id comes after them."""
    proto = learn_sentence_pieces([["the film was good"] * 4], 40)
    pieces = SentencePiecePreprocessor(16, proto, start_id=1, end_id=2)
    assert mask_of(pieces) == ("[MASK]", 4)
    bare = SentencePiecePreprocessor(16, proto.replace(b"[MASK]", b"[mask]"), mask_id=99)
    assert mask_of(bare) == ("[MASK]", 99)
    [ids] = tokenize_masked(bare, ["the [MASK]"], mask_of(bare)).to_list()
    assert ids[-1] == 99
    assert SentencePiecePreprocessor.from_config(bare.get_config()).mask_id == 99
    assert "mask_id" not in pieces.get_config()
