"""Rebuilds encoders of TF Hub and KerasHub on our own graph, and compares the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_seqzoo.hub.transformer import ACTIVATIONS, TransformerEncoder

Features = Mapping[str, tf.Tensor]


class Naming(NamedTuple):
    """A library's names of the weights of BERT and similar encoders.

    Attributes:
        layer: matches weights inside a layer: the layer's number, and the rest of the name.
        joint: matches, in that rest, the weights that we join into one: which, and its part.
        names: beginnings of the other names, and our names for them.
    """

    layer: re.Pattern[str]
    joint: re.Pattern[str]
    names: Mapping[str, str]


# TensorFlow's Model Garden wrote TF Hub's encoders.
GARDEN = Naming(
    re.compile(r"transformer/layer_(\d+)/(.+)"),
    re.compile(r"self_attention/(query|key|value)/(kernel|bias)"),
    {
        "word_embeddings/embeddings": "token_embedding",
        "position_embedding/embeddings": "position_embedding",
        "type_embeddings/embeddings": "segment_embedding",
        "embeddings/layer_norm/": "embedding_norm_",
        "embedding_projection/": "projection_",
        "pooler_transform/": "pooler_",
        "self_attention/attention_output/": "attention_",
        "self_attention_layer_norm/": "attention_norm_",
        "intermediate/": "intermediate_",
        "output/": "output_",
        "output_layer_norm/": "output_norm_",
    },
)
KERAS_HUB = Naming(
    re.compile(r"transformer_layer_(\d+)/(.+)"),
    re.compile(r"self_attention_layer/(query|key|value)/(kernel|bias)"),
    {
        "token_embedding/embeddings": "token_embedding",
        "position_embedding/embeddings": "position_embedding",
        "position_embedding/position_embeddings": "position_embedding",
        "segment_embedding/embeddings": "segment_embedding",
        "embeddings_layer_norm/": "embedding_norm_",
        "embeddings_projection/": "projection_",
        "pooled_dense/": "pooler_",
        "self_attention_layer/attention_output/": "attention_",
        "self_attention_layer_norm/": "attention_norm_",
        "feedforward_intermediate_dense/": "intermediate_",
        "feedforward_output_dense/": "output_",
        "feedforward_layer_norm/": "output_norm_",
    },
)
_DROPOUT = re.compile(r"dropout(_\d+)?/Const$")  # the factor for values that dropout keeps
_CLOSE = 1e-4


class UnlikeError(Exception):
    """An encoder cannot be rebuilt; the message says why."""


def is_like(names: Iterable[str], naming: Naming) -> bool:
    """Whether weights of these names may be those of an encoder that can be rebuilt."""
    found = (naming.layer.fullmatch(name) for name in names)
    return any(m is not None and naming.joint.fullmatch(m[2]) is not None for m in found)


def rebuild(
    weights: Mapping[str, npt.NDArray[Any]],
    naming: Naming,
    answer: Callable[[Features], Mapping[str, tf.Tensor]],
    rates: Sequence[float],
    **kwargs: Any,
) -> TransformerEncoder:
    """Makes the encoder that has these weights.

    Args:
        weights: arrays by name.
        naming: the library's names of the weights.
        answer: the original encoder: features to outputs, without dropout.
        rates: its dropout rates.
        **kwargs: further arguments of `TransformerEncoder`; `dropout` is the encoder's by default.

    Raises:
        UnlikeError: the weights or the answers are not those of such an encoder.
    """
    found = _arranged(weights, naming)
    if len({*rates}) > 1:
        raise UnlikeError(f"its dropout has the rates {sorted({*rates})}, not one")
    sizes = _sizes(found)
    features = _probe(sizes)
    wanted = answer(features)
    arguments = {**sizes, "dropout": rates[0] if rates else 0.0, **kwargs}
    closest, off = None, np.inf
    for activation in ACTIVATIONS:
        encoder = TransformerEncoder(**arguments, activation=activation)
        encoder.fill(found)
        difference = _distance(encoder(features), wanted, features["padding_mask"])
        if difference < off:
            closest, off = encoder, difference
        if off <= _CLOSE:
            break
    # In half precision, rounding exceeds the difference between most activations.
    if closest is None or off > (_CLOSE if closest.compute_dtype == "float32" else 0.1):
        raise UnlikeError(f"its answers differ from BERT's by {off:.1e} of the largest number")
    return closest


def dropout_rates(graph: tf.Graph) -> list[float]:
    """The rates of the dropout in a graph and in the functions that it calls."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    scales = [
        float(tf.make_ndarray(node.attr["value"].tensor))
        for node in nodes
        if node.op == "Const" and _DROPOUT.search(node.name)
    ]
    return sorted({round(1 - 1 / scale, 6) for scale in scales if scale > 1})


