"""The models of a comparison with their options, and how each is trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from keras_seqzoo import zoo
from keras_seqzoo.checks import check_not_negative, check_positive, check_whole
from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.distillation.augmenting import Augmentation
from keras_seqzoo.names import last_part, suggest

Models = Sequence[str | Mapping[str, Any]] | Mapping[str, str | Mapping[str, Any]]

# The figures that can choose an epoch, and whether a higher value is better.
KEEP = {"val_loss": False, "val_calibrated_loss": False, "val_accuracy": True}
_TRAINING = ("epochs", "batch_size", "learning_rate", "search", "teacher", "augment")


@dataclass(frozen=True)
class Candidate:
    """A model of a comparison.

    Attributes:
        label: its name in the table.
        model: what `build_model` takes: a name, a handle or a folder; or a name of `BASELINES`.
        options: options of `build_model`.
        epochs: most passes over the training rows; the comparison's own if None.
        batch_size: rows in each step; the comparison's own if None.
        learning_rate: learning rate of the optimizer; the model's own if None.
        search: values that a search tries, by option; the search's own if None.
        teacher: label of the model of the comparison whose answers it learns, or the path of a
            trained model; None for no teacher.
        augment: texts to make from each text for the teacher to answer, see `distill`.
    """

    label: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    search: Mapping[str, Sequence[Any]] | None = None
    teacher: str | None = None
    augment: int | Mapping[str, Any] = 0

    @property
    def is_baseline(self) -> bool:
        """Whether it is one of the baselines that every comparison has."""
        return self.model in BASELINES

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields as a plain dict."""
        return asdict(self)


def parse_candidates(models: Models, baselines: Sequence[str] = ()) -> list[Candidate]:
    """Reads the models that the user wants to compare.

    Args:
        models: names, handles or folders; or dicts with `model`, options of `build_model`, and
            optional `label`, `epochs`, `batch_size`, `learning_rate`, `search`, `teacher` or
            `augment`; or a dict from labels to either.
        baselines: names of the baselines to add, such as `Task.baselines`.

    Returns:
        The candidates in order, then the baselines.

    Raises:
        TypeError: neither names nor dicts.
        ValueError: no model, an unknown model, option or teacher, or a label twice.
    """
    if isinstance(models, (str, Path)):
        models = [str(models)]
    items: list[tuple[str | None, Any]] = (
        list(models.items()) if isinstance(models, Mapping) else [(None, m) for m in models]
    )
    if not items:
        raise ValueError(
            "There must be a model to compare. Name some of list_models(). Received: models=[]"
        )
    candidates = [_candidate(label, item) for label, item in items]
    labels = [c.label for c in candidates]
    for label in labels:
        if labels.count(label) > 1 or label in BASELINES:
            raise ValueError(
                "Every row of the table needs a name of its own. Leave out what is there twice, or "
                "name the variants: {'lstm': 'lstm', 'large lstm': {'model': 'lstm', 'units': "
                f"256}}}}. Received: {label!r} "
                + ("twice" if label not in BASELINES else "(the name of a baseline)")
            )
    in_order_of_teaching(candidates)
    return candidates + [Candidate(name, name) for name in baselines]


