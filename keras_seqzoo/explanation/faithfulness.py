"""`faithfulness`: whether the model depends on the words that an explanation names."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_seqzoo.checks import check_not_negative, check_whole
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.removal import Answers


def faithfulness(
    model: Any,
    explanations: Iterable[Explanation],
    share: Sequence[float] = (0.1, 0.2, 0.5),
    seed: int = 0,
    *,
    draws: int = 5,
    batch_size: int = 256,
) -> pd.DataFrame:
    """Measures how far the answer falls without the top tokens, and with them alone.

    Returns comprehensiveness and sufficiency (DeYoung et al. 2020, ERASER, section 4), and the same
    for as many random tokens. It takes the given share of the tokens that the model reads in each
    text, at least one. Texts without tokens are left out. Falls of a number are in its unit.

    Args:
        model: the model that was explained.
        explanations: explanations by one method.
        share: shares of the tokens, above 0 and at most 1.
        seed: seed of the random tokens.
        draws: random choices for each text; the result is their mean.
        batch_size: texts in each batch.

    Returns:
        A row for each share, with `method`, `share` and `texts` (how many), and means over the
        texts: `comprehensiveness`, the fall of the target's number if the top tokens are deleted
        (the more the better); `comprehensiveness_random`, the same for random tokens, and
        `comprehensiveness_error`, the standard error of the difference of the two; `sufficiency`,
        the fall if only the top tokens are kept (the less the better), `sufficiency_random` and
        `sufficiency_error`.

    Raises:
        TypeError: this model cannot be explained.
        ValueError: a share out of its range, no text with a token, explanations of several
            methods or of a model with other names.
    """
    shares = [share] if isinstance(share, int | float) else list(share)
    if not shares or not all(0 < s <= 1 for s in shares):
        raise ValueError(f"Shares must lie above 0 and be at most 1. Received: share={share!r}")
    check_not_negative(seed=seed)
    check_whole(draws=draws, batch_size=batch_size)
    answers = Answers(model, batch_size)
    chosen = [e for e in explanations if len(e.pieces.read)]
    methods = sorted({e.method for e in chosen})
    if len(methods) != 1 or any(e.names != answers.task.names for e in chosen):
        raise ValueError(
            "Faithfulness takes explanations of one method and of this model, and at least one "
            f"text with a token. Received: {len(chosen)} such texts, methods {methods}, "
            f"{answers.task.noun} {answers.task.names}"
        )
    random = np.random.default_rng(seed)
    rows = []
    for part in shares:
        falls = _falls(answers, chosen, part, draws, random)
        row: dict[str, Any] = {"method": methods[0], "share": part, "texts": len(chosen)}
        for name, fall in zip(("comprehensiveness", "sufficiency"), falls, strict=True):
            top, at_random = fall[:, 0], fall[:, 1:].mean(axis=1)
            row[name] = top.mean()
            row[f"{name}_random"] = at_random.mean()
            spread = np.std(top - at_random, ddof=1) if len(chosen) > 1 else math.nan
            row[f"{name}_error"] = spread / math.sqrt(len(chosen))
        rows.append(row)
    return pd.DataFrame(rows)


def _falls(
    answers: Answers,
    explanations: Sequence[Explanation],
    share: float,
    draws: int,
    random: np.random.Generator,
) -> np.ndarray:
    """How far the target's number falls: `(2, texts, 1 + draws)`.

    First without the tokens, then with them alone; first for the top tokens, then the random ones.
    """
    questions = []
    for e in explanations:
        pieces = e.pieces
        read = len(pieces.read)
        count = math.ceil(share * read)
        order = np.argsort(-e.scores[pieces.read], kind="stable")
        for numbers in [order, *(random.permutation(read) for _ in range(draws))]:
            taken = np.isin(np.arange(read), numbers[:count])
            questions += [pieces.keep(~taken), pieces.keep(taken)]
    targets = [e.names.index(e.target) for e in explanations]
    found = answers(questions).reshape(len(explanations), 1 + draws, 2, -1)
    left = np.stack([rows[..., target] for rows, target in zip(found, targets, strict=True)])
    before = np.array([e.output for e in explanations])
    return (before[:, np.newaxis, np.newaxis] - left).transpose(2, 0, 1)
