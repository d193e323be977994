"""Trainings that are broken off and go on as if nothing had been."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import replicas
from disk import full_disk

import keras_seqzoo as sz
from keras_seqzoo.training.recovery import PREEMPTED, read_checkpoint

SLOW = pytest.mark.slow


class BreakOffError(Exception):
    """What stands for a kill."""


class Break(keras.callbacks.Callback):
    """Does something after a step, counted over all epochs of a process."""

    def __init__(self, at: int, do: Any = None):
        super().__init__()
        self.at, self.do, self.steps = at, do, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += bool(logs)  # nothing is logged for what an earlier run has done
        if self.steps == self.at:
            if self.do is None:
                raise BreakOffError
            self.do()


def build(name: str = "gru", **options: Any) -> Any:
    """A model that depends on all a checkpoint holds: dropout, Adam, a falling learning rate."""
    keras.utils.set_random_seed(5)
    sizes = {"units": 4, "embedding_dim": 4, "dropout": 0.5}
    model = sz.build_model(name, replicas.TABLE, **{**sizes, **options})
    model.optimizer.learning_rate = 0.05
    model.schedule, model.warmup = "cosine", 0.2
    return model


def fit(model: Any, folder: Path | None, *further: Any, epochs: int = 6, **options: Any) -> Any:
    """Four steps an epoch; best weights are restored in the end."""
    recovery = [] if folder is None else [sz.Recovery(folder, **{"steps": 1, **options})]
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
    return model.fit(
        sz.make_dataset(replicas.TABLE, model, 5, shuffle=True, seed=0),
        validation_data=sz.make_dataset(replicas.TABLE, model, 8),
        epochs=epochs,
        verbose=0,
        callbacks=[stopping, *recovery, *further],
    ).history


def weights(model: Any) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


@pytest.fixture(scope="module")
def uninterrupted() -> tuple[Any, Any]:
    model = build()
    history = fit(model, None)
    return history, weights(model)


# Within an epoch, at its last step, in the last epoch; after a checkpoint some steps ago.
@pytest.mark.parametrize(
    ("at", "steps"),
    [
        pytest.param(3, 1, marks=SLOW),
        pytest.param(4, 1, marks=SLOW),
        pytest.param(23, 1, marks=SLOW),
        (7, 3),
    ],
)
def test_a_broken_training_ends_as_one_left_alone(
    at: int, steps: int, tmp_path: Path, uninterrupted: tuple[Any, Any]
) -> None:
    with pytest.raises(BreakOffError):
        fit(build(), tmp_path, Break(at), steps=steps)
    model = build()
    history = fit(model, tmp_path, steps=steps)
    for what, values in uninterrupted[0].items():
        np.testing.assert_allclose(history[what], values, rtol=1e-6, err_msg=what)
    np.testing.assert_allclose(weights(model), uninterrupted[1], rtol=1e-6)
    assert list(tmp_path.iterdir()) == [], "a training that has ended leaves no checkpoint"


@pytest.mark.slow
def test_a_training_may_be_broken_many_times(
    tmp_path: Path, uninterrupted: tuple[Any, Any]
) -> None:
    for at in (2, 5, 1):
        with pytest.raises(BreakOffError):
            fit(build(), tmp_path, Break(at))
    model = build()
    history = fit(model, tmp_path)
    np.testing.assert_allclose(history["val_loss"], uninterrupted[0]["val_loss"], rtol=1e-6)
    np.testing.assert_allclose(weights(model), uninterrupted[1], rtol=1e-6)


@pytest.mark.slow
def test_early_stopping_goes_on_counting(tmp_path: Path) -> None:
    """Stopped by the same epoch, best weights of an epoch before the break restored."""

    class Worse(keras.callbacks.Callback):
        """Makes the validation loss what it is told, the second epoch's the best."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_loss"] = [0.5, 0.1, 0.3, 0.4, 0.5, 0.6][epoch]

    def run(*further: Any) -> Any:
        model = build()
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)
        model.fit(
            sz.make_dataset(replicas.TABLE, model, 5, shuffle=True, seed=0),
            epochs=6, verbose=0, callbacks=[Worse(), stopping, *further],
        )  # fmt: skip
        return model, stopping

    alone, stopped = run()
    with pytest.raises(BreakOffError):
        run(Break(14), sz.Recovery(tmp_path, steps=1))
    model, again = run(sz.Recovery(tmp_path, steps=1))
    assert again.stopped_epoch == stopped.stopped_epoch == 4
    assert model.history.epoch == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(weights(model), weights(alone), rtol=1e-6)


@pytest.mark.slow
def test_a_training_that_was_stopped_is_not_taken_up(tmp_path: Path) -> None:
    """Its checkpoint is kept for what comes after `fit`; resumed, it goes there at once."""
    model = build()
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1)
    )
    fit(model, tmp_path, stop, keep=True)
    again = build()
    counter = Break(10**6)
    history = fit(again, tmp_path, counter, keep=True)
    assert counter.steps == 0
    assert len(history["loss"]) == 2
    np.testing.assert_allclose(weights(again), weights(model))


