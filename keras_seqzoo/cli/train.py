"""`keras-seqzoo train`: from a table to an evaluated, exported model."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from keras_seqzoo import zoo
from keras_seqzoo.checks import check_rate
from keras_seqzoo.cli import distribution as d
from keras_seqzoo.cli import notices
from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, messages, problem, say
from keras_seqzoo.cli.inputs import texts_of
from keras_seqzoo.files import whole
from keras_seqzoo.serving.versions import check_answers, check_model_path
from keras_seqzoo.tasks import TASK_OF_TARGET

if TYPE_CHECKING:
    import keras

    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.tasks.model import TextModel

    Table = TextTable | TextStream | SeriesTable

_MANY_ROWS = 10_000  # of which a linear model is fitted for so long that one wonders
SCHEDULES = ("constant", "linear", "cosine", "plateau")
TRAINING = "How the model is trained"
TEACHING = "A teacher, whose answers are learnt"


@o.reads()
def train_command(
    data: o.Data,
    reading: o.Reading,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `list`, a handle or a folder.")
    ] = "lstm",
    out: Annotated[
        Path | None, typer.Option(help="Export folder; saved_models/<name of DATA> by default.")
    ] = None,
    valid_data: o.ValidData = None,
    test_data: o.TestData = None,
    valid: o.ValidShare = 0.1,
    test: o.TestShare = 0.1,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most epochs; 10 by default, or 3 if the learning rate falls to zero; more for "
            "few rows.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="32 by default, or 8 below 1,000 rows.", rich_help_panel=TRAINING),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The model's own by default.", rich_help_panel=TRAINING)
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="'constant', 'linear', 'cosine' or 'plateau'; the model's own by default.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            help="Share of the steps over which the learning rate rises; the model's own by "
            "default.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Epochs without a better validation figure before stopping, with a constant "
            "learning rate; 2 by default, more for few rows; 0 never stops.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    class_weight: Annotated[
        str,
        typer.Option(help="'none' or 'balanced', for skewed labels.", rich_help_panel=TRAINING),
    ] = "none",
    seed: Annotated[
        int,
        typer.Option(
            help="Random seed of the split, the weights and the order of rows.",
            rich_help_panel=TRAINING,
        ),
    ] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="NAME=VALUE",
            help="An option of the model, such as units=128; see below.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(help="Most tokens to read from each text.", rich_help_panel=TRAINING),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A .keras file to write at the best epoch.", rich_help_panel=TRAINING),
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard's logs.", rich_help_panel=TRAINING)
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the token ids, instead of memory, and for a teacher's answers.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="A .keras file or export folder of the same task and names: the model learns its "
            "answers.",
            rich_help_panel=TEACHING,
        ),
    ] = None,
    unlabelled: Annotated[
        str | None,
        typer.Option(
            help="More texts for the teacher to answer: a .txt file with one text on each line "
            "(two separated by a tab for pairs), or a table.",
            rich_help_panel=TEACHING,
        ),
    ] = None,
    augment: Annotated[
        int, typer.Option(min=0, help="Texts to make from each text.", rich_help_panel=TEACHING)
    ] = 0,
    temperature: Annotated[
        float,
        typer.Option(help="For classes: how much unlikely ones count.", rich_help_panel=TEACHING),
    ] = 1.0,
    label_share: Annotated[
        float,
        typer.Option(
            help="How much labels count beside the teacher's answers.", rich_help_panel=TEACHING
        ),
    ] = 0.0,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust",
            help="Load a teacher's .keras file that holds a TF Hub graph: it is a program.",
            rich_help_panel=TEACHING,
        ),
    ] = False,
    strategy: d.Strategy = "auto",
    devices: d.Devices = None,
    timeout: d.Timeout = 300.0,
    precision: d.Precision = "float32",
    accumulate: d.Accumulate = 1,
    clip_norm: d.ClipNorm = None,
    xla: d.Xla = False,
    steps_per_execution: d.StepsPerExecution = 1,
    recovery: d.RecoveryFolder = None,
    resume: d.Resume = False,
    resume_or_start: d.ResumeOrStart = False,
    checkpoint_minutes: d.CheckpointMinutes = 5.0,
    allow_changes: o.AllowChanges = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a model on a table, test it and export it.

    Writes OUT/<version> (SavedModel), OUT/<version>.keras and OUT/<version>.json (how it was
    trained, and its report).
    """
    # What can be told before anything is read is told now.
    fields = zoo.find_model(model).options
    options = o.parse_assignments(option or [], "--option", fields)
    if not options.keys() <= fields.keys():
        load_tensorflow()  # the options of the head stand in its module
    target = o.target_for(reading.task, reading.target, reading.is_series)
    of_series = "classify" if target == "direction" else "forecast"
    zoo.check_options(
        model, options, of_series if reading.is_series else reading.task or "classify"
    )
    if learning_rate is not None and learning_rate <= 0:
        raise ValueError(f"--learning-rate must be above 0. Received: {learning_rate}")
    if schedule not in (None, *SCHEDULES):
        raise ValueError(f"--schedule must be one of {SCHEDULES}. Received: {schedule!r}")
    if class_weight not in ("none", "balanced"):
        raise ValueError(f"--class-weight must be 'none' or 'balanced'. Received: {class_weight!r}")
    if warmup is not None:
        check_rate(warmup=warmup)
    if teacher is not None:
        check_model_path(teacher)
        if reading.is_series or reading.is_running or reading.stream:
            raise ValueError(
                "A teacher can answer only texts of a table in memory. Leave out --teacher, or "
                f"the options for other data. Received: --teacher {teacher}"
            )
    elif unlabelled is not None or augment:
        raise ValueError(
            "Texts without labels need a teacher that answers them. Name one with --teacher. "
            f"Received: {'--augment' if unlabelled is None else '--unlabelled'} without --teacher"
        )
    out = out or o.default_out(data)
    settings = d.Settings(precision, accumulate, clip_norm, xla, steps_per_execution)
    settings.check()
    joined = d.join_workers(strategy, devices, timeout, quiet)
    # One worker of many speaks for all.
    quiet = quiet or not joined.chief
    say(f"Reading {data}", quiet)
    train, valid_table, test_table = reading.read_parts(
        data, valid_data, test_data, valid, test, seed
    )
    say(_describe(train, valid_table, test_table), quiet)
    task = str(reading.task) if reading.is_running else TASK_OF_TARGET[train.target.kind]
    if class_weight == "balanced" and getattr(train.target, "kind", None) != "class":
        raise ValueError(
            "--class-weight needs one class for each row. Leave it out. "
            f"Received: --class-weight balanced for the task {task!r}"
        )
    if not allow_changes and train.target:
        known = {"name": task, "target": train.target.as_dict()}
        check_answers(out, {"task": known, "inputs": train.inputs.columns})

    load_tensorflow()
    import keras

    from keras_seqzoo.training import callbacks as training

    keras.utils.set_random_seed(seed)
    with joined.strategy().scope():
        built = settings.build(
            lambda: zoo.build_model(
                model,
                train,
                task=task,
                sequence_length=sequence_length,
                **options,
            )
        )
    if learning_rate is not None:
        built.optimizer.learning_rate = learning_rate
    if schedule is not None:
        built.schedule = schedule
        if schedule == "plateau":
            built.schedule, built.warmup = "constant", 0.0
    if warmup is not None:
        built.warmup = warmup
    read = len(built.preprocessor.vocabulary) or built.preprocessor.sequence_length
    say(f"{model}: {built.count_params():,} parameters, {read:,} {built.preprocessor.unit}", quiet)
    uncut = quiet or reading.is_series or reading.is_running
    if not uncut and (told := notices.cut_texts(built, train)):
        say(told)
    recovering = d.recovery(
        recovery or out / ".recovery", resume, resume_or_start, checkpoint_minutes
    )
    teaching = None
    if teacher is not None:
        from keras_seqzoo.serving.saved import load_predictor

        answers = (cache or recovering.path.parent) / "answers"
        teaching = {
            "teacher": load_predictor(teacher, trust),
            "unlabelled": None if unlabelled is None else texts_of(unlabelled, reading, built.pair),
            "augment": augment,
            "temperature": temperature,
            "label_share": label_share,
            "cache": answers,
        }
    usual = training.usual_settings(built, len(train), batch_size, epochs)
    epochs, patience = usual.epochs, usual.patience if patience is None else patience
    if built.wide is not None and len(valid_table) and len(train) > _MANY_ROWS:
        say("Fitting the linear model beside it", quiet)
    history = _fit(
        built,
        train,
        valid_table,
        out,
        teaching,
        epochs=epochs,
        batch_size=usual.batch_size,
        seed=seed,
        cache=cache or True,
        class_weight=training.class_weights(class_weight, train),
        callbacks=[
            *training.training_callbacks(
                patience=patience or None,
                plateau=schedule == "plateau",
                checkpoint=checkpoint,
                tensorboard=tensorboard if joined.chief else None,
                validated=len(valid_table) > 0,
                watched=built.task.watched,
            ),
            recovering,
        ],
        quiet=quiet,
    )
    if not quiet and (told := notices.still_falling(history, epochs)):
        say(told)
    report = None
    if len(test_table) and reading.is_running:
        report = built.evaluate(test_table, verbose=0, return_dict=True)
        if joined.chief:
            shown = (f"{name} {value:.4f}" for name, value in report.items())
            typer.echo(f"Test report\n{'  '.join(shown)}\n")
    elif len(test_table):
        from keras_seqzoo.reports.report import evaluate

        try:
            report = evaluate(built, test_table)
            if joined.chief:
                typer.echo(f"Test report\n{report}\n")
            if not quiet and (told := notices.linear_model(train, valid_table, test_table, report)):
                say(told)
        except KeyboardInterrupt:
            _keep_interrupted(built, out, "Interrupted while testing. The trained model")
    if joined.chief:
        how = '"your text"' + ' "and its pair"' * built.pair
        if reading.is_running:
            how = f"'your text with a {getattr(built.task, 'mask', '')}'"
        if reading.is_series:
            how = shlex.join(["--input", data, *reading.told()])
        story = {
            "command": shlex.join(["keras-seqzoo", *sys.argv[1:]]),
            "history": {name: [float(v) for v in values] for name, values in history.items()},
            "test": report
            if report is None or isinstance(report, dict)
            else {**report.to_dict(), "intervals": report.intervals},
        }
        exported = publish(built, out, story, allow_changes)
        say(f"Try it: keras-seqzoo predict {exported} {how}", quiet)
    recovering.discard()
    if teacher is not None and cache is None and joined.chief:
        shutil.rmtree(answers, ignore_errors=True)


