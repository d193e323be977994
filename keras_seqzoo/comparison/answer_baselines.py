"""Baselines for answering questions: no answer, and the sentence that shares the most words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from keras_seqzoo.data.inputs import text_columns
from keras_seqzoo.metrics import answers as metrics
from keras_seqzoo.tasks import task_for
from keras_seqzoo.tasks.base import Task

_SENTENCE = re.compile(r"\S.*?(?:[.!?…。！？]+(?=\s|$)|$)", re.MULTILINE)  # noqa: RUF001
_WORD = re.compile(r"\w+")


class NoAnswer:
    """Never finds an answer; has the methods of a model of this package."""

    name: ClassVar[str] = "no_answer"
    title: ClassVar[str] = "Never an answer"
    description: ClassVar[str] = "no answer, whatever is asked"
    reads: ClassVar[bool] = False
    pair: ClassVar[bool] = True
    task: Task

    def fit(self, train: Any, valid: Any = None) -> None:
        """Learns nothing.

        Args:
            train: a table of questions and answers.
            valid: another such table; not used.
        """
        self.task = task_for(train)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto"
    ) -> npt.NDArray[np.object_]:
        """Returns the answers as a model of the task does, an object array `(rows,)`.

        Args:
            x: questions and contexts, in the form that a table takes.
            batch_size: not used.
            verbose: not used.
        """
        questions, contexts = text_columns(x).values()
        found = (self.find(q, c) for q, c in zip(questions, contexts, strict=True))
        return self.task.as_outputs(
            [self.told(c, *f) for c, f in zip(contexts, found, strict=True)]
        )

    def find(self, question: str, context: str) -> tuple[int, int, float]:
        """Returns the start and end of the answer in characters, and its probability."""
        return -1, -1, 0.0

    def told(self, context: str, start: int, end: int, probability: float) -> dict[str, Any]:
        """Returns the answer in the form of the task."""
        answer = context[start:end] if start >= 0 else ""
        said = {"answer": answer, "start": start, "end": end}
        sure = probability if answer else 1 - probability
        return {**said, "probability": sure, "no_answer": 1 - probability}

    def count_params(self) -> int:
        """Number of learnt values."""
        return 0

    def size_mb(self) -> float:
        """Size of the learnt values, in MB of 1,000,000 bytes."""
        return 0.0


class SharedWords(NoAnswer):
    """The sentence that shares the most words with the question; rare words count more.

    The weight of a word depends on the share of training contexts that have it, as in
    scikit-learn's `TfidfTransformer`. If the sentence has too small a share of the question's
    words, there is no answer. The validation rows choose this threshold.
    """

    name = "shared_words"
    title = "The sentence with the most words of the question"
    description = "the sentence with the most words of the question, rare ones counting more"
    reads = True

    def fit(self, train: Any, valid: Any = None) -> None:
        """Counts the contexts with each word.

        Args:
            train: a table of questions and answers.
            valid: rows that choose the least share of the question's words in an answer.
        """
        from keras_seqzoo.tasks.answer import best_threshold

        super().fit(train)
        contexts = {*train.texts[:, 1].tolist()}
        self.contexts = len(contexts)
        self.found = Counter(word for context in contexts for word in _words(context))
        self.least = 0.0
        if valid is None or not len(valid):
            return
        task: Any = self.task
        margins, scores, has = [], [], []
        for (question, context), true in zip(
            valid.texts, task.target.spans(valid.labels), strict=True
        ):
            start, end, share = self.find(question, context)
            margins.append(share)
            has.append(bool(true))
            texts = [text for *_, text in true]
            scores.append(metrics.scores(texts, context[start:end])[1] if true else 0.0)
        # A share is between 0 and 1, but a threshold may be outside.
        self.least = min(
            max(best_threshold(np.array(margins), np.array(scores), np.array(has)), 0.0), 2.0
        )

    def find(self, question: str, context: str) -> tuple[int, int, float]:
        """Returns start and end of the sentence, and the share of the question's words in it."""
        asked = _words(question)
        whole = sum(map(self._weight, asked))
        best = (-1, -1, 0.0)
        for start, end in _sentences(context):
            shared = sum(map(self._weight, asked & _words(context[start:end])))
            if whole and shared / whole > best[2]:
                best = (start, end, shared / whole)
        return best

    def told(self, context: str, start: int, end: int, probability: float) -> dict[str, Any]:
        """Returns the sentence, if it shares enough words."""
        if probability < self.least:
            start = end = -1
        return super().told(context, start, end, probability)

    def _weight(self, word: str) -> float:
        return 1 + float(np.log((1 + self.contexts) / (1 + self.found[word])))

    def count_params(self) -> int:
        """Number of words."""
        return len(self.found)

    def size_mb(self) -> float:
        """Size of the words as text, in MB of 1,000,000 bytes."""
        return sum(map(len, self.found)) / 1e6


ANSWER_BASELINES: dict[str, type[NoAnswer]] = {kind.name: kind for kind in (NoAnswer, SharedWords)}


def _words(text: str) -> set[str]:
    return {*_WORD.findall(text.lower())}


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _SENTENCE.finditer(text))
