"""A model's answers to texts with some of their tokens removed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_seqzoo.explanation.words import (
    Pieces,
    Question,
    Span,
    bounds_of,
    merge_overlapping,
    word_spans,
)
from keras_seqzoo.tasks.classify import task_of

UNITS = ("word", "token")
_MOST_TEXTS, _MOST_CHARACTERS = 8192, 8_000_000


def cut_up(model: Any, questions: Sequence[Question], unit: str = "word") -> list[Pieces]:
    """Finds the tokens of texts.

    Args:
        model: the model; its tokens are used for `unit="token"`, and it knows how much it reads.
        questions: texts, or pairs of them.
        unit: `"word"` for the words of `word_spans`, or `"token"` for the tokens of the model.

    Raises:
        ValueError: an unknown unit, tokens of a model that has no preprocessor, or pairs for a
            model of single texts or the other way round.
    """
    if unit not in UNITS:
        raise ValueError(f"`unit` must be one of {UNITS}. Received: unit={unit!r}")
    preprocessor = getattr(model, "preprocessor", None)
    if not hasattr(preprocessor, "spans"):  # a model of another package may have one of its own
        preprocessor = None
    are_pairs = not isinstance(questions[0], str)
    if getattr(preprocessor or model, "pair", are_pairs) != are_pairs:
        raise ValueError(
            "The inputs must be of the kind that the model was built for. Pass "
            + ("texts, each a string" if are_pairs else "pairs, [(first, second), …]")
            + f". Received: {questions[0]!r:.120}"
        )
    texts = [text for q in questions for text in ((q,) if isinstance(q, str) else q)]
    spans: list[list[Span]] = [word_spans(text) for text in texts]
    cuts: list[int | None] = [None] * len(texts)
    if preprocessor is not None:
        own = own_spans(preprocessor, questions)
        if unit == "token":
            spans = [merge_overlapping(row) for row in own]
        cuts = _cuts(preprocessor, texts, own)
    elif unit == "token":
        raise ValueError(
            "Only a model with a preprocessor can say what its tokens are. Take unit='word'. "
            f"Received: unit='token', a {type(model).__name__}"
        )
    sides = 1 + are_pairs
    return [
        _joined(texts[at : at + sides], spans[at : at + sides], cuts[at : at + sides])
        for at in range(0, len(texts), sides)
    ]


def _joined(
    texts: Sequence[str], spans: Sequence[Sequence[Span]], cuts: Sequence[int | None]
) -> Pieces:
    placed = zip(bounds_of(texts), cuts, strict=True)
    return Pieces(
        tuple(texts),
        tuple(joined_spans(spans, texts)),
        tuple(None if cut is None else begin + cut for (begin, _), cut in placed),
    )


def joined_spans(spans: Sequence[Sequence[Span]], texts: Sequence[str]) -> list[Span]:
    """Returns the spans of all texts as spans of the joined text, with `JOINT` between them."""
    placed = zip(bounds_of(texts), spans, strict=True)
    return [(begin + a, begin + b) for (begin, _), row in placed for a, b in row]


def own_spans(preprocessor: Any, questions: Sequence[Question]) -> list[list[Span]]:
    """Returns the spans of a model's tokens, a list for each text; a pair has two, in order."""
    rows: list[list[Span]] = []
    for row in preprocessor.spans(list(questions)):
        between = [number for number, (start, _) in enumerate(row) if start < 0]
        rows += [row[: between[0]], row[between[-1] + 1 :]] if between else [row]
    return rows


def _cuts(
    preprocessor: Any, texts: Sequence[str], own: Sequence[Sequence[Span]]
) -> list[int | None]:
    """The character from which a text is not read because it is too long for the model.

    A tokenizer without emoji leaves them out, too, but that is no cut.
    """
    ends = [
        max((end for start, end in row if start < end), default=len(text))
        for text, row in zip(texts, own, strict=True)
    ]
    cuts: list[int | None] = [None] * len(texts)
    doubtful = [i for i, text in enumerate(texts) if word_spans(text[ends[i] :])]
    if doubtful:
        tokens = preprocessor.tokenize([texts[i] for i in doubtful])
        for i, whole in zip(doubtful, tokens.row_lengths().numpy().tolist(), strict=True):
            cuts[i] = ends[i] if len(own[i]) < whole else None
    return cuts


class Answers:
    """A model's answers to many texts, each asked once, in large batches.

    Args:
        model: one of this package, or another with `classes`, and a `predict` that takes texts or
            pairs and returns numbers.
        batch_size: texts in each batch.
        report: called with the number of texts answered after every call of the model.

    Attributes:
        task: the model's task.
        spread: the size of a large change of each number: the task's `spread`, or 1 if unknown.
        evaluations: texts answered so far.

    Raises:
        TypeError: the model's answers have no names, or it has no `predict`.
    """

    def __init__(
        self, model: Any, batch_size: int = 256, report: Callable[[int], None] | None = None
    ):
        task = task_of(model)
        if task is None or not task.names or not callable(getattr(model, "predict", None)):
            raise TypeError(
                "Only answers with classes, labels or numbers can be explained: those of a model "
                "of this package, or of an object with `classes` and a `predict(texts, "
                "batch_size=…, verbose=…)` that returns probabilities (rows, classes). "
                f"Received: {type(model).__name__}"
            )
        self.task = task
        # The spread of a constant number is 0, which is no measure for the error of a score.
        self.spread = tuple(s or 1.0 for s in task.spread or [1.0] * len(task.names))
        self.evaluations = 0
        self._model = model
        self._batch_size = batch_size
        self._report = report
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, questions: Iterable[Question]) -> np.ndarray:
        """Returns the task's numbers, float64 `(rows, names)`, in the order of the texts.

        Raises:
            TypeError: the model returns something else.
        """
        keys: list[bytes] = []
        pending: dict[bytes, Question] = {}
        characters = 0
        for question in questions:
            texts = (question,) if isinstance(question, str) else question
            # A digest, because the variants of a long text would fill the memory.
            key = b"".join(
                hashlib.blake2b(t.encode("utf-8", "surrogatepass"), digest_size=16).digest()
                for t in texts
            )
            keys.append(key)
            if key in self._known or key in pending:
                continue
            pending[key] = question
            characters += sum(map(len, texts))
            if len(pending) >= _MOST_TEXTS or characters >= _MOST_CHARACTERS:
                self._ask(pending)
                pending, characters = {}, 0
        self._ask(pending)
        if not keys:
            return np.zeros((0, len(self.task.names)))
        return np.stack([self._known[key] for key in keys])

    def forget(self) -> None:
        """Drops the answers so far, to free their memory."""
        self._known.clear()

    def _ask(self, pending: dict[bytes, Question]) -> None:
        if not pending:
            return
        rows = self._model.predict(list(pending.values()), batch_size=self._batch_size, verbose=0)
        answers = np.asarray(self.task.explained(np.asarray(rows)))
        expected = (len(pending), len(self.task.names))
        if answers.shape != expected or answers.dtype.kind not in "fiu":
            raise TypeError(
                f"The model's `predict` must return {self.task.plural} of shape (rows, "
                f"{self.task.noun}). Received: {answers.dtype} of shape {answers.shape} for "
                f"{len(pending)} texts and {len(self.task.names)} {self.task.noun}"
            )
        self._known.update(zip(pending, answers.astype(np.float64), strict=True))
        self.evaluations += len(pending)
        if self._report is not None:
            self._report(len(pending))
