"""Asks a model about texts with some of their tokens left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_seqzoo.explanation.words import Span, kept_text, merge_overlapping, word_spans

UNITS = ("word", "token")
_MOST_TEXTS, _MOST_CHARACTERS = 8192, 8_000_000


@dataclass(frozen=True)
class Pieces:
    """A text and the tokens that can be left out of it.

    Attributes:
        text: the user's text.
        spans: all its tokens.
        read: how many of them, from the first on, the model reads.
        cut_at: the character from which on the model reads nothing; None where it reads all, or
            where nobody can know.
    """

    text: str
    spans: tuple[Span, ...]
    read: int
    cut_at: int | None = None

    def keep(self, mask: Sequence[bool] | np.ndarray) -> str:
        """The text with only some of the tokens that are read, `(read,)`.

        What lies beyond them goes, too, so that no later word moves up to where it is read.
        """
        if np.all(mask):
            return self.text
        spans = self.spans[: self.read]
        text = self.text if self.cut_at is None or not spans else self.text[: spans[-1][1]]
        return kept_text(text, spans, mask)

    def without(self, removed: Iterable[int]) -> str:
        """The text without these tokens."""
        mask = np.ones(self.read, bool)
        mask[list(removed)] = False
        return self.keep(mask)


def cut_up(model: Any, texts: Sequence[str], unit: str = "word") -> list[Pieces]:
    """Finds the tokens of texts.

    Args:
        model: whose own tokens are taken for `unit="token"`, and which knows what it reads.
        texts: any strings.
        unit: `"word"`, as `word_spans` finds them, or `"token"`, as the model cuts the text.

    Raises:
        ValueError: an unknown unit, or tokens of a model that has no preprocessor.
    """
    if unit not in UNITS:
        raise ValueError(f"`unit` must be one of {UNITS}. Received: unit={unit!r}")
    spans_of = getattr(getattr(model, "preprocessor", None), "spans", None)
    if spans_of is None:
        if unit == "token":
            raise ValueError(
                "Only a model with a preprocessor can say what its tokens are. Take unit='word'. "
                f"Received: unit='token', a {type(model).__name__}"
            )
        return [Pieces(text, spans, len(spans)) for text in texts for spans in [_words(text)]]
    owned = [[(start, end) for start, end in row if start < end] for row in spans_of(list(texts))]
    found = [
        _words(text) if unit == "word" else tuple(merge_overlapping(own))
        for text, own in zip(texts, owned, strict=True)
    ]
    read_to = [
        max((end for _, end in own), default=len(text))
        for text, own in zip(texts, owned, strict=True)
    ]
    cut = _cut(model, texts, read_to)
    return [
        Pieces(text, spans, sum(start < at for start, _ in spans), at)
        if is_cut
        else Pieces(text, spans, len(spans))
        for text, spans, at, is_cut in zip(texts, found, read_to, cut, strict=True)
    ]


def _words(text: str) -> tuple[Span, ...]:
    return tuple(word_spans(text))


def _cut(model: Any, texts: Sequence[str], read_to: Sequence[int]) -> list[bool]:
    """Whether the model leaves out words from there on, for they are beyond what it reads.

    A tokenizer that knows no emoji leaves them out, too, but that is no cut.
    """
    is_cut = [word_spans(text[at:]) != [] for text, at in zip(texts, read_to, strict=True)]
    doubtful = [text for text, maybe in zip(texts, is_cut, strict=True) if maybe]
    if doubtful:
        tokens = model.preprocessor.tokenize(doubtful)
        whole = tokens.row_lengths().numpy() == model.preprocessor.truncate(tokens).row_lengths()
        is_whole = iter(np.asarray(whole).tolist())
        is_cut = [maybe and not next(is_whole) for maybe in is_cut]
    return is_cut


class Answers:
    """A model's answers to many texts, each asked once, in large batches.

    Args:
        model: has `classes`, and a `predict` that takes strings and returns probabilities.
        batch_size: texts a batch.
        report: called with the number of texts answered after every call of the model.

    Raises:
        TypeError: the model has no `classes` or no `predict`.
    """

    def __init__(
        self, model: Any, batch_size: int = 256, report: Callable[[int], None] | None = None
    ):
        classes = getattr(model, "classes", None)
        if classes is None or len(classes) < 1 or not callable(getattr(model, "predict", None)):
            raise TypeError(
                "Only a classifier's answers can be explained: an object with `classes` and a "
                "`predict(texts, batch_size=…, verbose=…)` that returns probabilities "
                "(rows, classes). "
                f"Received: {type(model).__name__}"
            )
        self.classes: tuple[str, ...] = tuple(str(name) for name in classes)
        self.evaluations = 0
        self._model = model
        self._batch_size = batch_size
        self._report = report
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """Returns probabilities, float64 `(rows, classes)`, in the order of the texts.

        Raises:
            TypeError: the model answers with something else than probabilities.
        """
        keys: list[bytes] = []
        pending: dict[bytes, str] = {}
        characters = 0
        for text in texts:
            # A digest, since the variants of a long text would fill the memory.
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            keys.append(key)
            if key in self._known or key in pending:
                continue
            pending[key] = text
            characters += len(text)
            if len(pending) >= _MOST_TEXTS or characters >= _MOST_CHARACTERS:
                self._ask(pending)
                pending, characters = {}, 0
        self._ask(pending)
        if not keys:
            return np.zeros((0, len(self.classes)))
        return np.stack([self._known[key] for key in keys])

    def forget(self) -> None:
        """Drops the answers so far, to free their memory."""
        self._known.clear()

    def _ask(self, pending: dict[bytes, str]) -> None:
        if not pending:
            return
        rows = self._model.predict(list(pending.values()), batch_size=self._batch_size, verbose=0)
        answers = np.asarray(rows)
        if answers.shape != (len(pending), len(self.classes)) or answers.dtype.kind not in "fiu":
            raise TypeError(
                "The model's `predict` must return probabilities of shape (rows, classes). "
                f"Received: {answers.dtype} of shape {answers.shape} for {len(pending)} texts and "
                f"{len(self.classes)} classes"
            )
        answers = answers.astype(np.float64)
        self._known.update(zip(pending, answers, strict=True))
        self.evaluations += len(pending)
        if self._report is not None:
            self._report(len(pending))
