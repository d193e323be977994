"""A model's answer reduced to one piece of a text, such as one name of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_seqzoo.explanation.words import Question, word_spans
from keras_seqzoo.tasks.classify import task_of


class OnePiece:
    """A model that finds pieces, reduced to its answer about one piece.

    If words of the text are removed, the piece is one that has one of its words, and its type.

    Args:
        model: a tagger or a model that answers from contexts, or an export of one.
        questions: the text, or the question and its context.
        span: the piece, as `predict` returns it, or its start and end in characters; then the
            first piece of the answer that it touches.

    Attributes:
        target: the piece's type.

    Raises:
        ValueError: a model that finds no pieces, several texts, or a span that touches none.
    """

    def __init__(self, model: Any, questions: Sequence[Question], span: Any):
        task = task_of(model)
        if len(questions) != 1:
            raise ValueError(
                "`span` must be a piece of one text. Pass that text alone. Received: "
                f"span={span!r}, {len(questions)} texts"
            )
        start, end = _ends(span)
        pieces = None if task is None else task.pieces(model.predict(list(questions), verbose=0)[0])
        if task is None or pieces is None:
            raise ValueError(
                "`span` is one of the pieces that a tagger finds, or an answer in its context. "
                f"Leave it out for other models. Received: span={span!r}, a {type(model).__name__}"
            )
        found = [p for p in pieces if p["start"] < end and start < p["end"]]
        if not found:
            there = ", ".join(f"{p['text']!r} ({p['start']}, {p['end']})" for p in pieces)
            raise ValueError(
                "`span` must touch a piece that the model finds in the text: "
                f"{there or 'there is none'}. Received: span={span!r}"
            )
        self.target: str = found[0]["label"]
        self.task = task
        self._model = model
        self._words = _words(found[0]["text"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, texts: Any, **options: Any) -> Any:
        """Returns the model's answer about the piece alone."""
        answers = self._model.predict(texts, **options)
        made = np.empty(len(answers), object)
        for place, row in enumerate(answers):
            kept = [
                p
                for p in self.task.pieces(row) or ()
                if p["label"] == self.target and self._words & _words(p["text"])
            ]
            made[place] = self.task.of_pieces(row, kept)
        return made


def _words(text: str) -> set[str]:
    return {text[start:end] for start, end in word_spans(text)}


def _ends(span: Any) -> tuple[int, int]:
    given = (span.get("start"), span.get("end")) if isinstance(span, Mapping) else tuple(span)
    if len(given) != 2 or not all(isinstance(x, int | np.integer) for x in given):
        raise ValueError(
            "`span` must be a piece as `predict` returns it, or two whole numbers, the first "
            f"character and the one after the last. Received: span={span!r}"
        )
    return int(given[0]), int(given[1])
