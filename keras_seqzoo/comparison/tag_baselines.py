"""Baselines of taggers: a dictionary of the training pieces, and a linear CRF."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_seqzoo.tasks import task_for
from keras_seqzoo.tasks.base import Task


class Word(NamedTuple):
    """A word of a text, and its place in characters."""

    text: str
    start: int
    end: int


class TagBaseline:
    """A tagger that is quick to fit, with the methods of a model of this package."""

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    reads: ClassVar[bool] = True
    pair: ClassVar[bool] = False
    task: Task

    def fit(self, train: Any, valid: Any = None) -> None:
        """Learns from a table of tagged texts.

        Args:
            train: the training rows.
            valid: not used.
        """
        self.task = task_for(train)
        target: Any = self.task.target
        spans = target.spans(train.labels)
        words = list(_words(train.texts))
        tags = [_tags(row, found) for row, found in zip(words, spans, strict=True)]
        self.learn(words, tags)

    def learn(self, words: Sequence[Sequence[Word]], tags: Sequence[Sequence[str]]) -> None:
        """Learns from words and their BIO tags."""
        raise NotImplementedError

    def tag(self, words: Sequence[Word]) -> tuple[Sequence[str], Sequence[float]]:
        """Returns the BIO tags of a text's words, and the probability of each."""
        raise NotImplementedError

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto"
    ) -> npt.NDArray[np.object_]:
        """Returns the answers as a model of the task does, an object array `(rows,)`.

        Args:
            x: texts.
            batch_size: not used.
            verbose: not used.
        """
        answers = []
        for text, words in zip(x, _words(x), strict=True):
            pieces: list[dict[str, Any]] = []
            tags, probabilities = self.tag(words) if words else ((), ())
            before = "O"
            for word, tag, probability in zip(words, tags, probabilities, strict=True):
                goes_on = tag.startswith("I-") and before[1:] == tag[1:]
                if goes_on:
                    last = pieces[-1]
                    last["end"], last["text"] = word.end, text[last["start"] : word.end]
                    last["probability"] = min(last["probability"], probability)
                elif tag != "O":
                    kept = {"label": tag[2:], "text": text[word.start : word.end]}
                    place = {"start": word.start, "end": word.end, "probability": probability}
                    pieces.append(kept | place)
                before = tag
            answers.append(pieces)
        return self.task.as_outputs(answers)

    def count_params(self) -> int:
        """Number of pieces or weights."""
        raise NotImplementedError

    def size_mb(self) -> float:
        """Size of the learnt values, in MB of 1,000,000 bytes."""
        raise NotImplementedError


class Dictionary(TagBaseline):
    """Finds exact copies of the pieces of the training texts, the longest first."""

    name = "dictionary"
    title = "A dictionary of the training pieces"
    description = "pieces of the training rows, looked up word by word, the longest first"

    def learn(self, words: Sequence[Sequence[Word]], tags: Sequence[Sequence[str]]) -> None:
        """Keeps every piece with the type that it has most often."""
        found: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for row, of_row in zip(words, tags, strict=True):
            piece: list[str] = []
            for word, tag, after in zip(row, of_row, [*of_row[1:], "O"], strict=True):
                piece = [*piece, word.text] if tag != "O" else []
                if tag != "O" and not after.startswith("I-"):
                    found[tuple(piece)][tag[2:]] += 1
                    piece = []
        self.types = {piece: kinds.most_common(1)[0][0] for piece, kinds in found.items()}
        self.longest = max(map(len, self.types), default=0)

    def tag(self, words: Sequence[Word]) -> tuple[Sequence[str], Sequence[float]]:
        texts = [word.text for word in words]
        tags, at = [], 0
        while at < len(texts):
            sizes = range(min(self.longest, len(texts) - at), 0, -1)
            size = next((n for n in sizes if tuple(texts[at : at + n]) in self.types), 0)
            kind = self.types.get(tuple(texts[at : at + size]))
            tags += ["O"] if kind is None else [f"B-{kind}", *[f"I-{kind}"] * (size - 1)]
            at += max(size, 1)
        return tags, [1.0] * len(tags)

    def count_params(self) -> int:
        """Number of pieces."""
        return len(self.types)

    def size_mb(self) -> float:
        """Size of the pieces as text, in MB of 1,000,000 bytes."""
        return sum(len(" ".join(p)) + len(k) for p, k in self.types.items()) / 1e6


