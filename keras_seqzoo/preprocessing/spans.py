"""Positions of tokens in the user's text: from bytes to characters, and by similarity."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

Span = tuple[int, int]

# Words that a tokenizer of another kind may have left out before the next piece.
_WORDS_AHEAD = 4
_CJK = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def spans_of_bytes(text: str, starts: Iterable[int], ends: Iterable[int]) -> list[Span]:
    """Turns spans of UTF-8 bytes into spans of the characters that they touch.

    Args:
        text: a text without lone surrogates, which have no UTF-8 form.
        starts: positions of first bytes.
        ends: positions after the last bytes; if not beyond the start, the span is empty.
    """
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (codes > 0x7F).astype(int) + (codes > 0x7FF) + (codes > 0xFFFF)
    chars = np.append(np.repeat(np.arange(len(text)), sizes), len(text)).tolist()
    return [
        (chars[start], chars[end - 1] + 1 if end > start else chars[start])
        for start, end in zip(starts, ends, strict=True)
    ]


def trimmed(text: str, span: Span) -> Span:
    """Removes the spaces at the ends of a span; a span of only spaces does not change."""
    inside = text[span[0] : span[1]]
    if not inside.strip():
        return span
    return span[1] - len(inside.lstrip()), span[0] + len(inside.rstrip())


def widened(text: str, span: Span) -> Span:
    """Widens a token that is part of a character, such as "1" of "½", to the whole character."""
    start, end = span
    return (start, end) if end > start else (start, min(start + 1, len(text)))


def aligned(text: str, pieces: Sequence[str | None], inner: Sequence[bool]) -> list[Span]:
    """Finds the pieces of any tokenizer in a text by similarity, in one pass from left to right.

    Case, accents, spaces and control characters are ignored. A piece for an unknown word takes the
    whole next word, and so does a piece that is not found. A piece that is not found inside a word
    shares the span before it.

    Args:
        text: the text.
        pieces: the spelling of each token; None if it is unknown.
        inner: whether a token continues the word of the token before it.

    Returns:
        As many spans as pieces. No span begins or ends before the one before it.
    """
    signs, sources, words = _folded(text)
    spans: list[Span] = []
    at = 0
    for piece, goes_on in zip(pieces, inner, strict=True):
        form = "" if piece is None else _folded(piece)[0]
        found = _find(signs, words, form, at, goes_on) if form else None
        if found is not None:
            at = found + len(form)
            span = (sources[found], sources[at - 1] + 1)
        elif (goes_on and spans) or at == len(signs):
            span = spans[-1] if spans else (0, 0)
        else:
            start, at = at, _next_word(words, at, len(signs))
            span = (sources[start], sources[at - 1] + 1)
        # Signs of one character, such as the two of "ﬁ", may belong to two tokens.
        spans.append((max(span[0], spans[-1][0]), max(span[1], spans[-1][1])) if spans else span)
    return spans


def _find(signs: str, words: Sequence[int], form: str, at: int, goes_on: bool) -> int | None:
    if signs.startswith(form, at):
        return at
    if goes_on:
        return None
    first = bisect_right(words, at)
    ahead = words[first : first + _WORDS_AHEAD]
    return next((word for word in ahead if signs.startswith(form, word)), None)


def _folded(text: str) -> tuple[str, list[int], list[int]]:
    """The signs of a text without case and accents, their positions, and where words begin.

    Words are BERT's: separated by spaces, with every punctuation mark and CJK character on its own.
    """
    signs: list[str] = []
    sources: list[int] = []
    words: list[int] = []
    begins = True
    for index, char in enumerate(text):
        kind = unicodedata.category(char)
        if kind[0] == "Z" or char in "\t\n\r":
            begins = True
            continue
        if kind in ("Cc", "Cf", "Mn"):
            continue
        alone = _stands_alone(char, kind)
        if begins or alone:
            words.append(len(signs))
        begins = alone
        folded = unicodedata.normalize("NFD", char).casefold()
        kept = [sign for sign in folded if unicodedata.category(sign) != "Mn"]
        signs += kept
        sources += [index] * len(kept)
    return "".join(signs), sources, words


def _stands_alone(char: str, kind: str) -> bool:
    code = ord(char)
    is_ascii_sign = code < 128 and kind[0] in "PS"
    return is_ascii_sign or kind[0] == "P" or any(low <= code <= high for low, high in _CJK)


def _next_word(words: Sequence[int], at: int, end: int) -> int:
    following = bisect_right(words, at)
    return words[following] if following < len(words) else end
