"""The parts of a page that depend on the task: its figures, sentences and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores


@dataclass(frozen=True)
class Drawing:
    """A figure, and the section around it.

    Attributes:
        link: the section's name in the list at the top of the page.
        told: the description for screen readers.
        draw: makes the figure from `results, labels, columns, table`: a panel for each of these
            models, `columns` side by side. `table` is computed if it is not given.
        table: makes the numbers behind it from `results`, with a column `model`; they are written
            as CSV and JSON.
        is_one: whether it is one figure for all models, not a panel for each.
        of_texts: whether it needs the texts, which a stream does not keep.
    """

    link: str
    told: str
    draw: Callable[..., Figure]
    table: Callable[[Results], pd.DataFrame]
    is_one: bool = False
    of_texts: bool = False


class Said(NamedTuple):
    """A part of an answer, or of the truth, such as `said positive 0.912`."""

    word: str
    name: str = ""
    number: str = ""


def _nothing(results: Results, labels: Sequence[str]) -> dict[str, Any]:
    return {}


def _unsaid(report: Scores, row: int) -> list[Said]:
    return []


def _unmarked(report: Scores, row: int, *texts: str) -> Markup:
    return Markup()


def _untold(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    return []


@dataclass(frozen=True)
class Sections:
    """What the page of a task shows; by default nothing.

    Attributes:
        noun: what one of the task's names is called, such as `"class"`.
        loss: title of the axis of learning curves.
        hidden: figures of the task that have no column.
        template: file in `templates` with the sections around the drawings; "" for none.
        drawings: drawings by the id of their section, which is also the name of the files.
        context: makes further data for the template from `results, labels`.
        verdict: makes the given and the true answer from a report and a row.
        marked: makes the texts with marked answers from a report, a row and its texts; "" for none.
        mistakes: heading of the worst answers.
        about_one: makes the sentences about a single model from `results`, their leaderboard and
            its `label`.
    """

    noun: str = "name"
    loss: str = "loss"
    hidden: frozenset[str] = frozenset()
    template: str = ""
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    context: Callable[[Results, Sequence[str]], dict[str, Any]] = _nothing
    verdict: Callable[[Scores, int], list[Said]] = _unsaid
    marked: Callable[..., Markup] = _unmarked
    mistakes: str = "Worst answers"
    about_one: Callable[[Results, pd.DataFrame, str], list[Markup]] = _untold
