"""`explain`: which words of a text, or of a pair of texts, led to a model's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_seqzoo.checks import check_not_negative, check_whole
from keras_seqzoo.explanation.arguments import check_targets, check_texts
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.explanations import Explanations
from keras_seqzoo.explanation.one_piece import OnePiece
from keras_seqzoo.explanation.progress import progress_bar
from keras_seqzoo.explanation.removal import Answers, cut_up
from keras_seqzoo.explanation.shapley import LEAST_SAMPLES, shapley_values
from keras_seqzoo.explanation.words import Pieces
from keras_seqzoo.names import suggest

METHODS = ("occlusion", "shapley", "integrated_gradients")

# If there are more tokens, they form this many groups of neighbours.
MOST_PLAYERS = {"occlusion": 1024, "shapley": 64}
_POOLED_TOKENS = 4096
# A gradient keeps the outputs of all layers for its rows in memory.
_MOST_ROWS = 32


def explain(
    model: Any,
    texts: Any,
    method: str = "occlusion",
    *,
    target: str | Sequence[str] | None = None,
    span: Any = None,
    unit: str = "word",
    samples: int = 200,
    steps: int = 32,
    tolerance: float = 0.01,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> Explanations:
    """Finds how much each word of texts adds to an answer: to a probability, or to a number.

    Both texts of a pair are explained together. There are three methods. The first two remove words
    and let the model answer again, so they work with any model:

    - `"occlusion"`: how far the answer falls if one word is removed (Zeiler & Fergus 2014,
      Visualizing and Understanding Convolutional Networks, section 4; for words Li et al. 2016,
      Understanding Neural Networks through Representation Erasure, eq. 1). It needs one answer for
      each word. If words can replace each other, each seems to have no effect.
    - `"shapley"`: the mean of what a word adds to every subset of the other words. The scores
      sum to `p(text) - p("")` exactly, for pairs to `p(a, b) - p("", "")`. For up to 8 tokens, it
      uses all subsets (Shapley 1953). For more, it draws random orders (Castro et al. 2009,
      Polynomial calculation of the Shapley value based on sampling; Štrumbelj & Kononenko 2014),
      each with its reverse, until the largest standard error is below `tolerance`, or `samples`
      orders are used up.
    - `"integrated_gradients"`: the gradient at the embeddings, integrated from zero (Sundararajan
      et al. 2017, Axiomatic Attribution for Deep Networks, eq. 1). The scores and `rest`, which
      is the part of special tokens, sum to `p(text) - base`. It needs a model of this package.

    A removed word takes the space on one side with it. Models of this package know how much of a
    text they read: words beyond have the score 0, and removing words does not move others into
    the part that is read. For other models this is not measured. A text of more than 64 tokens
    (occlusion: 1,024) is split into that many groups of neighbours, whose tokens share the score
    equally. No group has tokens of both texts of a pair. Scores for a number are in its unit.

    A text's explanation does not depend on the other texts, and the batch size changes it only by
    rounding.

    Args:
        model: a model of `build_model` that answers with classes, labels or numbers; a
            `SavedPredictor` of one; or any object with `classes` and `predict(texts,
            batch_size=…, verbose=…)`, which returns float `(rows, classes)`. It receives a list
            of strings, or for pairs a list of `(first, second)`.
        texts: a string, a sequence of them, or a `TextTable`; or pairs: `(firsts, seconds)`, rows
            such as `[(first, second), …]`, or a table of them.
        method: one of these three.
        target: the class, label or number to explain, or one for each text; by default the
            likeliest class or label, and the first number.
        span: for a tagger and one text, the piece to explain, as `predict` returned it or as
            `(start, end)` in characters; by default the most probable piece of the type `target`.
            For one question and its context, the answer to explain; by default any answer. If
            words are removed, a piece that still has one of its words counts as the same piece.
        unit: `"word"` for the words and signs of the text, the same for all models, or `"token"`
            for the tokens of the model's preprocessor.
        samples: most random orders of `"shapley"`, at least 4.
        steps: first number of points of the integral of `"integrated_gradients"`.
        tolerance: the standard error at which `"shapley"` stops; for `"integrated_gradients"` how
            far the sum may miss. In probability; for numbers in standard deviations over the
            training rows, or in the number's unit if the task does not know them.
        batch_size: texts in each batch; for `"integrated_gradients"` at most 32.
        seed: seed of the random orders, together with the text: the same seed gives the same
            scores.
        progress: whether to draw a bar on stderr.

    Returns:
        `Explanations`, one for each text or pair, in their order.

    Raises:
        TypeError: a text is not a string, or this model cannot be explained.
        ValueError: no texts, an unknown method, target, span or unit, a number out of its range, a
            model without the tokens or gradients that the arguments need, or pairs for a model of
            single texts or the other way round.

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
            f"`samples` must be at least {LEAST_SAMPLES}: fewer say nothing about the error. "
            f"Received: samples={samples}"
        )
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance > 0:
        raise ValueError(f"`tolerance` must be a number above 0. Received: tolerance={tolerance!r}")
    questions = check_texts(texts)
    if span is not None:
        model = OnePiece(model, questions, span)
        target = model.target
    with progress_bar(len(questions), progress) as report:
        answers = Answers(model, batch_size, report.asked)
        targets = check_targets(target, len(questions), answers.task)
        explanations: list[Explanation] = []
        for chunk in _pooled(cut_up(model, questions, unit)):
            asked = targets[len(explanations) : len(explanations) + len(chunk)]
            full = answers(p.whole for p in chunk)
            likely = answers.task.chosen(full).tolist()
            chosen = [b if a is None else a for a, b in zip(asked, likely, strict=True)]
            if method == "occlusion":
                made = _occlusion(answers, chunk, full, chosen)
            elif method == "shapley":
                made = _shapley(answers, chunk, full, chosen, samples, tolerance, seed)
            else:
                made = _integrated_gradients(
                    model, answers, chunk, full, chosen, steps, tolerance, batch_size
                )
            explanations += made
            answers.forget()
            report.done(len(explanations))
    return Explanations(explanations)