def _describe(train: Any, valid: Table, test: Table) -> str:
    counts = [f"{name} {count:,}" for name, count in train.class_counts.items()]
    target: Any = train.target
    if target is None:
        return (
            f"{len(train):,} {train.inputs.noun} to learn from, {len(valid):,} to validate, "
            f"{len(test):,} to test"
        )
    noun = "" if target.kind == "class" else f"{target.noun}: "
    if train.inputs.name == "series":
        noun = f"{train.window} steps of {train.step} → {train.horizon}: "
    return (
        f"{len(train):,} {train.inputs.noun} to train on "
        f"({noun}{', '.join(counts or target.names)}), {len(valid):,} to validate, "
        f"{len(test):,} to test"
    )


def _fit(
    model: TextModel,
    train: Any,
    valid: Table,
    out: Path,
    teaching: dict[str, Any] | None,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    cache: Any,
    class_weight: dict[int, float] | None,
    callbacks: list[keras.callbacks.Callback],
    quiet: bool,
) -> dict[str, Any]:
    from keras_seqzoo.batches.pipeline import make_dataset
    from keras_seqzoo.cli.progress import AskingProgress, EpochProgress

    progress, asking = EpochProgress(messages, epochs), AskingProgress(messages, quiet)
    begun = time.monotonic()
    fit: dict[str, Any] = {
        "validation_data": make_dataset(valid, model, 256, cache=cache) if len(valid) else None,
        "epochs": epochs,
        "class_weight": class_weight,
        "callbacks": callbacks + ([] if quiet else [progress]),
        "calibrate": len(valid) > 0,
        "verbose": 0,
    }
    try:
        if teaching is None:
            rows = make_dataset(train, model, batch_size, shuffle=True, seed=seed, cache=cache)
            history = model.fit(rows, **fit).history
        else:
            from keras_seqzoo.distillation.distill import distill

            how = {**teaching, "seed": seed, "batch_size": batch_size, **fit}
            history = distill(student=model, texts=train, progress=asking, **how).history
    except KeyboardInterrupt:
        progress.stop()
        if teaching is not None and not asking.is_done:
            asking.stop()
            problem(
                "Interrupted while the teacher was asked. Its answers are kept in "
                f"{teaching['cache']}: the same command continues from there."
            )
            sys.exit(130)
        when = f"Interrupted in epoch {progress.epoch} of {epochs}. What was learnt so far"
        _keep_interrupted(model, out, when)
    say(f"Trained in {time.monotonic() - begun:.1f} s", quiet)
    return history


