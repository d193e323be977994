"""`Recovery` continues a training where it was killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_seqzoo.batches.passes import Passes
from keras_seqzoo.files import whole
from keras_seqzoo.version import __version__

PREEMPTED = 175
RESUME = ("if_any", "must", "never")
# Attributes of Keras's callbacks that last from epoch to epoch.
_REMEMBERED = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
    "ModelCheckpoint": ("best", "epochs_since_last_save", "_batches_seen_since_last_saving"),
}
_FILE = "training.safetensors"


class Preempted(SystemExit):
    """Ends the program with the code 175 after SIGTERM, once a checkpoint is written."""

    def __init__(self) -> None:
        super().__init__(PREEMPTED)


class WorkerLostError(ConnectionAbortedError):
    """Another worker was lost; start all workers again, resuming."""


class Recovery(keras.callbacks.Callback):
    """Writes checkpoints while `fit` trains a model of this package, and resumes from the last one.

    A checkpoint holds everything that the rest of the training depends on: weights, optimizer,
    epoch, step, metrics, random states, the seed of the rows' order, and the state of
    `EarlyStopping`, `ReduceLROnPlateau`, `ModelCheckpoint` and the learning-rate schedule. Other
    callbacks can name attributes to keep, numbers, in a tuple `recovery_state`. `fit` of the same
    model on the same data then reads exactly the rows of the epoch that are left. It takes raw
    text, a table or a dataset of `make_dataset`.

    The file `training.safetensors` is replaced as a whole. If it cannot be written, a warning says
    so, the previous one stays, and the training continues. The file is deleted when `fit` ends.

    On SIGTERM, it writes a checkpoint after the running step, and the program ends with the exit
    code 175. With several workers, the chief writes the checkpoint, all workers resume from it, and
    a signal to one of them stops all.

    Args:
        folder: folder of the checkpoint; with several workers, on the chief's disk.
        resume: `"if_any"` resumes from a checkpoint if there is one; `"must"` raises an error if
            there is none; `"never"` starts again.
        minutes: minutes between checkpoints within an epoch; one is also written after each epoch.
            None writes only those.
        steps: steps between checkpoints within an epoch, instead of minutes.
        keep: whether the file stays when `fit` ends, so that later steps can be repeated without
            training; `discard()` deletes it.

    Raises:
        FileNotFoundError: `"must"`, and there is nothing to resume (in `fit`).
        ValueError: the checkpoint is of another model, vocabulary or data (in `fit`).

    Example:
        >>> import keras_seqzoo as sz
        >>> recovery = sz.Recovery("saved_models/reviews/.recovery")
        >>> model.fit(train, epochs=3, callbacks=[recovery])  # doctest: +SKIP
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        resume: str = "if_any",
        minutes: float | None = 5.0,
        steps: int | None = None,
        keep: bool = False,
    ):
        super().__init__()
        if resume not in RESUME:
            raise ValueError(f"`resume` must be one of {RESUME}. Received: resume={resume!r}")
        if steps is not None and (not isinstance(steps, int) or steps < 1):
            raise ValueError(f"`steps` must be a whole number of 1 or more. Received: {steps!r}")
        self.path = Path(folder) / _FILE
        self.resume = resume
        self.minutes = minutes if steps is None else None
        self.steps = steps
        self.keep = keep
        self.origin = self.seed = 0
        self.companions: Sequence[Any] = ()
        self._state: dict[str, Any] | None = None
        self._arrays: dict[str, np.ndarray] = {}
        self._stop = False
        self._handler: Any = None
        self._handled = False

    def restore(self, model: Any, passes: Passes, epochs: int) -> dict[str, Any] | None:
        """Restores the model from the checkpoint; `fit` calls it.

        Args:
            model: the model, with its optimizer.
            passes: the rows that `fit` reads.
            epochs: the number of epochs of `fit`.

        Returns:
            `epoch`, `step` and `origin`, the position in the rows' order at which epoch 0 started;
            None if there is nothing to resume.
        """
        self._facts = facts_of(model, passes)
        if model.schedule != "constant" or model.warmup:
            # Without a schedule, the number of epochs may change.
            self._facts["schedule"] = f"{model.schedule}, warmup {model.warmup}, {epochs} epochs"
        self.seed = passes.seed
        self._state, self._arrays = self._read(model)
        if self._state is None:
            return None
        self._check(self._state["facts"])
        self.seed = self._state["seed"]
        if model.optimizer is not None and not model.optimizer.built:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
        for index, variable in enumerate(_variables(model)):
            variable.assign(self._arrays[f"variable/{index}"])
        return self._state

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Restores the state of the other callbacks, and listens for SIGTERM."""
        self._history: list[list[Any]] = []
        self._epoch, self._step = 0, 0
        self._mark()
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, self._on_signal)
            self._handled = True
        self._next_tick = 1
        if self._state is None:
            return
        self._epoch, self._step = self._state["epoch"], self._state["step"]
        self._history = self._state["history"]
        for number, callback in enumerate(self._companions()):
            for name, value in self._state["callbacks"][number].items():
                setattr(callback, name, value)
            best = [n for n in self._arrays if n.startswith(f"best/{number}/")]
            if best:
                order = sorted(best, key=lambda name: int(name.rpartition("/")[2]))
                callback.best_weights = [self._arrays[name] for name in order]

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Restores the metrics of an interrupted epoch, which Keras has just set to zero."""
        self._epoch = epoch
        if self._state is not None and epoch == self._state["epoch"] and self._state["step"]:
            for index, variable in enumerate(self.model.metrics_variables):
                variable.assign(self._arrays[f"metric/{index}"])
        else:
            self._step = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes a checkpoint if it is time, or after a signal."""
        if batch + 1 <= self._step:
            return  # an earlier run did it
        taken, self._step = batch + 1 - self._step, batch + 1
        self._since += taken
        due, stop = self._is_time(), self._stop
        if self.model.collectives is not None:
            due, stop = self._consult(due, stop)
        if due or stop or (self.steps and self._since >= self.steps):
            self._write()
        if stop:
            place = f"epoch {self._epoch + 1}, step {self._step}"
            print(f"SIGTERM: the training is saved in {self.path}, {place}", file=sys.stderr)
            raise Preempted

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes a checkpoint from which the next epoch starts."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self._history.append([epoch, figures])
        self._epoch, self._step = epoch + 1, 0
        if self.model.stop_training:
            self._epoch = self.params["epochs"]
        self._write()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Joins the histories of all runs, and deletes the checkpoint unless it is kept."""
        history = self.model.history
        history.epoch = [epoch for epoch, _ in self._history]
        names = {name: None for _, figures in self._history for name in figures}
        history.history = {
            name: [figures[name] for _, figures in self._history if name in figures]
            for name in names
        }
        if not self.keep:
            self.discard()

    def discard(self) -> None:
        """Deletes the checkpoint; with several workers, on the chief."""
        if self.model.is_chief:
            self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Restores the former handler of SIGTERM, and frees the arrays that were read."""
        if self._handled:
            # None means a handler that was not set from Python.
            signal.signal(signal.SIGTERM, self._handler or signal.SIG_DFL)
            self._handled = False
        self._arrays, self._state = {}, None

    def _on_signal(self, *_: Any) -> None:
        self._stop = True

    def _mark(self) -> None:
        self._since, self._written = 0, time.monotonic()

    def _is_time(self) -> bool:
        return self.minutes is not None and time.monotonic() - self._written > self.minutes * 60

    def _consult(self, due: bool, stop: bool) -> tuple[bool, bool]:
        """Asks all workers, about once a second, whether to write or stop after this step."""
        self._next_tick -= 1
        if self._next_tick > 0:
            return False, False
        now = time.monotonic()
        pace = max(now - getattr(self, "_asked", now), 1e-3) / getattr(self, "_distance", 1)
        distance = int(min(max(1.0 / pace, 1), 100)) if hasattr(self, "_asked") else 1
        rows = self.model.collectives.gather(np.array([stop, due, distance]))
        self._asked, self._distance = now, int(rows[0, 2])
        self._next_tick = self._distance
        return bool(rows[0, 1]), bool(rows[:, 0].any())

    def _companions(self) -> Sequence[Any]:
        return [callback for callback in self.companions if callback is not self]

    def _memory(self, callback: Any) -> dict[str, Any]:
        names = getattr(callback, "recovery_state", ())
        for kind in type(callback).__mro__:
            names = (*names, *_REMEMBERED.get(kind.__name__, ()))
        values = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
        return {n: v if v is None or isinstance(v, int) else float(v) for n, v in values.items()}

    def _write(self) -> None:
        """Writes a new file and renames it, so that there is always a complete one."""
        from safetensors.numpy import save

        model = self.model
        arrays = {f"variable/{i}": _read(v) for i, v in enumerate(_variables(model))}
        # With several workers, reading a metric sums it over all, so all must take part.
        arrays |= {f"metric/{i}": _read(v) for i, v in enumerate(model.metrics_variables)}
        self._mark()
        if not model.is_chief:
            return
        for number, callback in enumerate(self._companions()):
            for i, weight in enumerate(getattr(callback, "best_weights", None) or ()):
                arrays[f"best/{number}/{i}"] = np.asarray(weight)
        state = {
            "keras_seqzoo": __version__,
            "facts": self._facts,
            "epoch": self._epoch,
            "step": self._step,
            "origin": self.origin,
            "seed": self.seed,
            "history": self._history,
            "callbacks": [self._memory(c) for c in self._companions()],
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = save(
                {name: np.asarray(a, order="C") for name, a in arrays.items()},
                {"state": json.dumps(state)},
            )
            with whole(self.path, durable=True) as unfinished:
                unfinished.write_bytes(content)
        except OSError as error:
            kept = "the previous one is kept" if self.path.exists() else "there is none yet"
            warnings.warn(
                f"The checkpoint could not be written; {kept}, and the training continues. "
                f"Make room or choose another folder. Received: {self.path}, {error}",
                stacklevel=2,
            )

    def _read(self, model: Any) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
        """The checkpoint, or None; with several workers, the chief's."""
        collectives = model.collectives
        state: dict[str, Any] | None = None
        arrays: dict[str, np.ndarray] = {}
        if model.is_chief and self.resume != "never" and self.path.exists():
            state, arrays = read_checkpoint(self.path)
        if collectives is not None:
            arrays, text = collectives.from_chief(arrays, json.dumps(state))
            state = json.loads(text)
        if state is None and self.resume == "must":
            raise FileNotFoundError(
                "There is nothing to resume: no checkpoint was written, or the training ended. "
                f"Check the folder, or start without resuming. Received: {self.path}"
            )
        return state, arrays

    def _check(self, facts: Mapping[str, str]) -> None:
        wrong = [
            f"{name} {facts.get(name)!r} in the checkpoint, {here!r} here"
            for name, here in self._facts.items()
            if facts.get(name) != here
        ]
        if wrong:
            raise ValueError(
                "A checkpoint can continue only the training that wrote it. Give the same command, "
                f"or start again without resuming. Received: {self.path} with {'; '.join(wrong)}"
            )


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads a checkpoint's state and arrays.

    Raises:
        ValueError: the file is damaged, or is not a checkpoint.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            state = json.loads((file.metadata() or {})["state"])
            return state, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            "The checkpoint cannot be read. Delete it to start again. "
            f"Received: {path}, which gave {type(error).__name__}: {error}"
        ) from error


def facts_of(model: Any, passes: Passes) -> dict[str, str]:
    """Facts that must be the same to continue a training, or to share it among workers."""
    shapes = [(tuple(v.shape), v.dtype, v.trainable) for v in model.variables]
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return {
        "model": f"{model.name} ({type(model).__name__})",
        "shapes": hashlib.sha256(repr(shapes).encode()).hexdigest()[:12],
        "vocabulary": model.preprocessor.fingerprint(),
        "classes": ", ".join(getattr(model, "classes", ())),
        "optimizer": type(inner).__name__,
        "batch size": str(passes.batch_size),
        "rows": str(passes.rows),
        "steps a pass": str(passes.steps_over(getattr(model, "_workers", 1))),
        "data": passes.digest(),
    }


def _variables(model: Any) -> list[Any]:
    optimizer = model.optimizer.variables if model.optimizer is not None else []
    return [*model.variables, *optimizer]


def _read(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))
