"""Options of `train` for several devices and workers, precision, and recovery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from keras_seqzoo.tasks.model import TextModel
    from keras_seqzoo.training.recovery import Recovery

DISTRIBUTION = "Devices and workers"
RECOVERY = "Going on after a crash"
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

Strategy = Annotated[
    str,
    typer.Option(
        help="'auto', 'one_device', 'mirrored', 'multi_worker' or 'tpu'.",
        rich_help_panel=DISTRIBUTION,
    ),
]
Devices = Annotated[
    str | None,
    typer.Option(
        help="Devices to use, such as 0,1 or GPU:0,GPU:1; all by default.",
        rich_help_panel=DISTRIBUTION,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(help="Seconds that a worker waits for the others.", rich_help_panel=DISTRIBUTION),
]
Precision = Annotated[
    str,
    typer.Option(
        help="'float32', 'mixed_bfloat16' or 'mixed_float16'.", rich_help_panel=DISTRIBUTION
    ),
]
Accumulate = Annotated[
    int,
    typer.Option(
        min=1, help="Batches whose gradients make one step.", rich_help_panel=DISTRIBUTION
    ),
]
ClipNorm = Annotated[
    float | None,
    typer.Option(
        help="Largest norm of all gradients together; the model's own by default.",
        rich_help_panel=DISTRIBUTION,
    ),
]
Xla = Annotated[
    bool,
    typer.Option("--xla", help="Compile the training step with XLA.", rich_help_panel=DISTRIBUTION),
]
StepsPerExecution = Annotated[
    int, typer.Option(min=1, help="Steps in one call of the graph.", rich_help_panel=DISTRIBUTION)
]
RecoveryFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the checkpoint; OUT/.recovery by default.", rich_help_panel=RECOVERY
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue from the checkpoint; there must be one.",
        rich_help_panel=RECOVERY,
    ),
]
ResumeOrStart = Annotated[
    bool,
    typer.Option(
        "--resume-or-start",
        help="Continue if there is a checkpoint, else start.",
        rich_help_panel=RECOVERY,
    ),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        help="Minutes between checkpoints within an epoch; 0: only after epochs.",
        rich_help_panel=RECOVERY,
    ),
]


@dataclass
class Joined:
    """How a training is distributed, before TensorFlow is loaded.

    Attributes:
        chief: whether this process writes and speaks.
        strategy: makes the strategy.
    """

    chief: bool
    strategy: Callable[[], Any]


def join_workers(name: str, devices: str | None, timeout: float, quiet: bool) -> Joined:
    """Reads the machine's variables, and makes the strategy where there are several workers.

    Raises:
        TimeoutError: a worker that does not come.
        ValueError: a malformed `TF_CONFIG`, or workers that differ.
    """
    from keras_seqzoo.cli.console import load_tensorflow
    from keras_seqzoo.training.cluster import in_slurm, read_cluster

    several = name in ("auto", "multi_worker") and (read_cluster() is not None or in_slurm())
    named = None if devices is None else [part.strip() for part in devices.split(",")]

    def make() -> Any:
        from keras_seqzoo.training.strategy import distribution

        return distribution(name, devices=named, timeout=timeout, verbose=not quiet)

    if not several:
        return Joined(True, make)
    load_tensorflow()
    strategy = make()
    cluster = read_cluster()
    return Joined(cluster is None or cluster.chief, lambda: strategy)


@dataclass
class Settings:
    """What changes a step, and is plain Keras in Python."""

    precision: str
    accumulate: int
    clip_norm: float | None
    xla: bool
    steps_per_execution: int

    def check(self) -> None:
        """Raises a ValueError for what can be told before anything is read."""
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"--precision must be one of {PRECISIONS}. Received: {self.precision!r}"
            )
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"--clip-norm must be above 0. Received: {self.clip_norm}")

    def build(self, build: Callable[[], TextModel]) -> TextModel:
        """Builds a model under the precision, and sets the rest.

        Raises:
            ValueError: the model cannot do what is asked for; the message says why.
        """
        import keras

        former = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.precision)
        try:
            model = build()
        finally:
            keras.config.set_dtype_policy(former)
        is_graph = any(graph is not model.preprocessor for graph in model.graphs)
        if is_graph and (self.precision != "float32" or self.xla):
            asked = "--xla" if self.xla else f"--precision {self.precision}"
            raise ValueError(
                "The graph of a TF Hub module has a fixed precision and fixed ops. Leave "
                f"{asked} out, or load the same weights in KerasHub's or transformers' format. "
                f"Received: {asked} for {model.name!r}"
            )
        optimizer: Any = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if self.accumulate > 1:
            optimizer.gradient_accumulation_steps = self.accumulate
        if self.clip_norm is not None:
            optimizer.clipnorm = optimizer.clipvalue = None
            optimizer.global_clipnorm = self.clip_norm
        if self.xla:
            model.use_xla()
        model.steps_per_execution = self.steps_per_execution
        return model


def recovery(folder: Path, resume: bool, resume_or_start: bool, minutes: float) -> Recovery:
    """The callback that writes checkpoints, and goes on from one where that is asked for.

    Raises:
        ValueError: both ways of resuming.
    """
    from keras_seqzoo.cli.console import say
    from keras_seqzoo.training.recovery import Recovery

    if resume and resume_or_start:
        raise ValueError("Pass --resume or --resume-or-start. Received: both")
    how = "must" if resume else "if_any" if resume_or_start else "never"
    made = Recovery(folder, resume=how, minutes=minutes or None, keep=True)
    if how == "never" and made.path.exists():
        say(
            f"There is an unfinished training in {folder}. This run starts again and will replace "
            "it; --resume would have continued it."
        )
    return made