class LinearCrf(TagBaseline):
    """A linear-chain CRF over words, their shapes, beginnings and endings (CRFsuite)."""

    name = "linear_crf"
    title = "A linear CRF over words and their shapes"
    description = "words, shapes, first and last letters, neighbours → linear-chain CRF (CRFsuite)"

    def learn(self, words: Sequence[Sequence[Word]], tags: Sequence[Sequence[str]]) -> None:
        """Fits the weights, by L-BFGS with L1 and L2 penalties of 0.1.

        Raises:
            ImportError: python-crfsuite is not installed.
        """
        try:
            import pycrfsuite
        except ImportError as error:
            raise ImportError(
                'The linear CRF needs python-crfsuite: pip install "keras-seqzoo[crf]". '
                "Received: no pycrfsuite"
            ) from error
        trainer = pycrfsuite.Trainer(verbose=False)
        trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": 100})
        for row, of_row in zip(words, tags, strict=True):
            if row:
                trainer.append(_features(row), of_row)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            trainer.train(str(path))
            self.model = path.read_bytes()

    def tag(self, words: Sequence[Word]) -> tuple[Sequence[str], Sequence[float]]:
        tagger = self._tagger()
        tags = tagger.tag(_features(words))
        return tags, [tagger.marginal(tag, place) for place, tag in enumerate(tags)]

    def _tagger(self) -> Any:
        import pycrfsuite

        if getattr(self, "_opened", None) is None:
            self._opened = pycrfsuite.Tagger()
            self._opened.open_inmemory(self.model)
        return self._opened

    def count_params(self) -> int:
        """Number of weights."""
        info = self._tagger().info()
        return len(info.state_features) + len(info.transitions)

    def size_mb(self) -> float:
        """Size of the model's file, in MB of 1,000,000 bytes."""
        return len(self.model) / 1e6


TAG_BASELINES: dict[str, type[TagBaseline]] = {kind.name: kind for kind in (Dictionary, LinearCrf)}


def _words(texts: Any) -> Iterator[list[Word]]:
    """Yields the words of each text, split as taggers split them."""
    import tensorflow as tf

    from keras_seqzoo.preprocessing.base import as_strings
    from keras_seqzoo.preprocessing.placed import split_words

    strings = as_strings(texts)
    found = split_words(strings)
    rows = tf.RaggedTensor.from_value_rowids(
        tf.stack([found.starts, found.ends], axis=1), found.rows, nrows=tf.size(strings, tf.int64)
    )
    for text, places in zip(texts, rows.to_list(), strict=True):
        yield [Word(text[start:end], start, end) for start, end in places]


def _tags(words: Sequence[Word], spans: Sequence[tuple[int, int, str]]) -> list[str]:
    tags, before = [], None
    for word in words:
        span = next((s for s in spans if s[0] < word.end and word.start < s[1]), None)
        tags.append("O" if span is None else f"{'I' if span == before else 'B'}-{span[2]}")
        before = span
    return tags


def _shape(word: str) -> str:
    kinds = (
        "X" if c.isupper() else "x" if c.islower() else "d" if c.isdigit() else c for c in word
    )
    shape = "".join(kinds)
    return shape if len(shape) < 5 else f"{shape[:2]}~{shape[-2:]}"


def _features(words: Sequence[Word]) -> list[dict[str, Any]]:
    texts = ["<s>", "<s>", *(word.text for word in words), "</s>", "</s>"]
    made = []
    for at in range(2, len(texts) - 2):
        word = texts[at]
        found: dict[str, Any] = {"bias": 1.0, "starts": word[:3], "ends": word[-3:]}
        found |= {"ends_2": word[-2:], "title": word.istitle(), "upper": word.isupper()}
        for step in (-2, -1, 0, 1, 2):
            found[f"word{step}"] = texts[at + step].lower()
            found[f"shape{step}"] = _shape(texts[at + step])
        found["pair-1"] = f"{found['word-1']} {found['word0']}"
        found["pair1"] = f"{found['word0']} {found['word1']}"
        made.append(found)
    return made
