"""`explain`: which words of a text made a classifier say what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_seqzoo.checks import check_not_negative, check_whole
from keras_seqzoo.explanation.arguments import check_targets, check_texts
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.explanations import Explanations
from keras_seqzoo.explanation.progress import progress_bar
from keras_seqzoo.explanation.removal import Answers, Pieces, cut_up
from keras_seqzoo.explanation.shapley import LEAST_SAMPLES, shapley_values
from keras_seqzoo.names import suggest

METHODS = ("occlusion", "shapley", "integrated_gradients")

# More tokens than these are taken in as many groups of neighbours.
MOST_PLAYERS = {"occlusion": 1024, "shapley": 64}
_POOLED_TOKENS = 4096
# A gradient keeps what all layers made of its rows.
_MOST_ROWS = 32


def explain(
    model: Any,
    texts: Any,
    method: str = "occlusion",
    *,
    target: str | Sequence[str] | None = None,
    unit: str = "word",
    samples: int = 200,
    steps: int = 32,
    tolerance: float = 0.01,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> Explanations:
    """Finds how much each word of texts adds to the probability of a class.

    Three methods. The first two leave words out and ask the model again, and so take any model:

    - `"occlusion"`: how far the probability falls where one word is left out (Zeiler & Fergus
      2014, Visualizing and Understanding Convolutional Networks, section 4; for words Li et al.
      2016, Understanding Neural Networks through Representation Erasure, eq. 1). One question
      a word. Blind to words that stand in for each other: each seems to do nothing.
    - `"shapley"`: the mean of what a word adds to every selection of the others, so that the
      scores sum to `p(text) - p("")` exactly. Up to 8 tokens from all selections (Shapley 1953);
      beyond from random orders (Castro et al. 2009, Polynomial calculation of the Shapley value
      based on sampling; Štrumbelj & Kononenko 2014), each with its reverse, until the largest
      standard error is below `tolerance`, or `samples` orders are used up.
    - `"integrated_gradients"`: the gradient at the embeddings, integrated from zero (Sundararajan
      et al. 2017, Axiomatic Attribution for Deep Networks, eq. 1). The scores and `rest`, which
      is the part of special tokens, sum to `p(text) - base`. Takes models of this package.

    What is left out takes the space on one side with it. Where the model says how much of a text
    it reads (those of this package do), words beyond have the score 0, and leaving words out moves
    no others up; of other models that is not known. A text of more than 64 tokens (occlusion:
    1,024) is taken in that many groups of neighbours, which share their score equally.

    A text's explanation does not depend on the texts beside it, nor on the batch size beyond
    rounding.

    Args:
        model: a classifier of `build_model`, a `SavedPredictor`, or any object with `classes`
            and `predict(texts, batch_size=…, verbose=…)`, float `(rows, classes)`.
        texts: a string, a sequence of them, or a `TextTable`.
        method: one of the three.
        target: the class to explain, or one a text; by default the one the model answers.
        unit: `"word"` for the words and signs of the text, the same for all models, or `"token"`
            for what the model's preprocessor cuts it into.
        samples: most random orders of `"shapley"`, at least 4.
        steps: points of the integral of `"integrated_gradients"` to begin with.
        tolerance: where `"shapley"` stops, as a standard error in probability; for
            `"integrated_gradients"` how far the sum may miss.
        batch_size: texts a batch; of `"integrated_gradients"` at most 32.
        seed: of the random orders, with the text itself: the same seed gives the same scores.
        progress: whether to draw a bar on stderr.

    Returns:
        `Explanations`, one a text, in their order.

    Raises:
        TypeError: a text is no string, or the model no classifier.
        ValueError: no texts, an unknown method, class or unit, a number out of its range, or a
            model without the tokens or gradients that were asked for.

    Example:
        >>> import keras_seqzoo as sz
        >>> table = sz.TextTable.from_texts(["good", "bad"], ["pos", "neg"])
        >>> explanations = sz.explain(sz.build_model("gru", table, units=4), "a good film")
        >>> explanations[0].tokens, explanations[0].scores.shape
        (['a', 'good', 'film'], (3,))
    """
    if method not in METHODS:
        raise ValueError(
            f"`method` must be one of {METHODS}. {suggest(method, METHODS)}"
            f"Received: method={method!r}"
        )
    check_whole(samples=samples, steps=steps, batch_size=batch_size)
    check_not_negative(seed=seed)
    if samples < LEAST_SAMPLES:
        raise ValueError(
            f"`samples` must be at least {LEAST_SAMPLES}: fewer tell nothing of their error. "
            f"Received: samples={samples}"
        )
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance > 0:
        raise ValueError(f"`tolerance` must be a number above 0. Received: tolerance={tolerance!r}")
    strings = check_texts(texts)
    with progress_bar(len(strings), progress) as report:
        answers = Answers(model, batch_size, report.asked)
        pieces = cut_up(model, strings, unit)
        targets = check_targets(target, len(strings), answers.classes)
        explanations: list[Explanation] = []
        for chunk in _pooled(pieces):
            chosen = targets[len(explanations) : len(explanations) + len(chunk)]
            if method == "occlusion":
                made = _occlusion(answers, chunk, chosen)
            elif method == "shapley":
                made = _shapley(answers, chunk, chosen, samples, tolerance, seed)
            else:
                made = _integrated_gradients(
                    model, answers, chunk, chosen, steps, tolerance, batch_size
                )
            explanations += made
            answers.forget()
            report.done(len(explanations))
    return Explanations(explanations)


def _occlusion(
    answers: Answers, pieces: Sequence[Pieces], targets: Sequence[str | None]
) -> list[Explanation]:
    groups = [_groups(p.read, MOST_PLAYERS["occlusion"]) for p in pieces]
    found = answers(
        text
        for p, players in zip(pieces, groups, strict=True)
        for text in [p.text, "", *(p.without(player) for player in players)]
    )
    made, at = [], 0
    for p, players, target in zip(pieces, groups, targets, strict=True):
        full, empty, less = found[at], found[at + 1], found[at + 2 : at + 2 + len(players)]
        at += 2 + len(players)
        made.append(_explanation(answers, p, target, "occlusion", full, empty, full - less))
    return made


def _shapley(
    answers: Answers,
    pieces: Sequence[Pieces],
    targets: Sequence[str | None],
    samples: int,
    tolerance: float,
    seed: int,
) -> list[Explanation]:
    full = answers(p.text for p in pieces)
    empty = answers([""])[0]
    chosen = [
        int(row.argmax()) if target is None else answers.classes.index(target)
        for row, target in zip(full, targets, strict=True)
    ]
    values = shapley_values(
        answers,
        pieces,
        [_groups(p.read, MOST_PLAYERS["shapley"]) for p in pieces],
        chosen,
        samples,
        tolerance,
        seed,
    )
    return [
        _explanation(answers, p, target, "shapley", row, empty, v.scores, v.errors, v.convergence)
        for p, target, row, v in zip(pieces, targets, full, values, strict=True)
    ]


def _explanation(
    answers: Answers,
    pieces: Pieces,
    target: str | None,
    method: str,
    full: np.ndarray,
    empty: np.ndarray,
    by_player: np.ndarray,
    errors: np.ndarray | None = None,
    convergence: tuple[tuple[int, float], ...] = (),
) -> Explanation:
    """Spreads the scores of groups, `(players, classes)`, over the tokens."""
    players = _groups(pieces.read, MOST_PLAYERS[method])
    number = int(full.argmax()) if target is None else answers.classes.index(target)
    scores = np.zeros((len(pieces.spans), len(answers.classes)))
    spread_errors = None if errors is None else np.zeros(len(pieces.spans))
    for i, player in enumerate(players):
        scores[player] = by_player[i] / len(player)
        if errors is not None and spread_errors is not None:
            spread_errors[player] = errors[i, number] / len(player)
    return Explanation(
        text=pieces.text,
        spans=pieces.spans,
        scores=scores[:, number].copy(),
        target=answers.classes[number],
        classes=answers.classes,
        probabilities=full,
        base=float(empty[number]),
        method=method,
        errors=spread_errors,
        class_scores=scores,
        convergence=convergence,
        cut_at=pieces.cut_at,
        note=_note(pieces, len(players)),
    )


def _integrated_gradients(
    model: Any,
    answers: Answers,
    pieces: Sequence[Pieces],
    targets: Sequence[str | None],
    steps: int,
    tolerance: float,
    batch_size: int,
) -> list[Explanation]:
    from keras_seqzoo.explanation.gradients import integrated_gradients

    full = answers(p.text for p in pieces)
    names = [
        answers.classes[row.argmax()] if target is None else target
        for row, target in zip(full, targets, strict=True)
    ]
    found = integrated_gradients(
        model,
        [p.text for p in pieces],
        names,
        steps=steps,
        tolerance=tolerance,
        batch_size=min(batch_size, _MOST_ROWS),
    )
    made = []
    for p, name, row, given in zip(pieces, names, full, found, strict=True):
        scores, lost = share_out(given.token_scores, given.spans, p.spans)
        made.append(
            Explanation(
                text=p.text,
                spans=p.spans,
                scores=scores,
                target=name,
                classes=answers.classes,
                probabilities=row,
                base=float(given.base),
                method="integrated_gradients",
                convergence=tuple(given.convergence),
                rest=float(given.rest) + lost,
                cut_at=p.cut_at,
                note=_note(p, p.read),
            )
        )
    return made


def share_out(
    token_scores: np.ndarray, token_spans: Sequence[Any], spans: Sequence[Any]
) -> tuple[np.ndarray, float]:
    """Sums scores of a model's tokens into other spans of the same text.

    A token that reaches over several of them is split by characters; characters that belong to
    none, such as spaces, do not count.

    Args:
        token_scores: float `(tokens,)`.
        token_spans: the characters of each token, in any order; they may overlap.
        spans: where to, in order, apart.

    Returns:
        Scores, float64 `(len(spans),)`, and the sum of those of tokens that touch no span.
    """
    scores = np.zeros(len(spans))
    starts = np.array([start for start, _ in spans], int)
    ends = np.array([end for _, end in spans], int)
    lost = 0.0
    for score, (start, end) in zip(np.asarray(token_scores, float), token_spans, strict=True):
        shared = np.maximum(np.minimum(ends, end) - np.maximum(starts, start), 0)
        if shared.sum():
            scores += score * shared / shared.sum()
        else:
            lost += float(score)
    return scores, lost


def _groups(tokens: int, most: int) -> list[np.ndarray]:
    """Numbers of the tokens of each player: one, or many neighbours where there are too many."""
    return np.array_split(np.arange(tokens), min(tokens, most)) if tokens else []


def _note(pieces: Pieces, players: int) -> str:
    notes = []
    if pieces.cut_at is not None:
        notes.append(
            f"The model reads the first {pieces.cut_at:,} of {len(pieces.text):,} characters; "
            "words beyond have the score 0."
        )
    if players < pieces.read:
        notes.append(
            f"{pieces.read:,} words are taken in {players} groups of neighbours, which share their "
            "score equally."
        )
    if not pieces.spans:
        notes.append("There is no word in this text.")
    return " ".join(notes)


def _pooled(pieces: Sequence[Pieces]) -> Iterator[list[Pieces]]:
    """Takes texts together until they have enough tokens for large batches."""
    chunk: list[Pieces] = []
    tokens = 0
    for p in pieces:
        chunk.append(p)
        tokens += p.read + 2
        if tokens >= _POOLED_TOKENS:
            yield chunk
            chunk, tokens = [], 0
    if chunk:
        yield chunk
