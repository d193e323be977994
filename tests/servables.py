"""Tiny SavedModels for tests of serving, written by hand: no Keras, no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

CLASSES = ("negative", "positive")
# A text of more bytes fails in the graph.
LONGEST = 50


CONFIG = """
model_config_list {{
  config {{
    name: "m" base_path: "{path}" model_platform: "tensorflow"
    model_version_policy {{ all {{}} }}
    version_labels {{ key: "stable" value: 1 }}
    version_labels {{ key: "canary" value: 2 }}
  }}
}}
"""


def write_models(folder: Path) -> Path:
    """Writes a model `m` with the versions 1 and 2, which has the mark "2"; returns its config."""
    write_servable(folder / "m" / "1")
    write_servable(folder / "m" / "2", "2")
    config = folder / "models.config"
    config.write_text(CONFIG.format(path=folder / "m"), "utf-8")
    return config


def write_servable(path: Path, mark: str = "") -> Path:
    """Writes a SavedModel with signatures of every kind.

    Args:
        path: the folder of the version.
        mark: what its labels end with, to tell versions apart.
    """
    signatures = {
        "serving_default": _judge(mark),
        "single": _length,
        "bytes": _packed,
        "numbers": _numbers,
        "mixed": _mixed,
        "uneven": _uneven,
        "total": _total,
        "half": _half,
        "classify": _classify(mark),
        "scores": _scores,
        "regress": _regress,
        "hang": _hang,
        "wait": _wait,
        "arrived": _arrived,
        "release": _release,
    }
    tf.saved_model.save(
        tf.Module(),
        str(path),
        signatures={name: f.get_concrete_function() for name, f in signatures.items()},
    )
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
    for name in ("classify", "scores"):
        updater.replace_method_name(
            signature_key=name, method_name=tf.compat.v1.saved_model.CLASSIFY_METHOD_NAME
        )
    updater.replace_method_name(
        signature_key="regress", method_name=tf.compat.v1.saved_model.REGRESS_METHOD_NAME
    )
    updater.save()
    return path


def _takes(**inputs: tf.TensorSpec) -> Callable[[Callable[..., Any]], Any]:
    def wrap(function: Callable[..., Any]) -> Any:
        specs = [tf.TensorSpec(s.shape, s.dtype, name) for name, s in inputs.items()]
        return tf.function(function, input_signature=specs)

    return wrap


TEXTS = tf.TensorSpec([None], tf.string)
FLOATS = tf.TensorSpec([None], tf.float32)


def _judge_texts(text: Any, mark: str) -> dict[str, Any]:
    """Texts of an odd number of bytes are positive, with a probability of 0.75."""
    length = tf.strings.length(text)
    check = tf.debugging.assert_less_equal(length, LONGEST, message="text too long")
    with tf.control_dependencies([check] if check is not None else []):
        odd = tf.cast(length % 2, tf.float32)
    positive = 0.25 + 0.5 * odd
    labels = tf.gather(tf.constant([name + mark for name in CLASSES]), length % 2)
    return {
        "label": labels,
        "probability": tf.maximum(positive, 1 - positive),
        "probabilities": tf.stack([1 - positive, positive], axis=1),
    }


def _judge(mark: str) -> Any:
    return _takes(text=TEXTS)(lambda text: _judge_texts(text, mark))


@_takes(text=TEXTS)
def _length(text: Any) -> dict[str, Any]:
    return {"length": tf.strings.length(text)}


@_takes(text=TEXTS)
def _packed(text: Any) -> dict[str, Any]:
    return {"raw_bytes": tf.strings.join([text, tf.constant(b"\xff\x00")]), "text": text}


@_takes(x=FLOATS)
def _numbers(x: Any) -> dict[str, Any]:
    return {
        "half": x / 2,
        "double": tf.cast(x, tf.float64),
        "is_small": x < 1,
    }


@_takes(
    a=tf.TensorSpec([None, None], tf.int32),
    b=tf.TensorSpec([None], tf.bool),
    c=tf.TensorSpec([None], tf.float64),
)
def _mixed(a: Any, b: Any, c: Any) -> dict[str, Any]:
    return {"sum": tf.reduce_sum(a, axis=1), "not_b": tf.logical_not(b), "c": c}


@_takes(x=FLOATS)
def _uneven(x: Any) -> dict[str, Any]:
    return {"x": x, "twice": tf.concat([x, x], axis=0)}


@_takes(x=FLOATS)
def _total(x: Any) -> dict[str, Any]:
    return {"total": tf.reduce_sum(x)}


@_takes(x=tf.TensorSpec([None], tf.float16))
def _half(x: Any) -> dict[str, Any]:
    return {"x": tf.cast(x, tf.float32)}


def _parse(inputs: Any) -> Any:
    # `context` is a feature of its own, so that requests can send it in common.
    features = tf.io.parse_example(
        inputs,
        {
            "text": tf.io.FixedLenFeature([], tf.string),
            "context": tf.io.FixedLenFeature([], tf.string, default_value=""),
        },
    )
    return tf.strings.join([features["text"], features["context"]])


def _classify(mark: str) -> Any:
    @_takes(inputs=TEXTS)
    def classify(inputs: Any) -> dict[str, Any]:
        scores = _judge_texts(_parse(inputs), mark)["probabilities"]
        names = tf.constant([name + mark for name in CLASSES])
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    return classify


@_takes(inputs=TEXTS)
def _scores(inputs: Any) -> dict[str, Any]:
    return {"scores": _judge_texts(_parse(inputs), "")["probabilities"]}


@_takes(inputs=TEXTS)
def _regress(inputs: Any) -> dict[str, Any]:
    return {"outputs": tf.cast(tf.strings.length(_parse(inputs)), tf.float32)}


def _queue(name: str) -> Any:
    return tf.raw_ops.FIFOQueueV2(component_types=[tf.string], shapes=[[]], shared_name=name)


@_takes(text=TEXTS)
def _hang(text: Any) -> dict[str, Any]:
    """Never answers."""
    word = tf.raw_ops.QueueDequeueV2(handle=_queue("never"), component_types=[tf.string])[0]
    return {"text": tf.strings.join([text, word])}


@_takes(text=TEXTS)
def _wait(text: Any) -> dict[str, Any]:
    """Answers a text only after `release`; `arrived` tells that it waits."""
    tf.raw_ops.QueueEnqueueV2(handle=_queue("arrived"), components=[text[0]])
    word = tf.raw_ops.QueueDequeueV2(handle=_queue("gate"), component_types=[tf.string])[0]
    return {"word": word[None]}


@_takes(text=TEXTS)
def _arrived(text: Any) -> dict[str, Any]:
    """Answers once as many requests wait in `wait` as there are texts."""
    return {
        "text": tf.raw_ops.QueueDequeueManyV2(
            handle=_queue("arrived"), n=tf.size(text), component_types=[tf.string]
        )[0]
    }


@_takes(text=TEXTS)
def _release(text: Any) -> dict[str, Any]:
    """Gives each of as many requests in `wait` a word."""
    tf.raw_ops.QueueEnqueueManyV2(handle=_queue("gate"), components=[text])
    return {"count": tf.size(text)[None]}