def _keep_interrupted(model: TextModel, out: Path, what: str) -> NoReturn:
    """Saves what was learnt so far, says where, and ends the command."""
    if not model.is_chief:
        sys.exit(130)
    with _no_interrupt():
        out.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := out / f"interrupted-{number}.keras").exists():
            number += 1
        with whole(path) as unfinished:
            model.save(unfinished)
    # A graph of TF Hub in the file has to be trusted by name.
    trust = " --trust" if model.graphs else ""
    problem(
        f"{what} is kept in {path}\n"
        f"  keras-seqzoo evaluate {path} DATA{trust}     how good it is\n"
        f"  keras-seqzoo export {path} {out}{trust}     serve it all the same"
    )
    sys.exit(130)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    def answer(*_: object) -> None:
        problem("The model is being written; this will finish first.")

    former = signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def publish(model: TextModel, out: Path, story: dict[str, Any], allow_changes: bool) -> Path:
    """Writes the next version of a model to OUT: SavedModel, `.keras` file, and its story."""
    from keras_seqzoo.serving.export import export_model

    with _no_interrupt():
        exported = export_model(model, out, allow_changes=allow_changes, report=story.get("test"))
        saved = exported.with_name(f"{exported.name}.keras")
        with whole(saved) as unfinished:
            model.save(unfinished)
        with whole(exported.with_name(f"{exported.name}.json")) as unfinished:
            text = json.dumps(story, indent=2, ensure_ascii=False)
            unfinished.write_text(text + "\n", encoding="utf-8")
    typer.echo(f"SavedModel   {exported}\nKeras model  {saved}")
    return exported
