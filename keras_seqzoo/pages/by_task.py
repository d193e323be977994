"""What the page of each task shows besides leaderboard, costs, curves and data."""

from __future__ import annotations

from keras_seqzoo.pages.answers import ANSWERS
from keras_seqzoo.pages.classes import CLASSES
from keras_seqzoo.pages.forecasts import FORECASTS
from keras_seqzoo.pages.labels import LABELS
from keras_seqzoo.pages.numbers import NUMBERS
from keras_seqzoo.pages.sections import Sections
from keras_seqzoo.pages.tags import TAGS
from keras_seqzoo.tasks.base import Task

# By the name of the task; the page of any other task has no figures of its own.
BY_TASK: dict[str, Sections] = {
    "classify": CLASSES,
    "label": LABELS,
    "regress": NUMBERS,
    "forecast": FORECASTS,
    "tag": TAGS,
    "answer": ANSWERS,
}


def sections_of(task: Task) -> Sections:
    """Returns what the page of a task shows."""
    return BY_TASK.get(task.name, Sections())
