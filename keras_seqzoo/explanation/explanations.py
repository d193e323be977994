"""`Explanations`: explanations of many texts, as tables, pages and figures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

import pandas as pd

from keras_seqzoo.checks import check_whole
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.words import without_surrogates
from keras_seqzoo.files import whole


class Explanations(Sequence[Explanation]):
    """Explanations of texts, in the order of the texts.

    Args:
        explanations: one for each text.
    """

    def __init__(self, explanations: Iterable[Explanation]):
        self._explanations = tuple(explanations)

    def __len__(self) -> int:
        return len(self._explanations)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...

    @overload
    def __getitem__(self, index: slice) -> Explanations: ...

    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        if isinstance(index, slice):
            return Explanations(self._explanations[index])
        return self._explanations[index]

    def __repr__(self) -> str:
        methods = sorted({e.method for e in self})
        return f"Explanations({len(self):,} text{'s' * (len(self) != 1)}, {', '.join(methods)})"

    def __str__(self) -> str:
        return "\n\n".join(str(explanation) for explanation in self)

    def __rich__(self) -> Any:
        """The texts for a terminal, in colours and with the scores of the most important words."""
        from rich.text import Text

        from keras_seqzoo.explanation.rendering import terminal

        return Text("\n\n").join(terminal(explanation) for explanation in self)

    def _repr_html_(self) -> str:
        from keras_seqzoo.explanation.rendering import fragment

        return "".join(fragment(explanation) for explanation in self)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """Makes a complete page: all texts with their words highlighted, and the global view.

        Args:
            path: also write the page here; replaces an existing file, and makes the folder.

        Returns:
            The page. It loads nothing from the network.
        """
        from keras_seqzoo.explanation.rendering import page

        made = page(self)
        if path is not None:
            Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as unfinished:
                unfinished.write_text(made, encoding="utf-8")
        return made

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Returns all of it as JSON, for `from_json`; writes it to `path`, too, if given."""
        made = json.dumps([explanation.as_dict() for explanation in self])
        if path is not None:
            Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as unfinished:
                unfinished.write_text(made, encoding="utf-8")
        return made

    @classmethod
    def from_json(cls, text: str) -> Explanations:
        """Makes the explanations from what `to_json` returned.

        Raises:
            ValueError: the text is something else.
        """
        return cls(Explanation.from_dict(values) for values in json.loads(text))

    def to_frame(self) -> pd.DataFrame:
        """Returns a row for each token.

        Returns:
            `row` (number of the text or pair), `token`, `start` and `end` (its characters in
            `Explanation.text`), `score`, `error` (missing if the score is exact), `target` and
            `method`.
        """
        rows = [
            {
                "row": row,
                "token": without_surrogates(e.text[start:end]),
                "start": start,
                "end": end,
                "score": float(e.scores[i]),
                "error": None if e.errors is None else float(e.errors[i]),
                "target": e.target,
                "method": e.method,
            }
            for row, e in enumerate(self)
            for i, (start, end) in enumerate(e.spans)
        ]
        columns = ["row", "token", "start", "end", "score", "error", "target", "method"]
        return pd.DataFrame(rows, columns=columns).astype({"score": float, "error": float})

    def global_view(self, k: int = 15, min_count: int | None = None) -> pd.DataFrame:
        """Finds the tokens that push each class or label, and those that move each number.

        Removing words finds the effect of a token on each of them. Integrated gradients find it for
        the target only, so a class counts only the texts explained for it.

        Args:
            k: most tokens for each class, label or number.
            min_count: how often a token must occur; by default once, from 20 texts on twice, from
                200 on five times.

        Returns:
            `class` (or label, or number), `token` (case folded), `mean_score` over its
            occurrences, and their `count`; a row for each token, by class, the strongest first.
            Leaves out tokens that push away from a class or label, but not those that lower a
            number.

        Raises:
            ValueError: a number below 1.
        """
        check_whole(k=k)
        if min_count is None:
            min_count = 1 + (len(self) >= 20) + 3 * (len(self) >= 200)
        check_whole(min_count=min_count)
        rows: list[tuple[str, str, float]] = []
        for e in self:
            tokens = [without_surrogates(t).casefold() for t in e.tokens]
            read = e.pieces.read.tolist()
            for number, name in enumerate(e.names):
                if e.all_scores is not None:
                    scores = e.all_scores[:, number]
                elif name == e.target:
                    scores = e.scores
                else:
                    continue
                rows += [(name, tokens[i], float(scores[i])) for i in read]
        frame = pd.DataFrame(rows, columns=["class", "token", "score"])
        means = frame.groupby(["class", "token"], as_index=False, sort=True).agg(
            mean_score=("score", "mean"), count=("score", "size")
        )
        signed = all(e.outcome != "probability" for e in self)
        strength = means["mean_score"].abs() if signed else means["mean_score"]
        means = means[(means["count"] >= min_count) & (strength > 0)]
        means = means.sort_values("mean_score", key=abs, ascending=False, kind="stable")
        order = {name: i for e in self[:1] for i, name in enumerate(e.names)}
        means = means.sort_values("class", key=lambda c: c.map(order), kind="stable")
        return means.groupby("class", sort=False).head(k).reset_index(drop=True)

    def plot_convergence(self, to: Any = None) -> Any:
        """Draws the error against the effort, a line for each text. Needs matplotlib.

        Args:
            to: a path for the picture, a matplotlib `Axes` to draw in, or None.

        Returns:
            The matplotlib `Figure`.

        Raises:
            ValueError: the method does not converge in steps.
        """
        from keras_seqzoo.explanation.rendering import convergence_figure

        return convergence_figure(self, to)
