"""Words: the same ids everywhere, whatever the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_seqzoo.encoders.parts import learn_words
from keras_seqzoo.preprocessing.base import as_strings
from keras_seqzoo.preprocessing.words import WordPreprocessor


def split(text: str | bytes, **options: bool) -> list[str]:
    words = WordPreprocessor(99, **options).split([text]).to_list()[0]
    return [word.decode() for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Not BAD at all!", ["not", "bad", "at", "all", "!"]),
        ("it's a 'must-see'", ["it's", "a", "'", "must", "-", "see", "'"]),
        ("don\u2019t", ["don't"]),
        ("dogs' cats", ["dogs", "'", "cats"]),
        ("great.<br /><br/>Awful", ["great", ".", "awful"]),
        ("ÉCOLE ÀÉ naïve", ["école", "àé", "naïve"]),
        ("a\u00a0b\u3000c\td\ne\x00f", ["a", "b", "c", "d", "e", "f"]),
        ("日本 ok", ["日", "本", "ok"]),
        (":-) 10/10", [":", "-", ")", "10", "/", "10"]),
        ("cafe\u0301 so\u00adft fi\u200blm \ufeffx", ["café", "soft", "film", "x"]),
        ("\ufb01ne \uff46\uff55ll \u1100\u1161 ❤\ufe0f", ["fine", "full", "가", "❤"]),
        ("don\u00b4t don`t", ["don't", "don't"]),
        ("", []),
        (" \t\n ", []),
        (b"caf\xe9 ok", ["caf", "\ufffd", "ok"]),
    ],
)
def test_split(text: str | bytes, words: list[str]) -> None:
    assert split(text) == words


def test_case_can_be_kept() -> None:
    assert split("Not BAD", lowercase=False) == ["Not", "BAD"]


def test_a_file_of_before_normalisation_keeps_its_rule() -> None:
    config = {"name": "words", "sequence_length": 8, "lowercase": True}
    old = WordPreprocessor.from_config(config)
    assert [word.decode() for word in old.split(["so\u00adft"]).to_list()[0]] == [
        "so",
        "\xad",
        "ft",
    ]
    assert WordPreprocessor.from_config(WordPreprocessor(8).get_config()).normalize


def test_a_vocabulary_is_of_words_as_texts_are_split(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("good\nfilm\n", encoding="utf-8")
    for given in (["good", "film"], str(file), file):
        assert learn_words(None, 8, given, 99).vocabulary == ("[PAD]", "[UNK]", "good", "film")
    with pytest.raises(FileNotFoundError, match="Check the path of the vocabulary"):
        learn_words(None, 8, "missing.txt", 99)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["Good"], "write 'good' instead of 'Good'"),
        (["good film"], "write 'good' and 'film' instead of 'good film'"),
        (["cafe\u0301"], "write 'café' instead"),
        (["", "a"], "instead of ''"),
        (["a", 1], "Received: 1 of type int"),
        (["a", None], "Received: None"),
        (["a", "a"], "each word once"),
    ],
)
def test_a_vocabulary_of_something_else_is_refused(given: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn_words(None, 8, given, 99)


def test_eager_graph_and_dataset_give_the_same_ids() -> None:
    words = WordPreprocessor(99, ["not", "bad", "!"])
    texts = ["Not bad!", "", "unknown BAD"]
    expected = [[2, 3, 4], [], [1, 3]]
    assert words.tokenize(texts).to_list() == expected
    assert tf.function(words.tokenize)(tf.constant(texts)).to_list() == expected
    dataset = tf.data.Dataset.from_tensors(texts).map(words.tokenize)
    assert next(iter(dataset)).to_list() == expected


def test_pack_pads_on_the_right_and_truncates() -> None:
    words = WordPreprocessor(4, ["a", "b", "c"])
    features = words(["a b", "c", "a b c a b c"])
    assert features["token_ids"].numpy().tolist() == [[2, 3, 0, 0], [4, 0, 0, 0], [2, 3, 4, 2]]
    assert features["padding_mask"].numpy().tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    assert all(f.dtype == tf.int32 and f.shape == (3, 4) for f in features.values())


def test_length_is_that_of_the_longest_rounded_up_but_not_beyond_the_limit() -> None:
    words = WordPreprocessor(12, ["a"])
    tokens = words.tokenize(["a a a", "a"])
    assert words.pack(tokens)["token_ids"].shape == (2, 3)
    assert words.pack(tokens, multiple=8)["token_ids"].shape == (2, 8)
    assert words.pack(tokens, multiple=16)["token_ids"].shape == (2, 12)


def test_text_without_a_token_still_has_one_position() -> None:
    features = WordPreprocessor(8, ["a"])(["", "  ", "a a"])
    assert features["token_ids"].numpy().tolist() == [[1, 0], [1, 0], [2, 2]]
    assert features["padding_mask"].numpy().tolist() == [[1, 0], [1, 0], [1, 1]]
    assert WordPreprocessor(8, ["a"])([""])["token_ids"].numpy().tolist() == [[1]]


def test_empty_batch_and_one_megabyte_review() -> None:
    words = WordPreprocessor(16, ["a"])
    assert words([])["token_ids"].shape == (0, 1)
    assert words(["a " * 500_000, "x" * 1_000_000])["token_ids"].shape == (2, 16)


def test_learn_ranks_by_count_then_alphabet_and_keeps_to_the_size() -> None:
    words = WordPreprocessor(8)
    words.learn([["b a c", "b a"], ["b d"]], vocabulary_size=5)
    assert words.vocabulary == ("[PAD]", "[UNK]", "b", "a", "c")
    words.learn([["b a c", "b a"], ["b d"]], vocabulary_size=99, min_count=2)
    assert words.vocabulary == ("[PAD]", "[UNK]", "b", "a")


def test_learn_skips_what_is_too_long_for_a_word() -> None:
    words = WordPreprocessor(8)
    words.learn([["a " + "x" * 65]], vocabulary_size=99)
    assert words.vocabulary == ("[PAD]", "[UNK]", "a")


def test_special_tokens_in_a_text_are_no_special_tokens() -> None:
    words = WordPreprocessor(8, ["a"])
    assert words(["[PAD] a"])["token_ids"].numpy().tolist() == [[1, 1, 1, 2]]


def test_vocabulary_survives_its_file(tmp_path: Path) -> None:
    words = WordPreprocessor(8, ["naïve", "\u2028".strip() or "a", "日", "it's", "\ufffd"])
    words.save_assets(str(tmp_path))
    again = WordPreprocessor.from_config(words.get_config())
    again.load_assets(str(tmp_path))
    assert again.vocabulary == words.vocabulary
    assert again.fingerprint() == words.fingerprint()


def test_fingerprint_tells_different_ids_apart() -> None:
    base = WordPreprocessor(8, ["a", "b"]).fingerprint()
    assert base == WordPreprocessor(8, ["a", "b"]).fingerprint()
    assert base != WordPreprocessor(8, ["b", "a"]).fingerprint()
    assert base != WordPreprocessor(9, ["a", "b"]).fingerprint()
    assert base != WordPreprocessor(8, ["a", "b"], lowercase=False).fingerprint()


def test_as_strings_takes_what_people_have() -> None:
    import pandas as pd

    columns = [np.array(["a", "b"]), np.array([b"a", "b"], object), pd.Series(["a", "b"])]
    tensors = [tf.constant(["a", "b"]), tf.constant([["a"], ["b"]])]
    for texts in (["a", "b"], ("a", "b"), *columns, *tensors):
        assert as_strings(texts).numpy().tolist() == [b"a", b"b"]
    assert as_strings([]).shape == (0,)
    assert as_strings(["\ud83d"]).numpy().tolist() == [b"?"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", r"list or array of strings.*Received: 'one text'"),
        (b"one text", "list or array of strings"),
        (["a", None], "must be a string.*None"),
        (["a", float("nan")], "must be a string.*nan of type float"),
        ([1, 2], "must be a string.*1 of type int"),
        (tf.constant([1]), "must be a string.*int32"),
    ],
)
def test_as_strings_explains_what_is_wrong(texts: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_strings(texts)


def test_as_strings_wants_one_dimension() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        as_strings(tf.constant([["a", "b"]]))
