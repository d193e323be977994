"""Tasks: what a model is for. Each has a file with its head, loss, figures and answers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_seqzoo.tasks.base import Task

# Where each task's class is, by its name; listing them imports nothing.
TASKS = {
    "classify": "keras_seqzoo.tasks.classify",
    "label": "keras_seqzoo.tasks.label",
    "regress": "keras_seqzoo.tasks.regress",
    "tag": "keras_seqzoo.tasks.tag",
    "answer": "keras_seqzoo.tasks.answer",
    "forecast": "keras_seqzoo.tasks.forecast",
    "embed": "keras_seqzoo.tasks.embed",
    "generate": "keras_seqzoo.tasks.generate",
    "fill_mask": "keras_seqzoo.tasks.fill_mask",
    "prompt": "keras_seqzoo.tasks.prompt",
}

# The task for each kind of target, unless the user names one.
TASK_OF_TARGET = {
    "class": "classify",
    "labels": "label",
    "number": "regress",
    "tags": "tag",
    "answer": "answer",
    "future": "forecast",
}

# Keys of `Task.decode` that hold a number for each name, and how their columns begin.
BY_NAME = {"probabilities": "p", "values": "value"}


def task_module(name: str) -> Any:
    """The module of a task.

    Keras is imported first. Its import registers the classes of all tasks, and some tasks are
    built on others.
    """
    import keras  # noqa: F401

    return importlib.import_module(TASKS[name])


def task_for(data: Any) -> Task:
    """The task of a labelled table, with what it learns from the table, such as a scale.

    Raises:
        ValueError: a target that the task does not take.
    """
    made: Task = task_module(TASK_OF_TARGET[data.target.kind]).TASK.of(data, None)
    return made


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """Makes a task and its target again from what `Task.as_dict` returned.

    Raises:
        ValueError: no such task, or a target that it does not take.
    """
    name = values.get("name")
    if name not in TASKS:
        raise ValueError(f"A task is one of {sorted(TASKS)}. Received: {name!r}")
    made: Task = task_module(name).TASK.from_dict(values)
    return made
