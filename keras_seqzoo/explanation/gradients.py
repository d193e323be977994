"""Integrated gradients of the token embeddings, for every model that looks tokens up in a table.

Source: Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks, equation 1.

A model of a frozen graph takes only ids, so it cannot take the path from the baseline to the text.
But the graph looks the ids up in a variable. For a while, this table holds the scaled vectors of
the path, each in its own row, and the ids are the numbers of these rows.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_seqzoo.checks import check_whole
from keras_seqzoo.explanation.removal import joined_spans, own_spans
from keras_seqzoo.explanation.words import Question
from keras_seqzoo.features import FEATURES
from keras_seqzoo.tasks.head import TextPredictor

_MOST_STEPS = 512


@dataclass(frozen=True)
class GradientScores:
    """The integrated gradients of one text.

    Attributes:
        spans: `(start, end)` of each token in the characters of the text, as `Preprocessor.spans`;
            for a pair in both texts, with `words.JOINT` between them.
        token_scores: float64 `(tokens,)`, what each token adds to the output of the target.
        rest: the score of the unknown token that replaces a text without tokens. Else 0, because
            special tokens are part of the baseline.
        base: output of the target if the vectors of all tokens are zero.
        output: output of the target for the text.
        convergence: pairs of steps and their completeness gap: by how much the scores and the
            rest miss `output - base`. The last pair belongs to the scores.
    """

    spans: tuple[tuple[int, int], ...]
    token_scores: np.ndarray
    rest: float
    base: float
    output: float
    convergence: tuple[tuple[int, float], ...]


def integrated_gradients(
    model: Any,
    texts: Sequence[Question],
    targets: Any,
    *,
    steps: int = 32,
    tolerance: float = 0.01,
    batch_size: int = 32,
) -> list[GradientScores]:
    r"""Divides an output among the tokens of a text by integrated gradients.

    With $x$ the token's vectors, $x_i$ the vector of token $i$ and $F$ the output of the
    target, token $i$ scores $\int_0^1 x_i \cdot \partial F(\alpha x) / \partial x_i \, d\alpha$:
    the baseline is the zero vector for every token, except the tokens for start, end, padding and
    between the texts of a pair, which keep theirs.

    The integral is taken over $u$ with $\alpha = u^3$, at Gauss-Legendre nodes. If $F$ is smooth
    along the path, their error falls exponentially. The cube puts nodes close to the baseline.
    There, a layer normalisation of vectors that are almost zero (DeBERTa's) changes within a
    thousandth of the path. Without the cube, 512 even nodes miss that. For the texts that need it,
    the steps are doubled, up to 512, until the gap to `output - base` is at most `tolerance`.

    While it runs, the model has another embedding: no other thread may use the model. Afterwards,
    also after an error or an interrupt, the embedding is the same as before, bit for bit.

    Args:
        model: a `TextPredictor`.
        texts: strings, or pairs `(first, second)` of them.
        targets: for each text the class, label or number to explain, by name or position.
        steps: first number of nodes.
        tolerance: largest accepted completeness gap, in probability; for numbers in their standard
            deviation over the training rows.
        batch_size: most rows of a forward pass; a row is a text at a node.

    Returns:
        The scores, text by text.

    Raises:
        ValueError: the model's embedding cannot be found, not as many targets as texts, or a value
            out of its range.
    """
    check_whole(steps=steps, batch_size=batch_size)
    if not tolerance > 0:
        raise ValueError(f"`tolerance` must be above 0. Received: tolerance={tolerance!r}")
    if not isinstance(model, TextPredictor):
        raise _unreachable(f"a {type(model).__name__}")
    if model.wide is not None and model.get_layer("wide").share.numpy() > 0:
        raise ValueError(
            "Part of this model's answers comes from counts of words, which have no gradients. "
            "Take method='occlusion' or 'shapley', or build the model with wide=False. "
            "Received: method='integrated_gradients'"
        )
    texts = list(texts)
    names = model.task.names
    places = {key: place for place, name in enumerate(names) for key in (name, place)}
    if (unknown := next((t for t in targets if t not in places), None)) is not None:
        raise ValueError(
            f"`targets` must be answers of the model, {names}, or their numbers. "
            f"Received: {unknown!r}"
        )
    numbers = np.array([places[t] for t in targets], np.int32)
    if numbers.shape != (len(texts),):
        raise ValueError(
            "Each text needs one target. "
            f"Received: {len(texts)} texts, targets of shape {numbers.shape}"
        )
    if not texts:
        return []
    items = _items(model, texts, numbers)
    scales = np.array([s or 1.0 for s in model.task.spread or [1.0] * len(names)])[numbers]
    path = _Path(model, _lookup_of(model), items, scales, batch_size)
    with path.table_borrowed():
        path.check_rows()
        base = path.scores([(i, 0.0) for i in range(len(items))])[0]
        return _converge(path, base, steps, tolerance * scales)


def _converge(
    path: _Path, base: np.ndarray, steps: int, tolerances: np.ndarray
) -> list[GradientScores]:
    items, differences = path.items, path.outputs - base
    scores: list[np.ndarray] = [np.zeros(0)] * len(items)
    convergence: list[list[tuple[int, float]]] = [[] for _ in items]
    open_items = list(range(len(items)))
    while open_items:
        nodes, weights = _nodes(steps)
        at_nodes = path.scores([(i, alpha) for i in open_items for alpha in nodes])[1]
        for place, i in enumerate(open_items):
            scores[i] = weights @ np.stack(at_nodes[place * steps : (place + 1) * steps])
            gap = abs(scores[i].sum() - differences[i])
            convergence[i].append((steps, float(gap)))
        open_items = [i for i in open_items if not convergence[i][-1][1] <= tolerances[i]]
        steps *= 2
        if steps > _MOST_STEPS:
            break
    return [
        GradientScores(
            spans=item.spans,
            token_scores=score[item.tokens],
            rest=0.0 if item.spans else float(score.sum()),
            base=float(base[i]),
            output=float(path.outputs[i]),
            convergence=tuple(convergence[i]),
        )
        for i, (item, score) in enumerate(zip(items, scores, strict=True))
    ]


class _Item(NamedTuple):
    """A text: its ids without padding, the positions that are its tokens, and those scaled."""

    ids: np.ndarray
    segments: np.ndarray
    tokens: np.ndarray
    scaled: np.ndarray
    target: int
    spans: tuple[tuple[int, int], ...]


def _items(model: TextPredictor, texts: list[Question], targets: np.ndarray) -> list[_Item]:
    preprocessor = model.preprocessor
    features = preprocessor(texts)
    rows = zip(*(features[name].numpy() for name in FEATURES), strict=True)
    first = int(preprocessor.start_id is not None)
    last = int(preprocessor.end_id is not None)
    sides = 1 + preprocessor.pair
    own = own_spans(preprocessor, texts)
    items = []
    for number, (text, target, (ids, mask, segments)) in enumerate(
        zip(texts, targets, rows, strict=True)
    ):
        length = int(mask.sum())
        mine = own[number * sides : (number + 1) * sides]
        spans = joined_spans(mine, (text,) if isinstance(text, str) else text)
        # The second text starts after the first one and the tokens between them.
        places = first + np.arange(len(spans))
        places[len(mine[0]) :] += preprocessor.separators * preprocessor.pair
        scaled = np.zeros(length, bool)
        scaled[first : length - last] = not preprocessor.pair
        scaled[places] = True
        items.append(
            _Item(ids[:length], segments[:length], places, scaled, int(target), tuple(spans))
        )
    return items


class _Path:
    """Texts on their way from the baseline, many nodes of many texts in one forward pass."""

    def __init__(
        self,
        model: TextPredictor,
        lookup: _Lookup,
        items: list[_Item],
        scales: np.ndarray,
        batch_size: int,
    ):
        self.items = items
        self._lookup = lookup
        self._batch_size = batch_size
        self._pad_id = model.preprocessor.pad_id
        self._rounding = _rounding(model) * scales
        self.outputs = np.zeros(len(items))
        for rows in self._batches([(i, 1.0) for i in range(len(items))]):
            numbers = [i for i, _ in rows]
            self.outputs[numbers] = lookup(*self._padded(numbers))[0]

    @contextmanager
    def table_borrowed(self) -> Iterator[None]:
        """Restores the embedding at the end, also after an error."""
        table = self._lookup.table
        # The variable has other buffers in between, and this one again at the end.
        self._kept = tf.convert_to_tensor(table)
        self._vectors = self._kept.numpy()
        try:
            yield
        finally:
            table.assign(self._kept)

    def check_rows(self) -> None:
        """Raises if answers depend on the row of a vector: ids then mean more than the vector."""
        first = list(range(min(len(self.items), self._batch_size)))
        moved = self.scores([(i, 1.0) for i in first])[0]
        if not np.all(np.abs(moved - self.outputs[first]) <= self._rounding[first]):
            raise _unreachable("a model that reads more from an id than its vector")

    def scores(self, rows: list[tuple[int, float]]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Takes gradients at points of the path.

        Args:
            rows: pairs of an item's number and the scale of its vectors, from 0 to 1.

        Returns:
            Float64 `(rows,)`, the outputs there, and for each row float64 `(length,)`, the
            gradient's products with the unscaled vectors, 0 for tokens that are not scaled.
        """
        outputs = np.zeros(len(rows))
        products: list[np.ndarray] = [np.zeros(0)] * len(rows)
        order = sorted(range(len(rows)), key=lambda row: len(self.items[rows[row][0]].ids))
        for batch in self._batches(order):
            found = self._batch([rows[row] for row in batch])
            for row, output, product in zip(batch, *found, strict=True):
                outputs[row], products[row] = output, product
        return outputs, products

    def _batches(self, rows: Sequence[Any]) -> Iterator[Any]:
        for start in range(0, len(rows), self._batch_size):
            yield rows[start : start + self._batch_size]

    def _padded(self, numbers: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        items = [self.items[i] for i in numbers]
        shape = (len(items), max(len(item.ids) for item in items))
        made = {name: np.zeros(shape, np.int32) for name in FEATURES}
        made["token_ids"][:] = self._pad_id
        for row, item in enumerate(items):
            real = row, slice(len(item.ids))
            made["token_ids"][real], made["segment_ids"][real] = item.ids, item.segments
            made["padding_mask"][real] = 1
        return made, np.array([item.target for item in items], np.int32)

    def _batch(self, rows: list[tuple[int, float]]) -> tuple[list[float], list[np.ndarray]]:
        features, targets = self._padded([i for i, _ in rows])
        ids = features["token_ids"]
        scaled = np.zeros(ids.shape, bool)
        for row, (i, _) in enumerate(rows):
            scaled[row, : len(self.items[i].ids)] = self.items[i].scaled
        scales = np.where(scaled, np.array([[alpha] for _, alpha in rows]), 1.0)
        pairs = np.stack([scales.ravel(), ids.ravel()], axis=1)
        needed, places = np.unique(pairs, axis=0, return_inverse=True)
        if len(needed) > len(self._vectors):
            if len(rows) == 1:
                raise _unreachable("an embedding of fewer rows than the text has different tokens")
            half = len(rows) // 2
            left, right = self._batch(rows[:half]), self._batch(rows[half:])
            return left[0] + right[0], left[1] + right[1]
        vectors = needed[:, :1] * self._vectors[needed[:, 1].astype(int)].astype(np.float64)
        self._lookup.table.assign(
            tf.tensor_scatter_nd_update(
                self._kept, np.arange(len(needed))[:, None], tf.cast(vectors, self._kept.dtype)
            )
        )
        places = places.reshape(ids.shape).astype(np.int32)
        outputs, gradients = self._lookup({**features, "token_ids": places}, targets)
        products = scaled * np.einsum(
            "blh,blh->bl", gradients, self._vectors[ids].astype(np.float64)
        )
        lengths = [len(self.items[i].ids) for i, _ in rows]
        return outputs.tolist(), [p[:n] for p, n in zip(products, lengths, strict=True)]


class _Lookup:
    """The table in which a model looks up its tokens, and gradients by the vectors found there."""

    def __init__(self, model: TextPredictor):
        self._model = weakref.ref(model)
        least = max(len(model.preprocessor.vocabulary), 2)
        self._candidates = [
            variable.value
            for variable in model.weights
            if len(variable.shape) == 2
            and variable.shape[0] >= least
            and tf.as_dtype(variable.dtype).is_floating
        ]
        self._sliced: list[Any] = []
        ids = tf.TensorSpec([None, None], tf.int32)
        numbers = tf.TensorSpec([None], tf.int32)
        # One trace serves any batch size and any length.
        self._run = tf.function(
            self._differentiate, input_signature=[dict.fromkeys(FEATURES, ids), numbers]
        )
        self._number: int | None = None

    @property
    def table(self) -> Any:
        """The variable; known after the first call."""
        return self._sliced[self._number or 0]

    def __call__(
        self, features: Mapping[str, np.ndarray], targets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the targets' outputs `(batch,)` and gradients `(batch, length, hidden)`."""
        ids = features["token_ids"]
        tensors = {name: tf.constant(value) for name, value in features.items()}
        outputs, slices = self._run(tensors, tf.constant(targets))
        if self._number is None:
            self._number = next(
                (n for n, (where, _) in enumerate(slices) if _reads(where.numpy(), ids)), None
            )
            if self._number is None:
                raise _unreachable("a model without a variable that is gathered by `token_ids`")
        where, values = slices[self._number]
        if not _reads(where.numpy(), ids):
            raise _unreachable("an embedding that is not read in the order of `token_ids`")
        # A table that is read twice has gradients for each time.
        gradients = values.numpy().astype(np.float64).reshape(-1, *ids.shape, values.shape[-1])
        return outputs.numpy().astype(np.float64), gradients.sum(axis=0)

    def _differentiate(self, features: Mapping[str, tf.Tensor], targets: tf.Tensor) -> Any:
        model: Any = self._model()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._candidates)
            answers = model(features, training=False)
            outputs = tf.gather(answers, targets, axis=1, batch_dims=1)
            total = tf.reduce_sum(outputs)
        gradients = tape.gradient(total, self._candidates)
        pairs = zip(self._candidates, gradients, strict=True)
        sliced = [(table, g) for table, g in pairs if isinstance(g, tf.IndexedSlices)]
        self._sliced = [table for table, _ in sliced]
        return outputs, [(slices.indices, slices.values) for _, slices in sliced]


def _reads(where: np.ndarray, ids: np.ndarray) -> bool:
    """Whether places in a table are those of the ids, once or several times."""
    return where.size >= ids.size > 0 == where.size % ids.size and bool(
        (where.reshape(-1, ids.size) == ids.ravel()).all()
    )


# By model, with the variables that it had: building the gradient's graph takes seconds.
_LOOKUPS: weakref.WeakKeyDictionary[Any, tuple[list[int], _Lookup]] = weakref.WeakKeyDictionary()


def _lookup_of(model: TextPredictor) -> _Lookup:
    variables = [id(variable) for variable in model.weights]
    known, lookup = _LOOKUPS.get(model, ([], None))
    if lookup is None or known != variables:
        lookup = _Lookup(model)
        _LOOKUPS[model] = (variables, lookup)
    return lookup


def _rounding(model: TextPredictor) -> float:
    """By how much an answer may differ if the same vectors are in other rows."""
    types = {model.compute_dtype, *(layer.compute_dtype for layer in model.encoder.layers)}
    return 3e-2 if types & {"float16", "bfloat16"} else 1e-3


@cache
def _nodes(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Scales between 0 and 1, and their weights in the integral."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    even = (nodes + 1) / 2
    return even**3, weights / 2 * 3 * even**2


def _unreachable(received: str) -> ValueError:
    return ValueError(
        "The token embedding of this model cannot be reached: integrated gradients need a "
        "model of this package that looks `token_ids` up in a table. Take "
        f"method='occlusion' or 'shapley'. Received: {received}"
    )