def _occlusion(
    answers: Answers, pieces: Sequence[Pieces], full: np.ndarray, targets: Sequence[int]
) -> list[Explanation]:
    groups = [p.groups(MOST_PLAYERS["occlusion"]) for p in pieces]
    found = answers(
        question
        for p, players in zip(pieces, groups, strict=True)
        for question in [p.empty, *(p.without(player) for player in players)]
    )
    made, at = [], 0
    for p, players, row, target in zip(pieces, groups, full, targets, strict=True):
        empty, less = found[at], found[at + 1 : at + 1 + len(players)]
        at += 1 + len(players)
        scores = _over_tokens(p, players, row - less)
        made.append(
            _explanation(
                answers, p, "occlusion", row, target, scores[:, target], empty[target],
                all_scores=scores, players=len(players),
            )
        )  # fmt: skip
    return made


def _shapley(
    answers: Answers,
    pieces: Sequence[Pieces],
    full: np.ndarray,
    targets: Sequence[int],
    samples: int,
    tolerance: float,
    seed: int,
) -> list[Explanation]:
    empty = answers([pieces[0].empty])[0]
    groups = [p.groups(MOST_PLAYERS["shapley"]) for p in pieces]
    tolerances = [tolerance * answers.spread[target] for target in targets]
    values = shapley_values(answers, pieces, groups, targets, samples, tolerances, seed)
    made = []
    for p, players, row, target, v in zip(pieces, groups, full, targets, values, strict=True):
        scores = _over_tokens(p, players, v.scores)
        errors = None if v.errors is None else _over_tokens(p, players, v.errors)[:, target]
        made.append(
            _explanation(
                answers, p, "shapley", row, target, scores[:, target], empty[target],
                all_scores=scores, errors=errors, convergence=v.convergence, players=len(players),
            )
        )  # fmt: skip
    return made


