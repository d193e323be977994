"""The folder of a comparison: the data, and a folder for each model, filled run by run.

A file is written whole or not at all, so that a comparison that was killed can continue from the
files in the folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from pandas.api.types import infer_dtype

from keras_seqzoo.comparison.candidates import Candidate, Plan
from keras_seqzoo.data.inputs import INPUTS
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.evaluation.data_summary import DataSummary, summarise
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.files import whole
from keras_seqzoo.tasks import task_for, task_from_dict
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.classify import Classify

PARTS = ("train", "valid", "test")
Table = TextTable | SeriesTable
_STORY = "comparison.json"


class Store:
    """The folder of a comparison.

    Args:
        folder: its path; made if it is missing.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def ids(self) -> Path:
        """The folder of the ids, which models with the same vocabulary share."""
        return self.folder / "ids"

    def model_folder(self, candidate: Candidate, plan: Plan, versions: Mapping[str, str]) -> Path:
        """The folder of a model trained in one way."""
        slug = re.sub(r"[^A-Za-z0-9_-]+", "_", candidate.label)[:40]
        return self.inside(f"models/{slug}-{plan.digest(candidate, versions)}")

    def inside(self, name: str) -> Path:
        """Returns the path of a file or folder in the folder, by a name that may come from a file.

        Raises:
            ValueError: it lies outside: by "..", from the root, or through a link.
        """
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(
                "All files of a comparison must be in its folder. Run `compare` again, in a new "
                f"folder. Received: {path}, which is {path.resolve()}"
            )
        return path

    def open(self, title: str, parts: Mapping[str, Table]) -> None:
        """Makes the folder for a comparison on these rows, or checks that it was made for them.

        Raises:
            ValueError: the folder holds a comparison on other rows, or something else.
            OSError: it cannot be read or written.
        """
        prints = {name: table.fingerprint() for name, table in parts.items()}
        story = self._existing_story()
        if story is not None:
            if story["rows"] != prints:
                raise ValueError(
                    "This folder holds a comparison on other rows: another table, another split or "
                    "other classes. Name another folder, or pass the same tables to continue. "
                    f"Received: {self.folder} of {story['title']!r}"
                )
            return
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        for name, table in parts.items():
            path = self.folder / "data" / name
            if isinstance(table, SeriesTable):
                _write_series(path, table)
            else:
                _write_texts(path, table)
        train = parts["train"]
        story = {
            "title": title,
            "rows": prints,
            "inputs": train.inputs.name,
            "task": task_for(train).as_dict(),
            "data": summarise(train, parts["valid"], parts["test"]).as_dict(),
        }
        self._write_story({**story, "last": {}})

    def write_last(self, **last: Any) -> None:
        """Writes what was compared last: `models`, `settings`, `commands` and so on."""
        story = self.story()
        self._write_story({**story, "last": {**story["last"], **last}})

    def story(self) -> dict[str, Any]:
        """What `open` and `write_last` wrote.

        Raises:
            FileNotFoundError: no folder, or not the folder of a comparison.
            ValueError: a damaged file.
        """
        story = self._existing_story()
        if story is None:
            raise FileNotFoundError(
                "There is no comparison in this folder. Check the path, or run `compare` with "
                f"folder=… first. Received: {self.folder}"
            )
        return story

    def part(self, name: str) -> Any:
        """Reads the table `train`, `valid` or `test` that the comparison used.

        Raises:
            ValueError: a damaged file.
        """
        if self.story().get("inputs") == "series":
            return self._series(name)
        path = self.folder / "data" / f"{name}.parquet"
        try:
            story, target = self.story(), self.task().target
            inputs = INPUTS[story.get("inputs", "text")]  # older comparisons are all of texts
            columns = [*inputs.columns, *target.columns]
            frame = pd.read_parquet(path)
            if not (
                set(frame) == set(columns) | ({"row"} & set(frame))
                and all(infer_dtype(frame[c]) in ("string", "empty") for c in inputs.columns)
                and target.fits(target.labels(frame))
            ):
                raise TypeError(f"texts are strings, and labels {target.noun}")
        except (OSError, KeyError, TypeError, ValueError, NotImplementedError) as error:
            raise _damaged(path, error) from error
        numbers = None  # older comparisons have no row numbers
        if "row" in frame and frame["row"].dtype.kind in "iu":
            numbers = frame["row"].to_numpy()
        source = _typed(story["title"], str)
        return TextTable(frame[columns], target, inputs=inputs, source=source, row_numbers=numbers)

    def _series(self, name: str) -> SeriesTable:
        path = self.folder / "data" / f"{name}.npz"
        try:
            told = _read_json(path.with_suffix(".json"))
            with np.load(path) as arrays:  # NumPy refuses pickles by default
                table = SeriesTable.from_arrays(told, arrays)
            if table.target != self.task().target:
                raise TypeError("windows of another target")
        except (OSError, AttributeError, KeyError, TypeError, ValueError, BadZipFile) as error:
            raise _damaged(path, error) from error
        return table

    def task(self) -> Task:
        """The task of the models.

        Raises:
            ValueError: a damaged file.
        """
        story = self.story()
        try:
            if "task" in story:
                return _task(story["task"])
            # Older comparisons are of classes.
            return Classify(OneOf(tuple(_typed(name, str) for name in story["classes"])))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(self.folder / _STORY, error) from error

    def results(self) -> Results:
        """All results of the models compared last.

        Raises:
            FileNotFoundError: the folder has no comparison.
            ValueError: a damaged file.
        """
        try:
            return self._results()
        except _DamagedError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise _damaged(self.folder / _STORY, error) from error

    def _results(self) -> Results:
        story = self.story()
        last, test = story["last"], self.part("test")
        if not last:
            raise _DamagedError(
                "The comparison in this folder ended before its first model. Run `compare` "
                f"again. Received: {self.folder}"
            )
        return Results(
            title=_typed(story["title"], str),
            task=self.task(),
            texts=list(getattr(test, "texts", ())),
            labels=np.asarray(test.labels),
            row_numbers=getattr(test, "row_numbers", None),
            series=test if isinstance(test, SeriesTable) else None,
            entries=[self._entry(model, last, test) for model in last.get("models", [])],
            data=DataSummary.from_dict(story["data"]),
            environment={k: _typed(v, str) for k, v in last.get("environment", {}).items()},
            commands=[_typed(command, str) for command in last.get("commands", [])],
            settings={k: _typed(v, str) for k, v in last.get("settings", {}).items()},
            seconds=_number(last.get("seconds")),
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps a second process from writing to the folder at the same time.

        Raises:
            BlockingIOError: another process writes to it.
            ValueError: the folder holds something other than a comparison; it is not changed.
        """
        self._existing_story()
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise BlockingIOError(
                "Another process is comparing models in this folder. Wait for it, or name "
                f"another folder. Received: {self.folder}"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _entry(self, model: Mapping[str, Any], last: Mapping[str, Any], test: Table) -> Entry:
        candidate = Candidate(**model["candidate"])
        record = ModelRecord(self.inside(f"models/{model['folder']}"))
        task = self.task()
        shape = (len(test), *task.row_shape)
        seeds = [_typed(seed, int) for seed in last["seeds"]]
        runs = [run for seed in seeds if (run := record.run(seed, shape)) is not None]
        if any(run.task is not None and run.task.target != task.target for run in runs):
            raise TypeError("a run of another target")
        facts, trouble = record.facts(), record.trouble()
        missing = trouble or ("" if facts else "it was not reached before the comparison ended")
        asked = 1 if candidate.is_baseline else len(seeds)
        if missing and runs:
            missing = f"{len(runs)} of {asked} trainings ended well; then {missing}"
        costs = {k: _number(v) for k, v in facts.get("costs", {}).items()}
        # The number of texts that a student has read is not known here.
        rows = 0 if candidate.teacher else _typed(last.get("train_rows", 0), int)
        costs |= _training_costs(runs, rows)
        return Entry(
            label=_typed(candidate.label, str),
            description=_typed(facts.get("description", ""), str),
            is_baseline=candidate.is_baseline,
            options={**candidate.options, **facts.get("options", {})},
            runs=runs,
            costs=Costs(**costs),
            missing=missing,
            texts_cut=_number(facts.get("texts_cut")),
            sequence_length=_number(facts.get("sequence_length")),
            mistakes=[
                (
                    range(len(test))[_typed(row, int)],
                    None if e is None else Explanation.from_dict(e),
                )
                for row, e in facts.get("mistakes", [])
            ],
            searched=record.searched(),
        )

    def _existing_story(self) -> dict[str, Any] | None:
        path = self.folder / _STORY
        try:
            if not self.folder.exists():
                return None
            if not self.folder.is_dir() or (any(self._contents()) and not path.exists()):
                raise ValueError(
                    "The folder of a comparison must be new, empty, or one of a comparison. Name "
                    f"another. Received: {self.folder}"
                )
            return _read_json(path) if path.exists() else None
        except PermissionError as error:
            raise PermissionError(
                "The folder of the comparison cannot be read. Change its permissions, or name "
                f"another. Received: {self.folder}"
            ) from error

    def _contents(self) -> Iterator[Path]:
        """The files in the folder, except those that a killed `open` may have left."""
        return (p for p in self.folder.iterdir() if p.name not in (".lock", "data"))

    def _write_story(self, story: Mapping[str, Any]) -> None:
        write_json(self.folder / _STORY, story)


class ModelRecord:
    """The files that a worker has written about one model.

    Args:
        folder: the model's folder, from `Store.model_folder`.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, seed: int, shape: tuple[int, ...] | None = None) -> Run | None:
        """The run of a seed, with answers of this shape; None if it did not succeed."""
        path = self.folder / f"seed-{seed}.json"
        if not path.exists():
            return None
        answers = path.with_suffix(".npy")
        try:
            # Mapped: the shape in the file takes no memory before it is checked.
            mapped = np.load(answers, mmap_mode="r")
            outputs = _of_lists(mapped) if mapped.dtype == np.uint8 else mapped
            if outputs.dtype.kind not in "fO" or (shape and outputs.shape != shape):
                raise ValueError(f"answers of shape {outputs.shape}, {outputs.dtype}")
        except (OSError, ValueError) as error:
            raise _damaged(answers, error) from error
        story = _read_json(path)
        try:
            own = story.get("task")
            return Run(
                seed,
                np.array(outputs),
                _number(story["valid_loss"]),
                {name: [*map(_number, values)] for name, values in story["history"].items()},
                _number(story["seconds"]),
                _typed(story["stopped"], str),
                None if own is None else _task(own),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, error) from error

    def write_run(self, run: Run, memory_mb: float) -> None:
        """Writes a run that succeeded, and the peak memory until then."""
        path = self.folder / f"seed-{run.seed}.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        with whole(path.with_suffix(".npy")) as unfinished, unfinished.open("wb") as file:
            outputs = np.asarray(run.outputs)
            if outputs.dtype == object:  # lists, which NumPy would pickle
                outputs = np.frombuffer(json.dumps(outputs.tolist()).encode(), np.uint8)
            np.save(file, outputs)
        story = {k: v for k, v in vars(run).items() if k != "outputs"}
        own = None if run.task is None else run.task.as_dict()
        write_json(path, {**story, "task": own, "memory_mb": memory_mb})

    def memory_mb(self, seeds: tuple[int, ...]) -> float | None:
        """The peak memory over the runs of these seeds."""
        paths = [self.folder / f"seed-{seed}.json" for seed in seeds]
        return max((_read_json(p)["memory_mb"] for p in paths if p.exists()), default=None)

    def searched(self) -> list[dict[str, Any]]:
        """The trials of the search."""
        path = self.folder / "search.json"
        return [dict(trial) for trial in _read_json(path)["trials"]] if path.exists() else []

    def facts(self) -> dict[str, Any]:
        """The measurements of the kept run; empty if there are none yet."""
        path = self.folder / "facts.json"
        return _read_json(path) if path.exists() else {}

    def trouble(self) -> str:
        """Why the model is not complete; "" if it is complete, or was not started."""
        path = self.folder / "trouble.json"
        return str(_read_json(path)["reason"]) if path.exists() else ""

    def write_trouble(self, reason: str) -> None:
        """Writes why the model is not complete."""
        write_json(self.folder / "trouble.json", {"reason": reason})

    def forget(self) -> None:
        """Deletes the results of an earlier attempt, except its runs and its search."""
        for name in ("trouble.json", "facts.json"):
            (self.folder / name).unlink(missing_ok=True)


def _of_lists(written: Any) -> np.ndarray:
    """Reads answers from JSON: each a dict, or a list of pieces, which are dicts."""
    rows = json.loads(bytes(written))
    lists = (row if isinstance(row, list) else [row] for row in rows)
    if not all(isinstance(p, dict) for row in lists for p in row):
        raise ValueError("answers that are no pieces")
    outputs = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        outputs[place] = row
    return outputs


def default_folder(title: str, parts: Mapping[str, Table]) -> Path:
    """`comparisons/<title>-<digest of the rows>`: the same rows lead to the same folder."""
    prints = "".join(table.fingerprint() for table in parts.values())
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(title).stem)[:40] or "texts"
    return Path("comparisons") / f"{stem}-{hashlib.sha256(prints.encode()).hexdigest()[:8]}"


