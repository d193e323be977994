"""Exact match and F1 as SQuAD's official script has them."""

from __future__ import annotations

import collections
import random
import re
import string

import pytest

from keras_seqzoo.metrics.answers import exact_match, f1, scores


# The functions of evaluate-v2.0.py (https://rajpurkar.github.io/SQuAD-explorer), as they are there.
def normalize_answer(s):
    def remove_articles(text):
        regex = re.compile(r"\b(a|an|the)\b", re.UNICODE)
        return re.sub(regex, " ", text)

    def white_space_fix(text):
        return " ".join(text.split())

    def remove_punc(text):
        exclude = set(string.punctuation)
        return "".join(ch for ch in text if ch not in exclude)

    def lower(text):
        return text.lower()

    return white_space_fix(remove_articles(remove_punc(lower(s))))


def get_tokens(s):
    if not s:
        return []
    return normalize_answer(s).split()


def compute_exact(a_gold, a_pred):
    return int(normalize_answer(a_gold) == normalize_answer(a_pred))


def compute_f1(a_gold, a_pred):
    gold_toks = get_tokens(a_gold)
    pred_toks = get_tokens(a_pred)
    common = collections.Counter(gold_toks) & collections.Counter(pred_toks)
    num_same = sum(common.values())
    if len(gold_toks) == 0 or len(pred_toks) == 0:
        return int(gold_toks == pred_toks)
    if num_same == 0:
        return 0
    precision = 1.0 * num_same / len(pred_toks)
    recall = 1.0 * num_same / len(gold_toks)
    return (2 * precision * recall) / (precision + recall)


PIECES = [
    "a",
    "An",
    "the",
    "The.",
    "cat",
    "Cats",
    "cat",
    "U.S.",
    "é",
    "É",
    "«x»",
    "—",
    "!",
    "",
    "\u3000",
    "1,000",
    "\n",
]


def test_scores_are_those_of_the_script() -> None:
    drawn = random.Random(0)

    def draw() -> str:
        return drawn.choice([" ", "", "  "]).join(drawn.choices(PIECES, k=drawn.randrange(6)))

    for _ in range(3000):
        true, said = [draw() for _ in range(drawn.randrange(4))], draw()
        gold = [answer for answer in true if normalize_answer(answer)] or [""]
        exact, found = scores(true, said)
        assert exact == max(compute_exact(a, said) for a in gold)
        assert found == pytest.approx(max(compute_f1(a, said) for a in gold), abs=1e-12)


def test_cases() -> None:
    assert exact_match("The Cat!", "cat") == 1
    assert f1("the big cat", "a cat") == pytest.approx(2 / 3)
    assert scores([], "") == scores(["the"], "") == (1, 1)
    assert scores([], "cat") == scores(["cat"], "") == (0, 0)
    assert scores(["cats", "two cats"], "two  cats") == (1, 1)