def _arranged(
    theirs: Mapping[str, npt.NDArray[Any]], naming: Naming
) -> dict[str, npt.NDArray[Any]]:
    """Weights by our names and in our layout; those of attention still have an axis of heads."""
    ours: dict[str, npt.NDArray[Any]] = {}
    joint: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for name, value in theirs.items():
        in_layer = naming.layer.fullmatch(name)
        prefix, rest = (f"layer_{in_layer[1]}_", in_layer[2]) if in_layer else ("", name)
        if part := naming.joint.fullmatch(rest):
            joint.setdefault(f"{prefix}query_key_value_{part[2]}", {})[part[1]] = value
            continue
        known = next((key for key in naming.names if rest.startswith(key)), None)
        if known is None:
            raise UnlikeError(f"it has a weight that BERT does not have, {name}")
        ours[prefix + naming.names[known] + rest.removeprefix(known)] = value
    for name, parts in joint.items():
        if len(parts) < 3:
            raise UnlikeError(f"it lacks one of the weights of {name}")
        ours[name] = np.stack([parts[key] for key in ("query", "key", "value")], axis=-3)
    return ours


def _sizes(found: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    try:
        words, positions = (found[f"{kind}_embedding"] for kind in ("token", "position"))
        hidden, _, heads, _ = found["layer_0_query_key_value_kernel"].shape
        inner = found["layer_0_intermediate_bias"].shape[0]
    except (KeyError, ValueError) as error:
        raise UnlikeError(f"it lacks weights that BERT has ({error})") from error
    segments = found.get("segment_embedding")
    return {
        "vocabulary_size": words.shape[0],
        "sequence_length": positions.shape[0],
        "num_segments": 0 if segments is None else segments.shape[0],
        "num_layers": len({name.split("_")[1] for name in found if name.startswith("layer_")}),
        "num_heads": heads,
        "hidden_dim": hidden,
        "intermediate_dim": inner,
        "embedding_dim": words.shape[1],
        "pooler": "pooler_kernel" in found,
    }


def _probe(sizes: Mapping[str, Any]) -> Features:
    """Features of three texts of different lengths."""
    rng = np.random.default_rng(0)
    length = min(16, sizes["sequence_length"])
    ids = rng.integers(0, sizes["vocabulary_size"], (3, length))
    mask = np.arange(length) < np.array([[length], [length // 2 + 1], [1]])
    segments = rng.integers(0, max(1, min(2, sizes["num_segments"])), (3, length))
    parts = {"token_ids": ids * mask, "padding_mask": mask, "segment_ids": segments * mask}
    return {name: tf.constant(part, tf.int32) for name, part in parts.items()}


def _distance(
    ours: Mapping[str, tf.Tensor], theirs: Mapping[str, tf.Tensor], mask: tf.Tensor
) -> float:
    """The difference of two answers, as a share of the largest number in them."""
    return max(_differences(ours, theirs, mask))


def _differences(
    ours: Mapping[str, tf.Tensor], theirs: Mapping[str, tf.Tensor], mask: tf.Tensor
) -> Iterator[float]:
    for name, rows in (("sequence_output", mask.numpy() > 0), ("pooled_output", ...)):
        wanted = theirs[name].numpy()[rows]
        found = tf.cast(ours[name], tf.float32).numpy()[rows]
        difference = float(np.abs(found - wanted).max() / np.abs(wanted).max())
        yield difference if np.isfinite(difference) else np.inf
