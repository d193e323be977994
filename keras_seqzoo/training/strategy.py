"""`distribution` chooses the `tf.distribute` strategy that fits the machine."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_seqzoo.training.cluster import (
    Cluster,
    code_facts,
    config_from_slurm,
    in_slurm,
    meet,
    read_cluster,
)

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def distribution(
    name: str = "auto",
    *,
    devices: Sequence[str | int] | None = None,
    cross_device_ops: tf.distribute.CrossDeviceOps | None = None,
    communication: str = "auto",
    timeout: float = 300.0,
    verbose: bool = True,
) -> tf.distribute.Strategy:
    """Chooses how to distribute a training, and prints the choice and its reason on stderr.

    Build the model in its scope; `make_dataset` and `fit` do not change. The batch size is the sum
    over all replicas, and the learning rate does not change: see docs/scaling.md.

    Args:
        name: `"auto"` chooses by machine: `TF_CONFIG` or Slurm's variables with several workers →
            `"multi_worker"`; a TPU → `"tpu"`; several GPUs → `"mirrored"`; else `"one_device"`.
        devices: devices to use, such as `["GPU:0", "GPU:1"]` or `[0, 1]`; all GPUs by default, or
            the CPU if there is no GPU.
        cross_device_ops: how `"mirrored"` sums gradients; NCCL on GPUs by default.
        communication: how `"multi_worker"` sums gradients: `"auto"`, `"ring"` (gRPC) or `"nccl"`.
        timeout: seconds that a worker waits for the others.
        verbose: whether to print the line.

    Returns:
        A `tf.distribute.Strategy`. For a single device chosen by default, it is TensorFlow's
        default strategy. The same devices always get the same `MirroredStrategy`: with two of them
        in one process, TensorFlow fails with "Shape mismatch in the collective instance".

    Raises:
        RuntimeError: several workers, and TensorFlow has already run an op.
        TimeoutError: a worker did not start in time; the message names it.
        ValueError: an unknown name or device, a malformed `TF_CONFIG`, or workers that run
            different code; the message names what differs.

    Example:
        >>> import keras_seqzoo as sz
        >>> with sz.distribution("auto", verbose=False).scope():
        ...     model = sz.build_model("gru", ["a film"], classes=["no", "yes"], units=4)
        >>> model.distribute_strategy.num_replicas_in_sync
        1
    """
    if name not in STRATEGIES:
        raise ValueError(f"`name` must be one of {STRATEGIES}. Received: name={name!r}")
    why = "asked for"
    if name == "auto":
        name, why = _choose(devices)
    if name == "multi_worker":
        return _multi_worker(why, devices, communication, timeout, verbose)
    if name == "tpu":
        return _tpu(why, verbose)
    chosen = _devices(devices)
    if name == "mirrored":
        strategy = _mirrored(tuple(chosen), cross_device_ops)
    elif len(chosen) > 1 and devices is not None:
        raise ValueError(
            "`one_device` takes one device. Name one, or use 'mirrored'. "
            f"Received: devices={list(devices)!r}"
        )
    elif devices is None:
        strategy = tf.distribute.get_strategy()
    else:
        strategy = tf.distribute.OneDeviceStrategy(chosen[0])
    kind = type(strategy).__name__ if name == "mirrored" or devices is not None else "no strategy"
    shown = ", ".join(chosen if name == "mirrored" else chosen[:1])
    _tell(f"{kind} on {shown} ({why})", verbose)
    return strategy


def _choose(devices: Sequence[str | int] | None) -> tuple[str, str]:
    if read_cluster() is not None:
        return "multi_worker", "TF_CONFIG names several workers"
    if in_slurm():
        return "multi_worker", f"Slurm runs {os.environ['SLURM_NTASKS']} tasks"
    if devices is not None:
        named = _devices(devices)
        return ("mirrored" if len(named) > 1 else "one_device"), f"{len(named)} devices named"
    if os.environ.get("TPU_NAME") or tf.config.list_physical_devices("TPU"):
        return "tpu", "there is a TPU"
    gpus = len(tf.config.list_logical_devices("GPU"))
    if gpus > 1:
        return "mirrored", f"there are {gpus} GPUs"
    return "one_device", "there is one GPU" if gpus else "there is no GPU"


def _multi_worker(
    why: str, devices: Any, communication: str, timeout: float, verbose: bool
) -> tf.distribute.Strategy:
    implementations = tf.distribute.experimental.CommunicationImplementation.__members__
    if communication.upper() not in implementations:
        raise ValueError(
            f"`communication` must be one of {[m.lower() for m in implementations]}. "
            f"Received: communication={communication!r}"
        )
    if devices is not None:
        raise ValueError(
            "Every worker uses all the GPUs that it sees. Leave `devices` out, and set "
            f"CUDA_VISIBLE_DEVICES. Received: devices={list(devices)!r}"
        )
    if read_cluster() is None and in_slurm():
        os.environ["TF_CONFIG"] = config_from_slurm()
        _take_share_of_gpus()
    cluster = read_cluster()
    if cluster is None:
        raise ValueError(
            "'multi_worker' needs several workers. Set TF_CONFIG on each, start them with "
            "`keras-seqzoo launch --workers N -- …` or with Slurm's srun, or use another "
            f"strategy. Received: TF_CONFIG={os.environ.get('TF_CONFIG')!r}"
        )
    if tf.executing_eagerly() and _has_run():
        raise RuntimeError(
            "Workers must be joined before TensorFlow runs its first op. Call distribution(…) at "
            "the start of the program. Received: a context that is already initialised"
        )
    meet(cluster, code_facts(), timeout)
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=implementations[communication.upper()]
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    replicas = strategy.num_replicas_in_sync
    here = cluster.name(cluster.index)
    _tell(
        f"MultiWorkerMirroredStrategy, {len(cluster.addresses)} workers, {replicas} replicas; "
        f"this is {here}{', the chief' if cluster.chief else ''} ({why})",
        verbose,
    )
    return strategy


def _take_share_of_gpus() -> None:
    """Divides the GPUs that a Slurm task sees among the tasks of its host."""
    cluster, gpus = read_cluster(), tf.config.list_physical_devices("GPU")
    if cluster is None:
        return
    host = cluster.addresses[cluster.index].rpartition(":")[0]
    here = [i for i, a in enumerate(cluster.addresses) if a.rpartition(":")[0] == host]
    if len(gpus) >= len(here) > 1:
        tf.config.set_visible_devices(gpus[here.index(cluster.index) :: len(here)], "GPU")


@functools.cache
def _mirrored(devices: tuple[str, ...], cross_device_ops: Any) -> tf.distribute.Strategy:
    """One strategy for the same devices: the collectives of two would mix up their values."""
    return tf.distribute.MirroredStrategy(devices, cross_device_ops)


def _tpu(why: str, verbose: bool) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect()
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ValueError(
            "There must be a TPU. Set TPU_NAME, or use another strategy. "
            f"Received: {type(error).__name__}: {error}"
        ) from error
    strategy = tf.distribute.TPUStrategy(resolver)
    _tell(f"TPUStrategy on {strategy.num_replicas_in_sync} cores ({why})", verbose)
    return strategy


def _devices(devices: Sequence[str | int] | None) -> list[str]:
    """Full names of the given devices, or of all GPUs, or of the CPU."""
    known = [d.name.removeprefix("/device:") for d in tf.config.list_logical_devices()]
    known = [d for d in known if d.startswith(("GPU:", "CPU:"))]
    gpus = [d for d in known if d.startswith("GPU:")]
    if devices is None:
        return gpus or ["CPU:0"]
    asked = [f"GPU:{d}" if str(d).isdecimal() else str(d).upper().lstrip("/") for d in devices]
    asked = [d.removeprefix("DEVICE:") for d in asked]
    wrong = [d for d in asked if d not in known]
    if wrong or not asked or len(set(asked)) < len(asked):
        raise ValueError(
            f"`devices` must name devices of this machine, each once: {', '.join(known)}. "
            f"Received: devices={list(devices)!r}"
        )
    return asked


def _has_run() -> bool:
    try:
        tf.config.set_soft_device_placement(tf.config.get_soft_device_placement())
        tf.config.threading.set_intra_op_parallelism_threads(
            tf.config.threading.get_intra_op_parallelism_threads()
        )
    except RuntimeError:  # they cannot be set once the context is initialised
        return True
    return False


def _tell(line: str, verbose: bool) -> None:
    if verbose:
        print(f"Distribution: {line}", file=sys.stderr)


def cluster_of(strategy: tf.distribute.Strategy) -> Cluster | None:
    """The workers of a strategy; None if this process is the only one."""
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return read_cluster()
    return None


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files."""
    cluster = cluster_of(strategy)
    return cluster is None or cluster.chief
