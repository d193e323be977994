"""`compare`: trains and measures several models in the same way, on the same rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_seqzoo import zoo
from keras_seqzoo.comparison import worker
from keras_seqzoo.comparison.candidates import (
    Candidate,
    Models,
    Plan,
    in_order_of_teaching,
    make_plan,
    parse_candidates,
)
from keras_seqzoo.comparison.comparison import Comparison
from keras_seqzoo.comparison.store import PARTS, ModelRecord, Store, Table, default_folder
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.evaluation.environment import environment
from keras_seqzoo.names import shown_names
from keras_seqzoo.tasks import task_for
from keras_seqzoo.tasks.base import Task

Progress = Callable[[str, Mapping[str, Any]], None]

_INTERRUPTED = "it was interrupted"
_GRACE_SECONDS = 5.0


def compare(
    models: Models,
    train: Table,
    valid: Table,
    test: Table,
    *,
    seeds: int | Sequence[int] = 3,
    budget: str | float | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    patience: int | None = None,
    trials: int = 0,
    explain: int = 5,
    keep: str | None = None,
    folder: str | os.PathLike[str] | None = None,
    isolated: bool = True,
    progress: bool | Progress = True,
    command: str | None = None,
) -> Comparison:
    """Trains several models on the same rows, and measures their quality and their cost.

    Every model is trained once for each seed, keeps its best epoch on the validation rows, and
    answers the test rows. The run with the lowest validation loss is exported as a SavedModel,
    which is timed, and its worst mistakes are explained.

    The task of the tables decides the metrics, the test of differences and the baselines. These
    baselines are always part of a comparison:

    - classes and labels: the majority, and TF-IDF with logistic regression;
    - numbers: the mean, and TF-IDF with ridge regression;
    - tags: a dictionary of the training pieces, and a linear CRF;
    - answers: no answer, and the sentence that shares most words with the question;
    - forecasts of a series: the last value, the value a season before, and a ridge regression over
      the window;
    - the direction of a series: the majority, and a logistic regression over the window.

    For pairs of texts, the regression also reads measures of what the two texts share. If windows
    of a series overlap, they are resampled and tested in blocks, see
    `metrics.statistics.blocks_in_time`.

    Each model is trained in its own process. If one crashes or runs out of memory, it is marked as
    failed, and the others continue. The same call continues where an earlier one ended, and does
    not repeat a finished training.

    Args:
        models: names, handles and folders, as `build_model` takes them; or dicts with `model` and
            options of `build_model`; or a dict from labels to either. The dict of a model may also
            have `label`, `epochs`, `batch_size`, `learning_rate`, `search` (values to try, by
            option), `teacher` and `augment`. A `teacher` is the label of another model here, which
            is trained first, or the path of a trained model. The student learns its answers, and
            `augment` is an option of that, see `distill`. The training cost of a student includes
            the teacher's answers.
        train: training rows, in memory; models learn vocabularies and scales from these alone.
        valid: validation rows: they choose the epoch, the options in a search, and the run kept.
        test: test rows; they choose nothing.
        seeds: how many trainings of each model, or their seeds.
        budget: most time of one training, validation included: `"10min"`, or seconds. If the
            steps do not fit in, a learning rate that falls to zero falls faster. One epoch must
            fit in.
        epochs: most passes over the training rows. Default: 10 for models with a constant
            learning rate, or as many as make 2,000 steps; 3 for those whose rate falls to zero
            over the training, or as many as make 300 steps, 20 at most.
        batch_size: rows in each step. Default: 32, or 8 if there are fewer than 1,000 training
            rows.
        patience: passes without a better validation figure after which a training with a constant
            learning rate ends. Default: 2, or as many as make 450 steps.
        trials: trainings of a random search (KerasTuner) for each model, before those that count.
            The first has the model's own options. Default: no search.
        explain: most mistakes explained for each model; 0 for none. Mistakes in windows of series
            are only shown.
        keep: the figure of the validation rows that chooses the epoch and shows when a training has
            run too long: `"val_loss"`; or, for classes, `"val_calibrated_loss"`, the loss after
            temperature scaling, or `"val_accuracy"`. Default: for classes the calibrated loss; if
            the learning rate falls to zero, the last epoch.
        folder: the folder of all files. Default: `comparisons/<name>-<digest of the rows>`.
        isolated: whether to train each model in its own process. `False` is for models that were
            registered in a notebook or script, which another process cannot see. Then the memory
            of each model cannot be measured, and a crash ends the comparison.
        progress: whether to print progress on stderr; or a function of a model's label and a dict,
            to call instead.
        command: the command that you typed, for the report.

    Returns:
        A `Comparison`.

    Raises:
        TypeError: a part of the data is no `TextTable` or `SeriesTable`.
        ValueError: an unsuitable setting, an unknown model or the same model twice, parts with
            different targets, without labels or without rows, a class without a training row, or a
            folder of another comparison.
        OSError: the folder cannot be read or written.
        KeyboardInterrupt: the user interrupted it; finished work is in the folder.

    Warns:
        UserWarning: a class has no row in `valid` or `test`, or a label has none in one of the
            three.
    """
    parse_candidates(models)
    plan = make_plan(seeds, budget, epochs, batch_size, patience, trials, explain, keep)
    if plan.trials:
        from keras_seqzoo.comparison.search import import_tuner

        import_tuner()
    parts = dict(zip(PARTS, (train, valid, test), strict=True))
    check_parts(parts)
    task = task_for(train)
    check_keep(keep, task)
    candidates = parse_candidates(models, task.baselines_for(train.inputs))
    imports = _modules_of(candidates) if isolated else []
    title = Path(train.source).name
    store = Store(Path(folder) if folder is not None else default_folder(title, parts))
    tell = _teller(progress)
    with store.locked():
        store.open(title, parts)
        versions = {k: v for k, v in environment().items() if k in ("keras_seqzoo", "Keras")}
        ordered = in_order_of_teaching(candidates)
        folders: dict[str, Path] = {}
        for candidate in ordered:  # another teacher makes another student
            taught = {"teacher": folders[t].name} if (t := candidate.teacher) in folders else {}
            folders[candidate.label] = store.model_folder(candidate, plan, versions | taught)
        story = store.story()["last"]
        before = story.get("seconds")
        store.write_last(
            models=[{"candidate": c.as_dict(), "folder": folders[c.label].name}
                    for c in candidates],
            seeds=list(plan.seeds),
            train_rows=len(train),
            environment=environment(),
            settings=_settings(plan, isolated),
            commands=[command or _call(models, plan)],
            seconds=None,
        )  # fmt: skip
        begun, worked = time.monotonic(), 0
        tell("", {"event": "begin", "labels": [c.label for c in candidates],
                  "folder": str(store.folder)})  # fmt: skip
        by_label = {c.label: c for c in candidates}
        for candidate in ordered:
            path = folders[candidate.label]
            if _is_complete(path, plan):
                tell(candidate.label, {"event": "done before"})
                continue
            worked += 1
            teacher = by_label.get(candidate.teacher or "")
            job = worker.Job(
                store.folder.resolve(),
                path.resolve(),
                candidate,
                plan,
                imports,
                None if teacher is None else (teacher, folders[teacher.label].resolve()),
            )
            job.write()
            ModelRecord(path).forget()
            tell(candidate.label, {"event": "start"})
            try:
                _run(job, tell, isolated)
            except KeyboardInterrupt:
                ModelRecord(path).write_trouble(_INTERRUPTED)
                tell(candidate.label, {"event": "trouble", "reason": _INTERRUPTED})
                raise
            reason = ModelRecord(path).trouble()
            event = {"event": "trouble", "reason": reason} if reason else {"event": "done"}
            tell(candidate.label, event)
        seconds = time.monotonic() - begun
        # The time of a comparison in several calls is not known.
        whole = seconds if worked == len(candidates) else None
        store.write_last(seconds=whole if worked else before)
    tell("", {"event": "end", "seconds": seconds})
    return Comparison(store.folder)


def check_parts(parts: Mapping[str, Table]) -> None:
    """Checks that models can be trained and compared on these tables.

    Raises:
        TypeError: a part is no `TextTable` or `SeriesTable`.
        ValueError: no rows, no labels, different inputs, windows or targets, or a class without a
            training row.

    Warns:
        UserWarning: a class has no row in `valid` or `test`, or a label has none in one of the
            three.
    """
    train: Any = parts["train"]
    for name, table in parts.items():
        if not isinstance(table, TextTable | SeriesTable):
            raise TypeError(
                f"`{name}` must be a TextTable, in memory, or a SeriesTable. Use "
                "read_table(source), without stream=True, or read_series(source). "
                f"Received: {name} of type {type(table).__name__}"
            )
        if not len(table) or table.labels is None:
            raise ValueError(
                "A comparison takes labelled rows to train on, to validate on and to test on. "
                f"Split a table with label=…: table.split(valid=0.1, test=0.1). Received: {name}="
                f"{table!r}"
            )
        if _windows(table) != _windows(train):
            raise ValueError(
                "The three tables must have the same columns, windows and horizon. Split one: "
                f"table.split(valid=0.1, test=0.1). Received: train={train!r}, {name}={table!r}"
            )
        if table.inputs != train.inputs or table.target != train.target:
            raise ValueError(
                "The three tables must have the same kind of texts, and the same classes, labels "
                "or numbers in the same order. Read them with read_table(…, target=train.target). "
                f"Received: train of {_told(train)}, {name} of {_told(table)}"
            )
    is_class = train.target.kind == "class"
    noun = "class" if is_class else "label"
    for name, table in parts.items():
        absent = [c for c, rows in table.class_counts.items() if not rows]
        if not absent:
            continue
        if name == "train" and is_class:
            raise ValueError(
                "Every class must have a row to train on. Split the table again (split is "
                f"stratified), or read it without these classes. Received: no row of {absent[:5]}"
            )
        several = ("es" if is_class else "s") * (len(absent) > 1)
        warnings.warn(
            f"No row of {name} {'is of' if is_class else 'has'} the {noun}{several} "
            f"{', '.join(map(repr, absent[:5]))}: the comparison cannot "
            f"{'train on' if name == 'train' else 'measure'} {'them' if several else 'it'}.",
            UserWarning,
            stacklevel=3,
        )


def check_keep(keep: str | None, task: Task) -> None:
    """Raises a ValueError if `keep` is a figure that the task does not have."""
    if keep not in (None, "val_loss") and task.watched == "val_loss":
        raise ValueError(
            "Only classes have an accuracy and a calibrated loss. Leave `keep` out, or set it to "
            "'val_loss'. "
            f"Received: keep={keep!r}, a table of {task.noun}"
        )


def _windows(table: Any) -> Any:
    """What tables of series must have in common; None for texts."""
    if not isinstance(table, SeriesTable):
        return None
    return table.inputs.columns, table.window, table.horizon


def _told(table: Table) -> str:
    target: Any = table.target
    return f"{table.inputs.noun} with the {target.noun} {shown_names(target.names)}"


def _is_complete(path: Path, plan: Plan) -> bool:
    record = ModelRecord(path)
    return record.facts().get("asked") == plan.asked() and not record.trouble()


def _run(job: worker.Job, tell: Progress, isolated: bool) -> None:
    """Does a job, in its own process or in this one; its folder says what went wrong."""

    def emit(event: Mapping[str, Any]) -> None:
        tell(job.candidate.label, event)

    if not isolated:
        worker.do(job, emit)
        return
    with (job.model_folder / "log.txt").open("ab") as log:
        path = os.pathsep.join([*map(os.path.abspath, filter(None, sys.path)), str(Path.cwd())])
        process = subprocess.Popen(
            [sys.executable, "-m", worker.__name__, str(job.model_folder / "job.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3",
                 "KERAS_BACKEND": "tensorflow"},
            # This process handles Ctrl-C.
            start_new_session=True,
        )  # fmt: skip
        try:
            for event in _events(process):
                emit(event)
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    record = ModelRecord(job.model_folder)
    if code and not record.trouble():
        record.write_trouble(_reason_of(code, job.model_folder / "log.txt"))


def _events(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    for line in process.stdout or ():
        if line.startswith(b"{"):  # other lines are Python's own, before the worker starts
            yield json.loads(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reason_of(code: int, log: Path) -> str:
    if code == -signal.SIGKILL:
        return "it was killed: most likely the machine ran out of memory (SIGKILL)"
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name}); see {log}"
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return f"its process ended with {code}: {lines[-1][:200] if lines else 'no message'}"


def _modules_of(candidates: Sequence[Candidate]) -> list[str]:
    """The modules that register the user's own models.

    Raises:
        ValueError: a model is registered where no other process can see it.
    """
    homes = {
        c.model: zoo.find_model(c.model).builder.__module__ for c in candidates if not c.is_baseline
    }
    for name, home in homes.items():
        if home == "__main__":
            raise ValueError(
                "A model that is registered in a script or notebook cannot be seen by the process "
                "that trains it. Put it in a module and import that, or pass isolated=False. "
                f"Received: {name!r}, registered in __main__"
            )
    return sorted({home for home in homes.values() if not home.startswith("keras_seqzoo.")})


def _settings(plan: Plan, isolated: bool) -> dict[str, str]:
    return {
        "seeds": ", ".join(map(str, plan.seeds)),
        "budget of one training": "none" if plan.budget_s is None else f"{plan.budget_s:,g} s",
        "epochs": str(plan.epochs or "10, or 3 where the learning rate falls to zero"),
        "batch size": str(plan.batch_size or "32, or 8 below 1,000 training rows"),
        "patience": f"{plan.patience} epochs, where the learning rate is constant",
        "trials of the search": str(plan.trials or "no search"),
        "weights kept": f"of the epoch with the best {plan.keep}",
        "processes": "one a model" if isolated else "one for all",
    }


def _call(models: Models, plan: Plan) -> str:
    shown = models if isinstance(models, (str, Mapping)) else list(models)
    given = {"budget" if k == "budget_s" else k: v for k, v in asdict(plan).items()
             if v != getattr(Plan(), k)}  # fmt: skip
    given["seeds"] = list(plan.seeds)
    settings = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"sz.compare({shown!r}, train, valid, test, {settings})"


def _teller(progress: bool | Progress) -> Progress:
    if callable(progress):
        return progress
    if not progress:
        return lambda label, event: None
    from keras_seqzoo.comparison.progress import ComparisonProgress

    return ComparisonProgress()
