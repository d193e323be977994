"""Trains and measures one model of a comparison, in its own process.

    python -m keras_seqzoo.comparison.worker JOB.json

A model that crashes or fills the memory then harms nothing else, and its memory can be measured
alone. The worker reports what it does on stdout, one line of JSON for each event, and ends when its
stdin is closed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seqzoo import zoo
from keras_seqzoo.comparison import measuring
from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.comparison.candidates import Candidate, Plan
from keras_seqzoo.comparison.store import PARTS, ModelRecord, Store, Table, write_json
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.evaluation.results import Run, architecture, own_task
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.reports.single import count_texts_cut

if TYPE_CHECKING:
    from keras_seqzoo.comparison.training import Emit, Teaching
    from keras_seqzoo.tasks.model import TextModel

# Explanations of long texts take long; after this time, the other mistakes get none.
_EXPLAINING_SECONDS = 20.0


@dataclass(frozen=True)
class Job:
    """The work of a worker.

    Attributes:
        folder: the folder of the comparison.
        model_folder: the folder of the model in it.
        candidate: the model.
        plan: how to train it.
        imports: modules that register the user's own models.
        teacher: the teacher, a model of the comparison, and its folder; None for no teacher.
    """

    folder: Path
    model_folder: Path
    candidate: Candidate
    plan: Plan
    imports: Sequence[str] = ()
    teacher: tuple[Candidate, Path] | None = None

    def write(self) -> Path:
        """Writes the job into the model's folder."""
        path = self.model_folder / "job.json"
        story: dict[str, Any] = {"candidate": self.candidate.as_dict(), "plan": asdict(self.plan)}
        if self.teacher is not None:
            candidate, folder = self.teacher
            story["teacher"] = [candidate.as_dict(), str(folder)]
        write_json(path, {**story, "folder": str(self.folder), "imports": list(self.imports)})
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Reads what `write` wrote."""
        story = json.loads(path.read_text(encoding="utf-8"))
        plan = Plan(**{**story["plan"], "seeds": tuple(story["plan"]["seeds"])})
        candidate = Candidate(**story["candidate"])
        teacher = story.get("teacher")
        if teacher is not None:
            teacher = Candidate(**teacher[0]), Path(teacher[1])
        return cls(Path(story["folder"]), path.parent, candidate, plan, story["imports"], teacher)


def main() -> None:
    """Does the job that the command line names; exits with 1 if that fails."""
    path = Path(sys.argv[1])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_first_to_go()
    # Output of TensorFlow and others goes to the log, like stderr.
    told = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)

    def emit(event: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            told.write(json.dumps(event) + "\n")

    job = Job.read(path)
    for module in job.imports:
        importlib.import_module(module)
    sys.exit(0 if do(job, emit) else 1)


def do(job: Job, emit: Emit) -> bool:
    """Does a job; writes what goes wrong to the model's folder.

    Returns:
        Whether it succeeded.
    """
    record = ModelRecord(job.model_folder)
    try:
        (_do_baseline if job.candidate.is_baseline else _do_model)(job, record, emit)
    except MemoryError as error:
        traceback.print_exc()
        record.write_trouble(f"it ran out of memory ({str(error) or 'MemoryError'})")
        return False
    except Exception as error:  # noqa: BLE001 - an error of a model must affect only that model
        traceback.print_exc()
        record.write_trouble(_reason(error))
        return False
    return True


def _do_model(job: Job, record: ModelRecord, emit: Emit) -> None:
    timer = _Timer()
    with timer("imports"):
        from keras_seqzoo.comparison.search import search
        from keras_seqzoo.comparison.training import settings, train_once
    store = Store(job.folder)
    parts = {name: store.part(name) for name in PARTS}
    candidate, plan, folder = job.candidate, job.plan, job.model_folder
    with timer("loading"):
        teaching = _teaching(job, parts["train"])
    if plan.trials and not record.searched():
        with timer("search"):
            trials = search(candidate, plan, parts, store.ids, emit, teaching)
        write_json(folder / "search.json", {"trials": trials})
    candidate = _found(candidate, record)
    model, model_seed = None, None

    def train(seed: int) -> None:
        nonlocal model, model_seed
        with timer("trainings"):
            model, run = train_once(candidate, plan, seed, parts, store.ids, emit, teaching)
            model_seed = seed
        with timer("saving"):
            model.save(folder / f"seed-{seed}.keras")
        record.write_run(run, measuring.peak_memory_mb())

    for seed in plan.seeds:
        if record.run(seed) is None:
            train(seed)
    seed, kept = _kept(record, plan)
    file = folder / f"seed-{seed}.keras"
    if not file.exists():  # deleted when a comparison with more seeds kept another run
        train(seed)
    if model is None or model_seed != seed:
        with timer("loading"):
            model = _load(candidate, parts["train"], file)
    chosen = settings(candidate, plan, model, len(parts["train"]))
    facts = _measured(model, kept, parts["test"], job, timer, emit)
    description = architecture(
        zoo.find_model(candidate.model).card.description, isinstance(parts["test"], SeriesTable)
    )
    write_json(
        folder / "facts.json",
        {
            **facts,
            "description": description
            + (f", taught by {candidate.teacher}" if candidate.teacher else ""),
            "options": {**candidate.options, **chosen},
            "asked": plan.asked(),
            "seconds": timer.seconds,
        },
    )
    for other in plan.seeds:
        if other != seed:
            (folder / f"seed-{other}.keras").unlink(missing_ok=True)


def _found(candidate: Candidate, record: ModelRecord) -> Candidate:
    """Returns the candidate with the options that its search found, if it had one."""
    trials = record.searched()
    if not trials:
        return candidate
    from keras_seqzoo.comparison.search import with_values

    return with_values(candidate, min(trials, key=lambda t: t["val_loss"]))


def _load(candidate: Candidate, train: Table, file: Path) -> TextModel:
    """Loads a trained model of the comparison."""
    from keras_seqzoo.comparison.training import build

    # Only the weights, because the file may come from another user.
    model = build(candidate, train)
    model.load_weights(file)
    return model


def _teaching(job: Job, train: Table) -> Teaching | None:
    """The teacher of a job's model.

    Raises:
        ValueError: the teacher has no trained model.
    """
    from keras_seqzoo.comparison.training import Teaching

    if job.teacher is None:
        own = job.candidate.teacher
        return None if own is None else Teaching(own, job.model_folder / "answers")
    candidate, folder = job.teacher
    record = ModelRecord(folder)
    if not record.facts():
        raise ValueError(f"its teacher, {candidate.label!r}, is not complete")
    seed, _ = _kept(record, job.plan)
    teacher = _load(_found(candidate, record), train, folder / f"seed-{seed}.keras")
    return Teaching(teacher, folder / "answers")


def _measured(
    model: TextModel, kept: Run, test: Table, job: Job, timer: _Timer, emit: Emit
) -> dict[str, Any]:
    """Exports a model, and measures the export."""
    from keras_seqzoo.serving.export import export_model
    from keras_seqzoo.serving.saved import SavedPredictor

    memory = ModelRecord(job.model_folder).memory_mb(job.plan.seeds)
    emit({"event": "exporting"})
    with timer("export"):
        shutil.rmtree(job.model_folder / "saved_model", ignore_errors=True)
        report = Scores.from_predictions(test.labels, kept.outputs, kept.task or model.task)
        exported = export_model(model, job.model_folder / "saved_model", report=report)
    emit({"event": "measuring"})
    with timer("measuring"):
        costs = _answering_costs(SavedPredictor(exported), test)
    emit({"event": "explaining"})
    with timer("explaining"):
        mistakes = _mistakes(model, kept, test, job.plan.explain)
    return {
        "costs": {
            **costs,
            "parameters": model.count_params(),
            "size_mb": measuring.size_mb(exported),
            "memory_mb": memory,
        },
        "texts_cut": None if isinstance(test, SeriesTable) else count_texts_cut(model, test.texts),
        "sequence_length": model.preprocessor.sequence_length,
        "mistakes": mistakes,
    }


def _do_baseline(job: Job, record: ModelRecord, emit: Emit) -> None:
    timer = _Timer()
    store = Store(job.folder)
    train, valid, test = (store.part(name) for name in PARTS)
    baseline = BASELINES[job.candidate.model]()
    begun = time.monotonic()
    with timer("trainings"):
        baseline.fit(train, valid)
    seconds = time.monotonic() - begun
    # It does not depend on the seed: one run is enough.
    seed = job.plan.seeds[0]
    loss = baseline.task.figures(valid.labels, baseline.predict(valid.questions)).get("log_loss")
    own = own_task(baseline, train)
    run = Run(seed, baseline.predict(test.questions), loss, {}, seconds, task=own)
    record.write_run(run, measuring.peak_memory_mb())
    emit({"event": "measuring"})
    with timer("measuring"):
        costs = _answering_costs(baseline, test)
    with timer("explaining"):
        mistakes = _mistakes(baseline, run, test, job.plan.explain if baseline.reads else 0)
    write_json(
        job.model_folder / "facts.json",
        {
            "description": baseline.description,
            "options": {},
            "asked": job.plan.asked(),
            "costs": {
                **costs,
                "parameters": baseline.count_params(),
                "size_mb": baseline.size_mb(),
                "memory_mb": record.memory_mb((seed,)),
            },
            "texts_cut": None if isinstance(test, SeriesTable) else 0,
            "mistakes": mistakes,
            "seconds": timer.seconds,
        },
    )


def _answering_costs(model: Any, table: Table) -> dict[str, float]:
    p50, p95 = measuring.latency_ms(model, table)
    return {"p50_ms": p50, "p95_ms": p95, "texts_per_s": measuring.texts_per_s(model, table)}


def _mistakes(model: Any, run: Run, test: Table, most: int) -> list[Any]:
    """The worst answers; those to texts have explanations."""
    from keras_seqzoo.explanation.explain import explain

    mistakes: list[Any] = []
    end = time.monotonic() + _EXPLAINING_SECONDS
    for row in model.task.worst(test.labels, run.outputs, most):
        explanation = None
        if isinstance(test, TextTable) and time.monotonic() < end:
            explanation = explain(model, test.texts[[row]])[0].as_dict()
        mistakes.append((int(row), explanation))
    return mistakes


def _kept(record: ModelRecord, plan: Plan) -> tuple[int, Run]:
    """The seed and the run that `Entry.kept` chooses."""
    runs = [(seed, run) for seed in plan.seeds if (run := record.run(seed)) is not None]
    return min(runs, key=lambda r: np.inf if r[1].valid_loss is None else r[1].valid_loss)


def _reason(error: Exception) -> str:
    first = str(error).strip().split("\n", 1)[0]
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        return f"it ran out of memory ({first[:200]})"
    if isinstance(error, (ValueError, OSError)):  # their messages say what to do
        return first[:500]
    return f"{type(error).__name__}: {first[:500]}"


class _Timer:
    """Adds up the seconds of the parts of a job."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - begun


def _be_first_to_go() -> None:
    """Makes Linux end this process, not the one that started it, if memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800")


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
