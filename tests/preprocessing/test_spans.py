"""Spans: every token's place among the characters of the user's text, whatever the text."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import modules
import pytest
import tensorflow as tf

from keras_seqzoo.hub.archive import pack_module
from keras_seqzoo.preprocessing.base import Preprocessor
from keras_seqzoo.preprocessing.bytepair import (
    BytePairPreprocessor,
    learn_byte_pairs,
    read_byte_pairs,
)
from keras_seqzoo.preprocessing.hub import HubPreprocessor
from keras_seqzoo.preprocessing.prompt import PromptPreprocessor
from keras_seqzoo.preprocessing.sentencepiece import (
    SentencePiecePreprocessor,
    learn_sentence_pieces,
)
from keras_seqzoo.preprocessing.spans import aligned
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor, read_vocabulary
from keras_seqzoo.preprocessing.words import WordPreprocessor

LEARNT = ["a good film", "the dull story", "", "a good story, it's awful!"] * 10
NASTY = [
    "", " ", " \t\n ", "\x00", "a\x00b", "good\x07film", "Good FILM!", "it's a 'must-see'",
    "don\u2019t `x` \u00b4", "great.<br /><BR\t/>Awful<br>", "<br<br/>>", "İstanbul İİ ok",
    "ΟΔΟΣ Σ good", "ẞ ŉ ǰ ﬁlm ½ ™ Å", "日本語 good 한국어 각", "👩\u200d👩\u200d👧 good 👍🏽",
    "a\u0301 e\u0301\u0302 good", "\u0301good", "\u200bzero\u200dwidth \u00adsoft", "\ud83d good",
    "good \udc00\ud800", "\ufffd \ufffe \uffff", "[CLS] good [SEP] [MASK] [PAD] [UNK]",
    "<|endoftext|> <s>", "x" * 300, "good " * 300, "  good  film  ",
    "\uff47\uff4f\uff4f\uff44\u3000film", "हिन्दी ไทย العربية", "\U0010ffff\U000e0001 good",
    "\u2028good\u2029\u0085film",
]  # fmt: skip


def word_pieces(folder: Path) -> Preprocessor:
    return WordPiecePreprocessor(64, modules.PIECES)


def module_of_its_own(folder: Path, **options: bool) -> HubPreprocessor:
    vocabulary = modules.write_vocabulary(folder)
    tf.saved_model.save(modules.Preprocessor(vocabulary, **options), str(folder / "module"))
    return HubPreprocessor(64, pack_module(folder / "module"))


def byte_pairs(folder: Path) -> Preprocessor:
    return BytePairPreprocessor(64, *learn_byte_pairs([LEARNT], 300))


def sentence_pieces(folder: Path) -> Preprocessor:
    return SentencePiecePreprocessor(64, learn_sentence_pieces([LEARNT], 60), 1, 2)


def prompt(folder: Path) -> Preprocessor:
    return PromptPreprocessor(64, byte_pairs(folder), "Text: ", "\nLabel:", 3)


KINDS: dict[str, Any] = {
    "words": lambda folder: WordPreprocessor(64, ["good", "film"]),
    "cased words": lambda folder: WordPreprocessor(64, ["good", "film"], lowercase=False),
    "word pieces": word_pieces,
    "cased word pieces": lambda folder: WordPiecePreprocessor(64, modules.PIECES, False),
    "byte pairs": byte_pairs,
    "sentence pieces": sentence_pieces,
    "module": module_of_its_own,
    "odd module": lambda folder: module_of_its_own(folder, odd=True),
    "prompt": prompt,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_has_a_place_in_order(kind: str, tmp_path: Path) -> None:
    preprocessor = KINDS[kind](tmp_path)
    found = preprocessor.spans(NASTY)
    kept = preprocessor.truncate(preprocessor.tokenize(NASTY)).to_list()
    assert [len(spans) for spans in found] == [len(ids) for ids in kept]
    for text, spans in zip(NASTY, found, strict=True):
        assert_in_order(text, spans)
    assert preprocessor.spans(NASTY[::-1]) == found[::-1], "a text's spans are its own"
    assert preprocessor.spans([]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Good, FILM!", ["Good", ",", "FILM", "!"]),
        ("don\u2019t 'x'", ["don\u2019t", "'", "x", "'"]),
        ("fine<br /><BR/>x", ["fine", "x"]),
        ("İİstanbul ΟΔΟΣ ok", ["İİstanbul", "ΟΔΟΣ", "ok"]),
        ("a\x00\x07b \ud83d c", ["a", "b", "\ud83d", "c"]),
        ("日本 ok", ["日", "本", "ok"]),
        ("cafe\u0301s so\u00adft, \ufeffx", ["cafe\u0301s", "so\u00adft", ",", "x"]),
        ("\ufb01ne ½ \u1100\u1161 ❤\ufe0f", ["\ufb01ne", "½", "½", "½", "\u1100\u1161", "❤"]),
    ],
)
def test_words_are_the_user_s_own(text: str, words: list[str]) -> None:
    spans = WordPreprocessor(64).spans([text])[0]
    assert [text[start:end] for start, end in spans] == words


def test_word_pieces_cover_accents_and_whole_characters() -> None:
    pieces = WordPiecePreprocessor(64, [*modules.PIECES, "cafe", "1", "##\u2044", "##2"])
    text = "Café GoodNESS ½ ☃"
    spans = pieces.spans([text])[0]
    assert [text[a:b] for a, b in spans] == ["Café", "Good", "NESS", "½", "½", "½", "☃"]


def test_byte_pairs_leave_the_space_out_and_keep_characters_whole() -> None:
    pairs = BytePairPreprocessor(64, *learn_byte_pairs([LEARNT], 300))
    text = "a good 😀 "
    tokens = [pairs.vocabulary[i] for i in pairs.tokenize([text]).to_list()[0]]
    spans = pairs.spans([text])[0]
    assert tokens[:2] == ["a", "Ġgood"]
    assert [text[a:b] for a, b in spans[:2]] == ["a", "good"]
    parts = [text[a:b] for a, b in spans[2:]]
    assert set(parts) == {" ", "😀"}
    assert parts[-1] == " ", "a token of a space alone stands for the space"


def test_sentence_pieces_look_past_normalisation() -> None:
    pieces = SentencePiecePreprocessor(64, learn_sentence_pieces([LEARNT], 60))
    text = "  \uff47ood   ﬁlm"
    spans = pieces.spans([text])[0]
    tokens = [pieces.vocabulary[i] for i in pieces.tokenize([text]).to_list()[0]]
    covered = [text[a:b] for a, b in spans]
    for token, characters in zip(tokens, covered, strict=True):
        plain = token.strip("\u2581")
        assert plain in unicodedata.normalize("NFKC", characters)
    assert covered[-3:] == ["ﬁ", "l", "m"]


def test_prompt_gives_places_in_the_text_alone(tmp_path: Path) -> None:
    text = "a good film"
    spans = prompt(tmp_path).spans([text])[0]
    covered = [text[a:b] for a, b in spans]
    assert [word for word in covered if word] == ["a", "good", "film"]
    assert covered[0] == covered[-1] == ""
    long = "good " * 99
    cut = prompt(tmp_path).spans([long])[0]
    assert cut[-1] == (len(long), len(long)), "what stands after the text is not cut"


def test_spans_are_cut_as_tokens_are() -> None:
    assert WordPreprocessor(2).spans(["a b c d"]) == [[(0, 1), (2, 3)]]
    assert WordPiecePreprocessor(4, modules.PIECES).spans(["a b c d"]) == [[(0, 1), (2, 3)]]


def test_module_is_aligned_by_its_pieces(tmp_path: Path) -> None:
    text = "Awful, xyz GÓODNESS good-film!"
    spans = module_of_its_own(tmp_path).spans([text])[0]
    expected = ["Awful", ",", "xyz", "GÓOD", "NESS", "good", "-", "film", "!"]
    assert [text[a:b] for a, b in spans] == expected


def test_likeness_recovers_from_what_is_not_there() -> None:
    text = "the quick fox, it jumped"
    spans = aligned(text, ["the", "movie", "fox", "jump", "ed"], [False] * 4 + [True])
    assert [text[a:b] for a, b in spans] == ["the", "quick", "fox", "jump", "ed"]
    assert aligned("", ["a", None], [False, True]) == [(0, 0), (0, 0)]
    assert aligned("a", [None, None, "b"], [False] * 3) == [(0, 1)] * 3


def test_goldens_stand_where_they_are_written(shared: Any) -> None:
    lines = shared("goldens", "bert_wordpiece.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:60] + lines[60::12]]
    vocabulary = read_vocabulary(shared("tokenizers", "bert-uncased-vocab.txt"))
    pieces = WordPiecePreprocessor(512, vocabulary)
    exact, plain = share_of_exact(pieces, texts, "##")
    assert plain > 5_000
    assert exact > 0.99 * plain


def test_golden_byte_pairs_stand_where_they_are_written(shared: Any) -> None:
    lines = shared("goldens", "gpt2_bpe.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines[:60] + lines[60::12]]
    files = (shared("tokenizers", f"gpt2-{name}") for name in ("vocab.json", "merges.txt"))
    pairs = BytePairPreprocessor(1024, *read_byte_pairs(*files))
    exact, plain = share_of_exact(pairs, texts, "Ġ")
    assert plain > 5_000
    assert exact == plain


def share_of_exact(preprocessor: Preprocessor, texts: list[str], mark: str) -> tuple[int, int]:
    """How many tokens of plain letters are spelt as the characters that they stand for."""
    exact = plain = 0
    ids = preprocessor.truncate(preprocessor.tokenize(texts)).to_list()
    for text, row, spans in zip(texts, ids, preprocessor.spans(texts), strict=True):
        assert_in_order(text, spans)
        for i, (start, end) in zip(row, spans, strict=True):
            token = preprocessor.vocabulary[i].removeprefix(mark)
            if token.isascii() and token.isalnum():
                plain += 1
                exact += text[start:end] == token or text[start:end].lower() == token
    return exact, plain


def assert_in_order(text: str, spans: list[tuple[int, int]]) -> None:
    assert all(0 <= start <= end <= len(text) for start, end in spans), (text, spans)
    assert spans == sorted(spans), (text, spans)
    assert [end for _, end in spans] == sorted(end for _, end in spans), (text, spans)