def _write_texts(path: Path, table: TextTable) -> None:
    frame = table.frame
    # Half of a surrogate pair has no UTF-8 form; models also read it as "?".
    for column in table.inputs.columns:
        frame[column] = [str(t).encode("utf-8", "replace").decode() for t in frame[column]]
    with whole(path.with_suffix(".parquet")) as unfinished:
        frame.assign(row=table.row_numbers).to_parquet(unfinished, index=False)


def _write_series(path: Path, table: SeriesTable) -> None:
    told, arrays = table.to_arrays()
    write_json(path.with_suffix(".json"), told)
    with whole(path.with_suffix(".npz")) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, whole or not at all; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        text = json.dumps(value, indent=1, ensure_ascii=False, default=float)
        unfinished.write_text(text + "\n", encoding="utf-8")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _typed(value: Any, *types: type) -> Any:
    """Returns a value from JSON if it has one of these types; a bool is no number."""
    if not isinstance(value, types) or isinstance(value, bool):
        raise TypeError(f"{str(value)[:60]!r} where {types[0].__name__} must be")
    return value


def _number(value: Any) -> Any:
    """Returns a number from JSON, or None."""
    return None if value is None else _typed(value, float, int)


def _task(story: Any) -> Task:
    """Makes a task from JSON; checks that its names are strings."""
    names = [_typed(name, str) for name in story["target"]["names"]]
    return task_from_dict({**story, "target": {**story["target"], "names": names}})


class _DamagedError(ValueError):
    """`compare` cannot have written what is in the folder."""


def _damaged(path: Path, error: Exception) -> _DamagedError:
    return _DamagedError(
        "A file of the comparison is damaged. Delete its folder, and run `compare` again: what is "
        f"whole elsewhere is kept. Received: {path}, which gave {type(error).__name__}: {error}"
    )


def _training_costs(runs: list[Run], rows: int) -> dict[str, float]:
    seconds = [run.seconds for run in runs if run.seconds is not None]
    if not seconds:
        return {}
    costs = {"training_s": float(np.mean(seconds))}
    examples = [rows * len(run.history["loss"]) for run in runs if run.history.get("loss")]
    if rows and examples and not any(run.stopped for run in runs):
        costs["examples_per_s"] = sum(examples) / sum(seconds)
    return costs