def in_order_of_teaching(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Returns the candidates, each after its teacher.

    Raises:
        ValueError: a teacher that is neither a candidate nor a path, or that learns from itself.
    """
    by_label = {c.label: c for c in candidates}
    ordered: list[Candidate] = []

    def add(candidate: Candidate, students: Sequence[str]) -> None:
        teacher = candidate.teacher
        if candidate.label in students:
            raise ValueError(
                "A student learns from a model that is trained before it. Name another teacher. "
                f"Received: teacher={teacher!r} of {candidate.label!r}, its own student"
            )
        if teacher in by_label:
            add(by_label[teacher], [*students, candidate.label])
        elif teacher is not None and not Path(teacher).exists():
            raise ValueError(
                "`teacher` is the label of another model of the comparison, or a model's path. "
                f"{suggest(teacher, by_label.keys() - {candidate.label})}"
                f"Received: teacher={teacher!r} of {candidate.label!r}"
            )
        if candidate not in ordered:
            ordered.append(candidate)

    for candidate in candidates:
        add(candidate, [])
    return ordered


def _candidate(label: str | None, item: Any) -> Candidate:
    if isinstance(item, (str, Path)):
        item = {"model": str(item)}
    if not isinstance(item, Mapping) or not isinstance(item.get("model"), (str, Path)):
        raise TypeError(
            "A model is a name, or a dict with its name and options: {'model': 'lstm', 'units': "
            f"128}}. Received: {item!r}"
        )
    name = str(item["model"])
    zoo.find_model(name)
    own = {key: item[key] for key in _TRAINING if item.get(key) is not None}
    check_whole(**{k: own[k] for k in ("epochs", "batch_size") if k in own})
    check_positive(**{k: own[k] for k in ("learning_rate",) if k in own})
    options = {k: v for k, v in item.items() if k not in (*_TRAINING, "model", "label")}
    search = own.get("search") or {}
    searched = {k: v for k, v in search.items() if k != "learning_rate"}
    _check_search(search)
    for chosen in (options, *({k: v} for k, values in searched.items() for v in values)):
        zoo.check_options(name, chosen)
    _check_plain({**options, **search})
    told = last_part(name)
    if "teacher" in own:
        own["teacher"] = str(own["teacher"])
        told = f"{told} taught by {last_part(own['teacher'])}"
    elif "augment" in own:
        raise ValueError(
            "`augment` makes texts for a teacher to answer. Name a teacher, teacher=…, or leave "
            "`augment` out. "
            f"Received: augment={own['augment']!r} of {name!r}"
        )
    Augmentation.of(own.get("augment", 0))
    return Candidate(str(label or item.get("label") or told), name, options, **own)


def _check_plain(options: Mapping[str, Any]) -> None:
    try:
        json.dumps(options)
    except TypeError as error:
        raise ValueError(
            "Options are handed to another process, so they must be plain values: numbers, "
            f"strings, lists and dicts. Received: {options!r} ({error})"
        ) from error


def _check_search(search: Any) -> None:
    for name, values in dict(search).items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not values:
            raise ValueError(
                "`search` lists the values to try, by option: {'units': [32, 64]}. "
                f"Received: {name}={values!r}"
            )


@dataclass(frozen=True)
class Plan:
    """How to train each model; the same for all.

    Attributes:
        seeds: one seed for each training.
        budget_s: most seconds of a training, validation included; no limit if None.
        epochs: most passes over the training rows; None: from `usual_settings`.
        batch_size: rows in each step; None: from `usual_settings`.
        patience: passes without a better validation figure after which a training with a constant
            learning rate ends; None: from `usual_settings`.
        trials: trainings of the search for good options, before those that count; 0: no search.
        explain: how many of the most confident mistakes to explain; 0: none.
        keep: the figure of the validation rows that chooses the epoch, one of `KEEP`; None: the
            task's figure, or the last epoch if the learning rate falls to zero.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    budget_s: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    patience: int | None = None
    trials: int = 0
    explain: int = 5
    keep: str | None = None

    def asked(self) -> dict[str, Any]:
        """The settings that can change without training finished models again."""
        return {"seeds": list(self.seeds), "explain": self.explain}

    def digest(self, candidate: Candidate, versions: Mapping[str, str]) -> str:
        """Eight hex digits: a hash of all that decides a candidate's answers except the seeds."""
        decisive = {k: v for k, v in asdict(self).items() if k not in self.asked()}
        if candidate.is_baseline:
            decisive = {}
        story = [candidate.as_dict(), decisive, dict(versions)]
        text = json.dumps(story, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def make_plan(
    seeds: int | Sequence[int],
    budget: str | float | None,
    epochs: int | None,
    batch_size: int | None,
    patience: int | None,
    trials: int,
    explain: int,
    keep: str | None = None,
) -> Plan:
    """Checks the settings of a comparison.

    Raises:
        ValueError: one is out of its range.
    """
    chosen: tuple[Any, ...] = ()
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        chosen = tuple(range(seeds))
    elif isinstance(seeds, Sequence) and not isinstance(seeds, str):
        chosen = tuple(seeds)
    if (
        not chosen
        or any(type(seed) is not int for seed in chosen)
        or len(set(chosen)) < len(chosen)
    ):
        raise ValueError(
            "`seeds` must be how many seeds there are, at least 1, or different whole numbers. "
            f"Received: seeds={seeds!r}"
        )
    check_not_negative(**{f"seeds[{i}]": seed for i, seed in enumerate(chosen)})
    given = {"epochs": epochs, "batch_size": batch_size, "patience": patience}
    check_whole(**{k: v for k, v in given.items() if v is not None})
    check_not_negative(trials=trials, explain=explain)
    if keep not in (None, *KEEP):
        raise ValueError(f"`keep` must be one of {tuple(KEEP)}. Received: keep={keep!r}")
    return Plan(chosen, parse_budget(budget), epochs, batch_size, patience, trials, explain, keep)


def parse_budget(budget: str | float | None) -> float | None:
    """Reads a time: `"10min"`, `"1h30min"`, or a number of seconds, which may be a string.

    Returns:
        Seconds; None for no limit.

    Raises:
        ValueError: not a time, or not above zero.
    """
    if budget is None:
        return None
    try:
        # pandas would read a number without a unit as nanoseconds.
        seconds = float(str(budget))
    except ValueError:
        try:
            seconds = pd.Timedelta(budget).total_seconds()
        except (ValueError, TypeError):
            seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise ValueError(
            "`budget` is the most time that one training may take: '10min', '1h30min', or a number "
            f"of seconds above 0. Received: budget={budget!r}"
        )
    return seconds
