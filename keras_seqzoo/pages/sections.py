"""What a page shows beyond what every page has: the figures, sentences and answers of one task."""

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
        told: what is drawn, read to those who do not see it.
        draw: of `results, labels, columns, table` the figure: a panel for each of these models,
            `columns` side by side. `table` is made where it is not given.
        table: of `results` the numbers behind it, with a column `model`; written as CSV and JSON.
        is_one: whether it is one figure for all models, and not a panel for each.
        of_texts: whether it needs the texts, which are not kept of a stream.
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
        noun: what one of the task's names is.
        loss: what the axis of learning curves is called.
        hidden: figures of the task that have no column.
        template: in `templates`, the sections around the drawings; "" for none.
        drawings: by the id of the section, which is the name of the files, too.
        context: of `results, labels` what else the template shows.
        verdict: of a report and a row of it what was said, and what is true.
        marked: of a report, a row and its texts these with what was said in them; "" for none.
        mistakes: heading of the worst answers.
        about_one: of `results`, their leaderboard and `label` the sentences about a model that
            stands alone.
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
