"""What a word is, and what is left of a text without some."""

from __future__ import annotations

from itertools import pairwise

import pytest

from keras_seqzoo.explanation.words import kept_text, merge_overlapping, word_spans

FAMILY, FLAG, THUMB = "👩\u200d👩\u200d👧", "🇩🇪", "👍🏽"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, well-made!", ["Don't", "stop", ",", "well-made", "!"]),
        ("it\u2019s 3.5 of 1,000.", ["it\u2019s", "3.5", "of", "1,000", "."]),
        ("'quoted' - dash-", ["'", "quoted", "'", "-", "dash", "-"]),
        ("one\r\n two\t\u00a0three\u2028", ["one", "two", "three"]),
        (f"ok{FAMILY}{FLAG}{THUMB}", ["ok", FAMILY, FLAG, THUMB]),
        ("cafe\u0301 \u0301x", ["cafe\u0301", "\u0301", "x"]),
        ("שלום, עולם", ["שלום", ",", "עולם"]),
        ("می\u200cخو", ["می\u200cخو"]),
        ("好电影ラーメンok", ["好", "电", "影", "ラ", "ー", "メ", "ン", "ok"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("한국어 영화", ["한국어", "영화"]),
        ("a<br />b <3 c", ["a", "<br />", "b", "<", "3", "c"]),
        ("x\ud83dy", ["x", "\ud83d", "y"]),
        ("\x00\u200b \ufeff", []),
        ("", []),
    ],
)
def test_words_and_signs(text: str, words: list[str]) -> None:
    spans = word_spans(text)
    assert [text[start:end] for start, end in spans] == words
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_a_long_run_of_signs_takes_no_time() -> None:
    text = "<a" * 20_000 + "-" * 20_000 + "'a" * 20_000
    assert len(word_spans(text)) > 20_000


@pytest.mark.parametrize(
    ("text", "removed", "left"),
    [
        ("a very, very good film", {1, 2}, "a very good film"),
        ("good film", {0}, "film"),
        ("good film", {1}, "good"),
        ("  good film\n", {0}, "film\n"),
        ("  good film\n", {1}, "  good"),
        ("good,bad", {1}, "good bad"),
        ("good , bad", {1}, "good bad"),
        ("good, bad", {0}, ", bad"),
        ("好,坏", {1}, "好坏"),
        ("good very,bad", {1, 2}, "good bad"),
        ("ok😀fine", {1}, "ok fine"),
        ("only", {0}, ""),
        ("one\r\ntwo\r\nthree", {1}, "one\r\nthree"),
    ],
)
def test_text_without_words(text: str, removed: set[int], left: str) -> None:
    spans = word_spans(text)
    assert kept_text(text, spans, [i not in removed for i in range(len(spans))]) == left


def test_all_words_kept_is_the_text_itself() -> None:
    text = " \r\n x,, y\u200b "
    assert kept_text(text, word_spans(text), [True] * 4) == text


def test_parts_of_one_word_stay_joined() -> None:
    text = "unbelievable"
    assert kept_text(text, [(0, 2), (2, 8), (8, 12)], [True, False, True]) == "unable"


def test_overlapping_spans_are_joined() -> None:
    assert merge_overlapping([(0, 1), (0, 1), (1, 1), (3, 6), (5, 7), (7, 8)]) == [
        (0, 1), (3, 7), (7, 8),
    ]  # fmt: skip