def test_sigterm_writes_and_exits_with_its_own_code(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    kill = Break(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as raised:
        fit(build(), tmp_path, kill, steps=None, minutes=None)
    assert raised.value.code == PREEMPTED == 175
    state, _ = read_checkpoint(tmp_path / "training.safetensors")
    assert (state["epoch"], state["step"]) == (1, 2)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_full_disk_leaves_the_former_checkpoint(
    tmp_path: Path, uninterrupted: tuple[Any, Any]
) -> None:
    with pytest.raises(BreakOffError):
        fit(build(), tmp_path, Break(6))
    former = (tmp_path / "training.safetensors").read_bytes()
    with (
        pytest.warns(UserWarning, match=r"not be written; the previous one is kept.*Make room"),
        full_disk(),
        pytest.raises(BreakOffError),
    ):
        fit(build(), tmp_path, Break(3))
    assert (tmp_path / "training.safetensors").read_bytes() == former
    assert len(list(tmp_path.iterdir())) == 1
    model = build()
    fit(model, tmp_path)
    np.testing.assert_allclose(weights(model), uninterrupted[1], rtol=1e-6)


def test_nothing_to_resume_is_explained(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing to resume.*training.safetensors"):
        fit(build(), tmp_path, resume="must")


@pytest.mark.slow
def test_anew_means_anew(tmp_path: Path, uninterrupted: tuple[Any, Any]) -> None:
    with pytest.raises(BreakOffError):
        fit(build(), tmp_path, Break(6))
    model = build()
    fit(model, tmp_path, resume="never")
    np.testing.assert_allclose(weights(model), uninterrupted[1], rtol=1e-6)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was broken off."""
    folder = tmp_path_factory.mktemp("broken")
    with pytest.raises(BreakOffError):
        fit(build(), folder, Break(6))
    return folder


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: build(name="lstm"), r"model 'gru \(TextPredictor\)' in the checkpoint"),
        (lambda: build(units=5), "shapes"),
        (lambda: build(sequence_length=7), "vocabulary"),
        (lambda: build(vocabulary=["a", "good", "film"]), "vocabulary"),
    ],
)
def test_another_model_s_checkpoint_is_refused(other: Any, said: str, broken: Path) -> None:
    former = (broken / "training.safetensors").read_bytes()
    with pytest.raises(ValueError, match=f"Give the same command.*Received: .*{said}"):
        fit(other(), broken)
    assert (broken / "training.safetensors").read_bytes() == former


def test_another_schedule_is_refused(broken: Path) -> None:
    """The learning rate falls over the epochs asked for: with more, it would jump."""
    with pytest.raises(ValueError, match=r"'cosine, warmup 0.2, 6 epochs' in .*, 7 epochs' here"):
        fit(build(), broken, epochs=7)
    model = build()
    model.schedule = "linear"
    with pytest.raises(ValueError, match=r"'linear, warmup 0.2, 6 epochs' here"):
        fit(model, broken)


def test_other_data_are_refused(broken: Path) -> None:
    model = build()
    texts = [*replicas.TABLE.texts[:-1], "a good book"]
    table = sz.TextTable.from_texts(texts, replicas.LABELS)
    for data, said in (
        (sz.make_dataset(table, model, 5), "data '"),
        (sz.make_dataset(replicas.TABLE, model, 6), "batch size '5' in the checkpoint, '6' here"),
    ):
        with pytest.raises(ValueError, match=said):
            model.fit(data, epochs=6, verbose=0, callbacks=[sz.Recovery(broken)])


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "training.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not safetensors")
    with pytest.raises(ValueError, match=r"Delete it to start again.*training.safetensors"):
        fit(build(), tmp_path)


def test_rows_must_be_known() -> None:
    model = build()
    data = sz.make_dataset(replicas.TABLE, model, 5).map(lambda *batch: batch)
    with pytest.raises(ValueError, match="must know which rows were read"):
        model.fit(data, verbose=0, callbacks=[sz.Recovery("nowhere")])


@pytest.mark.parametrize("wrong", [{"resume": "maybe"}, {"steps": 0}, {"steps": 1.5}])
def test_wrong_settings_are_explained(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Received: "):
        sz.Recovery("somewhere", **wrong)


@pytest.mark.slow
def test_replicas_resume_too(tmp_path: Path) -> None:
    """Also metrics, of which every replica holds a part."""
    strategy = sz.distribution("mirrored", devices=["CPU:0", "CPU:1"], verbose=False)
    alone = replicas.build("gru", strategy)
    expected = replicas.fit(alone)

    def train(*further: Any) -> Any:
        model = replicas.build("gru", strategy)
        data = sz.make_dataset(replicas.TABLE, model, 5, shuffle=True, seed=0)
        recovery = sz.Recovery(tmp_path, steps=3)
        return model.fit(data, epochs=5, callbacks=[*further, recovery], verbose=0).history

    with pytest.raises(BreakOffError):
        train(Break(6))
    history = train()
    for what in ("loss", "accuracy"):
        np.testing.assert_allclose(history[what], expected[what], rtol=1e-5)
