"""The words and signs of a text, as spans of its characters, and texts with some of them removed.

Nothing here uses a model. What a word is depends only on Unicode, so that explanations of different
models can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import regex

Span = tuple[int, int]
Question = str | tuple[str, str]  # input of a model: a text, or a pair of texts
JOINT = "\n"  # between the two texts of a pair, if they are shown as one string

# Scripts that put no space between words; U+30FC lengthens vowels in both kana.
_UNSPACED = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Tham}]"
)
_LETTER = rf"[[\p{{L}}\p{{N}}]--{_UNSPACED}]"
# Marks, joiners (Persian, Indic scripts) and soft hyphens continue a word, but start none.
_RUN = rf"{_LETTER}(?:{_LETTER}|\p{{M}}|[\u200c\u200d\u00ad](?={_LETTER}))*"
_TOKEN = regex.compile(
    rf"""(?V1)
      </?[A-Za-z][^<>\n]{{0,200}}>          # a tag of markup, such as <br />
    | {_RUN}(?:(?:['\u2019\u2010\u2011-]|(?<=\p{{N}})[.,](?=\p{{N}})){_RUN})*
    | (?![\s\p{{Cc}}\p{{Cf}}])\X            # any other sign, whole: an emoji, a kana, a comma
    """.replace(" " * 4, ""),
    regex.VERBOSE,
)
_IN_WORD = regex.compile(rf"(?V1)[[\p{{L}}\p{{M}}\p{{N}}]--{_UNSPACED}]")
_NOT_IN_WORD = regex.compile(r"[^\p{L}\p{M}\p{N}]")
_SURROGATE = regex.compile(r"\p{Cs}")


def word_spans(text: str) -> list[Span]:
    """Finds the words and signs of a text.

    A word is a run of letters, marks and digits, with apostrophes and hyphens inside (`don't`,
    `well-made`) and points and commas between digits (`1,000.5`). Scripts without spaces (Han,
    kana, Thai, Lao, Khmer, Burmese) are split into single signs. Everything else that is visible is
    a sign: one extended grapheme cluster (Unicode Annex 29), so an emoji with its modifiers or a
    flag is one sign. A markup tag such as `<br />` is one, too. Spaces, control and format
    characters belong to no word.

    Args:
        text: any string.

    Returns:
        `(start, end)` of each in the characters of `text`, in order, without overlap.

    Example:
        >>> text = "Don't — 3.5 stars!"
        >>> [text[start:end] for start, end in word_spans(text)]
        ["Don't", '—', '3.5', 'stars', '!']
    """
    return [match.span() for match in _TOKEN.finditer(text)]


def bounds_of(texts: Sequence[str]) -> tuple[Span, ...]:
    """Start and end of each of one or two texts, with `JOINT` between them."""
    second = len(texts[0]) + len(JOINT)
    return ((0, len(texts[0])), (second, second + len(texts[-1])))[: len(texts)]


@dataclass(frozen=True)
class Pieces:
    """A text or a pair of texts, and the tokens that can be removed.

    Attributes:
        texts: the user's text, or the two of a pair.
        spans: all tokens, in the characters of `text`, in order, without overlap.
        cuts: for each text the first character in `text` that the model does not read; None if it
            reads all, or if this is not known.
    """

    texts: tuple[str, ...]
    spans: tuple[Span, ...]
    cuts: tuple[int | None, ...]

    @cached_property
    def text(self) -> str:
        """The texts as one string, with `JOINT` between those of a pair."""
        return JOINT.join(self.texts)

    @property
    def bounds(self) -> tuple[Span, ...]:
        """Start and end of each text in `text`."""
        return bounds_of(self.texts)

    @cached_property
    def read(self) -> np.ndarray:
        """Numbers of the tokens that the model reads, in order."""
        parts = [
            (begin, end if cut is None else cut)
            for (begin, end), cut in zip(self.bounds, self.cuts, strict=True)
        ]
        return np.array(
            [
                number
                for number, (start, _) in enumerate(self.spans)
                if any(begin <= start < end for begin, end in parts)
            ],
            int,
        )

    @cached_property
    def _sides(self) -> list[tuple[str, list[Span], slice]]:
        """The part of each text that is read, its tokens there, and their places in `read`."""
        sides, at = [], 0
        for text, cut, (begin, end) in zip(self.texts, self.cuts, self.bounds, strict=True):
            spans = [self.spans[number] for number in self.read]
            mine = [(a - begin, b - begin) for a, b in spans if begin <= a < end]
            kept = text if cut is None or not mine else text[: mine[-1][1]]
            sides.append((kept, mine, slice(at, at + len(mine))))
            at += len(mine)
        return sides

    @property
    def whole(self) -> Question:
        """The input of the model if nothing is removed."""
        return _question(self.texts)

    @property
    def empty(self) -> Question:
        """The input of the model if everything is removed."""
        return _question([""] * len(self.texts))

    def keep(self, mask: Sequence[bool] | np.ndarray) -> Question:
        """Returns the text with only some of the tokens that are read, `(read,)`.

        The text beyond them is removed, too, so that no later word moves into the part that is
        read.
        """
        if np.all(mask):
            return self.whole
        return _question([kept_text(text, spans, mask[at]) for text, spans, at in self._sides])

    def without(self, removed: Iterable[int]) -> Question:
        """Returns the text without some of the tokens that are read, by their places among them."""
        mask = np.ones(len(self.read), bool)
        mask[list(removed)] = False
        return self.keep(mask)

    def groups(self, most: int) -> list[np.ndarray]:
        """Places of tokens that are read, in groups: each alone, or neighbours in one text.

        Args:
            most: number of groups if there are more tokens.
        """
        groups: list[np.ndarray] = []
        for _, spans, at in self._sides:
            share = len(spans) * min(most, len(self.read)) // max(len(self.read), 1)
            if spans:
                groups += np.array_split(np.arange(at.start, at.stop), max(share, 1))
        return groups


def _question(texts: Sequence[str]) -> Question:
    return texts[0] if len(texts) == 1 else (texts[0], texts[1])


def merge_overlapping(spans: Sequence[Span]) -> list[Span]:
    """Joins spans that share characters, such as the bytes of one emoji; drops empty ones."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def kept_text(text: str, spans: Sequence[Span], keep: Sequence[bool] | np.ndarray) -> str:
    """Returns the text with only some of its tokens; "" if none is kept.

    The space on one side of a removed token stays. If separate words would become one (`good,bad`
    without its comma), a space comes between them.

    Args:
        text: the text.
        spans: its tokens, in order, without overlap.
        keep: `(tokens,)`, whether to keep each.

    Example:
        >>> kept_text("a very, very good film", word_spans("a very, very good film"),
        ...           [True, False, False, True, True, True])
        'a very good film'
    """
    kept = np.flatnonzero(keep)
    if len(kept) == 0:
        return ""
    if len(kept) == len(spans):
        return text
    # gaps[i] is before token i, the last one after all of them.
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    parts = [gaps[0] if kept[0] == 0 else "", text[slice(*spans[kept[0]])]]
    for before, after in pairwise(kept.tolist()):
        between = gaps[before + 1 : after + 1]
        # The space before the next word; if there is none, any.
        gap = between[-1] or next(filter(None, between), "")
        if not gap and after > before + 1 and _grow_together(text, spans[before], spans[after]):
            gap = " "
        parts += [gap, text[slice(*spans[after])]]
    if kept[-1] == len(spans) - 1:
        parts.append(gaps[-1])
    return "".join(parts)


def without_surrogates(text: str) -> str:
    """Returns the text with halves of surrogate pairs, which no file can hold, as U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def _grow_together(text: str, first: Span, second: Span) -> bool:
    """Whether two tokens of different words would become one word."""
    end, start = first[1], second[0]
    return bool(
        _IN_WORD.fullmatch(text[end - 1])
        and _IN_WORD.fullmatch(text[start])
        and _NOT_IN_WORD.search(text, end, start)
    )
