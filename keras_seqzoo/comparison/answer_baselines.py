"""What models that answer questions have to beat: silence, and the sentence with the same words."""

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
    """Never an answer, with the methods of a model of ours."""

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
            valid: another.
        """
        self.task = task_for(train)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto"
    ) -> npt.NDArray[np.object_]:
        """Returns what a model of the task does, an object array `(rows,)`.

        Args:
            x: questions and contexts, as a table takes them.
            batch_size: not used.
            verbose: not used.
        """
        questions, contexts = text_columns(x).values()
        found = (self.find(q, c) for q, c in zip(questions, contexts, strict=True))
        return self.task.as_outputs(
            [self.told(c, *f) for c, f in zip(contexts, found, strict=True)]
        )

    def find(self, question: str, context: str) -> tuple[int, int, float]:
        """The first character of the answer, the one behind its last, and how probable it is."""
        return -1, -1, 0.0

    def told(self, context: str, start: int, end: int, probability: float) -> dict[str, Any]:
        """The answer as the task tells it."""
        answer = context[start:end] if start >= 0 else ""
        said = {"answer": answer, "start": start, "end": end}
        sure = probability if answer else 1 - probability
        return {**said, "probability": sure, "no_answer": 1 - probability}

    def count_params(self) -> int:
        """Number of what was learnt."""
        return 0

    def size_mb(self) -> float:
        """Size of what was learnt, in MB of 1,000,000 bytes."""
        return 0.0


class SharedWords(NoAnswer):
    """The sentence that shares the most words with the question, rare ones counting more.

    A word counts by the share of training contexts that have it, as in scikit-learn's
    `TfidfTransformer`. Below a share of the question's words, which is chosen on the validation
    rows, there is no answer.
    """

    name = "shared_words"
    title = "The sentence with the most words of the question"
    description = "the sentence with the most words of the question, rare ones counting more"
    reads = True

    def fit(self, train: Any, valid: Any = None) -> None:
        """Counts the contexts with each word.

        Args:
            train: a table of questions and answers.
            valid: rows on which it is chosen from what share of the words on there is an answer.
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
        # A share is between 0 and 1, and a threshold may lie beyond.
        self.least = min(
            max(best_threshold(np.array(margins), np.array(scores), np.array(has)), 0.0), 2.0
        )

    def find(self, question: str, context: str) -> tuple[int, int, float]:
        """The sentence, and the share of the question's words in it."""
        asked = _words(question)
        whole = sum(map(self._weight, asked))
        best = (-1, -1, 0.0)
        for start, end in _sentences(context):
            shared = sum(map(self._weight, asked & _words(context[start:end])))
            if whole and shared / whole > best[2]:
                best = (start, end, shared / whole)
        return best

    def told(self, context: str, start: int, end: int, probability: float) -> dict[str, Any]:
        """The sentence, where it shares enough."""
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