def _over_tokens(pieces: Pieces, players: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Spreads values of groups `(players, names)` over all tokens; 0 for tokens beyond the cut."""
    spread = np.zeros((len(pieces.spans), values.shape[1]))
    for player, value in zip(players, values, strict=True):
        spread[pieces.read[player]] = value / len(player)
    return spread


def _integrated_gradients(
    model: Any,
    answers: Answers,
    pieces: Sequence[Pieces],
    full: np.ndarray,
    targets: Sequence[int],
    steps: int,
    tolerance: float,
    batch_size: int,
) -> list[Explanation]:
    from keras_seqzoo.explanation.gradients import integrated_gradients

    found = integrated_gradients(
        model,
        [p.whole for p in pieces],
        targets,
        steps=steps,
        tolerance=tolerance,
        batch_size=min(batch_size, _MOST_ROWS),
    )
    made = []
    for p, row, target, given in zip(pieces, full, targets, found, strict=True):
        scores, lost = share_out(given.token_scores, given.spans, p.spans)
        made.append(
            _explanation(
                answers, p, "integrated_gradients", row, target, scores, given.base,
                convergence=given.convergence, rest=float(given.rest) + lost,
            )
        )  # fmt: skip
    return made


def _explanation(
    answers: Answers,
    pieces: Pieces,
    method: str,
    outputs: np.ndarray,
    target: int,
    scores: np.ndarray,
    base: float,
    players: int | None = None,
    **further: Any,
) -> Explanation:
    second: dict[str, Any] = {}
    if len(pieces.texts) > 1:
        second = {"second_at": pieces.bounds[1][0], "second_cut_at": pieces.cuts[1]}
    return Explanation(
        text=pieces.text,
        spans=pieces.spans,
        scores=scores.copy(),
        target=answers.task.names[target],
        names=answers.task.names,
        outputs=outputs,
        base=float(base),
        method=method,
        cut_at=pieces.cuts[0],
        note=_note(pieces, len(pieces.read) if players is None else players),
        outcome=answers.task.outcome,
        spread=answers.spread[target],
        **second,
        **further,
    )


def share_out(
    token_scores: np.ndarray, token_spans: Sequence[Any], spans: Sequence[Any]
) -> tuple[np.ndarray, float]:
    """Sums scores of a model's tokens into other spans of the same text.

    The score of a token in several spans is split by characters. Characters that belong to no
    span, such as spaces, do not count.

    Args:
        token_scores: the score of each token, float `(tokens,)`.
        token_spans: the characters of each token, in any order; they may overlap.
        spans: the spans that receive the scores, in order, without overlap.

    Returns:
        Scores, float64 `(len(spans),)`, and the sum of the scores of tokens that touch no span.
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


def _note(pieces: Pieces, players: int) -> str:
    notes = []
    which = ("",) if len(pieces.texts) == 1 else (" of the first text", " of the second text")
    for (begin, end), cut, of_text in zip(pieces.bounds, pieces.cuts, which, strict=True):
        if cut is not None:
            notes.append(
                f"The model reads the first {cut - begin:,} of {end - begin:,} characters{of_text};"
                " words beyond have the score 0."
            )
    if players < len(pieces.read):
        notes.append(
            f"{len(pieces.read):,} words are taken in {players} groups of neighbours, which share "
            "their score equally."
        )
    if not pieces.spans:
        notes.append(f"There is no word in {'this text' if which == ('',) else 'these texts'}.")
    return " ".join(notes)


def _pooled(pieces: Sequence[Pieces]) -> Iterator[list[Pieces]]:
    """Groups texts until they have enough tokens for large batches."""
    chunk: list[Pieces] = []
    tokens = 0
    for p in pieces:
        chunk.append(p)
        tokens += len(p.read) + 2
        if tokens >= _POOLED_TOKENS:
            yield chunk
            chunk, tokens = [], 0
    if chunk:
        yield chunk
