"""`.keras` files: checks them before Keras reads them, loads them, and takes their encoders."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

import keras

from keras_seqzoo.encoders.parts import EncoderParts
from keras_seqzoo.files import check_exists
from keras_seqzoo.hub.archive import trusting_graphs
from keras_seqzoo.tasks.model import TextModel

_PARTS = ("config.json", "metadata.json", "model.weights.h5")

# Keras does not compress what it writes. A file that someone compressed may grow tenfold.
_FLOOR, _GROWTH = 64 << 20, 10
_MOST_FILES = 10_000

# The largest config among our models is that of a TF Hub graph: 2 MB, nested 13 deep.
_MOST_CONFIG, _MOST_VALUES, _MOST_DEPTH = 64 << 20, 1_000_000, 100

_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, RuntimeError, ValueError)

# Layers that bring code or read a path, which no model of this package has.
_CODE = ("__lambda__", "Lambda", "TFSMLayer", "TorchModuleWrapper")


def load_keras_file(path: str | os.PathLike[str], trust: bool = False) -> TextModel:
    """Loads a `.keras` file that a model of this package was saved to.

    Args:
        path: the file.
        trust: whether it may hold a TensorFlow graph, as models of TF Hub's encoders do. A graph
            is a program. Python code in a file is always refused.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged, holds no model of this package, holds code or a graph that
            is not trusted, or asks for far more memory than it has bytes.
    """
    check_exists(path)
    check_keras_file(Path(path))
    with trusting_graphs() if trust else nullcontext():
        model = keras.models.load_model(path)
    if not isinstance(model, TextModel):
        raise ValueError(
            "This .keras file does not hold a model of keras_seqzoo. "
            f"Received: {path} with a {type(model).__name__}"
        )
    return model


def saved_parts(path: str, name: str) -> EncoderParts:
    """Takes the encoder, vocabulary and optimizer settings of a saved model.

    Args:
        path: a `.keras` file of this package.
        name: the model that the file must hold.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds something else.
    """
    model: Any = load_keras_file(path)
    if model.name != name:
        raise ValueError(
            f"The file must hold the model that you ask for. Build {model.name!r} instead. "
            f"Received: {path} holds a {model.name!r}, name={name!r}"
        )
    if not hasattr(model, "poolings") or model.optimizer is None:
        raise ValueError(
            "The file must hold a classifier or a language model, compiled: other models have no "
            "settings to continue training with. For a prompt, take the file of its language "
            "model. "
            f"Received: {path} holds a {type(model).__name__}"
        )
    for weight in model.encoder.weights:
        if "pool" in weight.path:  # the new head decides whether to read the pooler
            weight.trainable = True
    optimizer = model.optimizer
    return EncoderParts(
        model.encoder,
        model.preprocessor,
        pooling=model.pooling,
        optimizer=lambda: type(optimizer).from_config(optimizer.get_config()),
        dropout=model.dropout,
        poolings=model.poolings,
        schedule=model.schedule,
        warmup=model.warmup,
        wide=model.wide is not None,
        source=model,
    )


def check_keras_file(path: Path) -> None:
    """Checks that a file is one that `model.save` of this package writes, and not a trap.

    Keras refuses code and links too, and sizes from 4 GiB on. This check reads everything before
    anything is built or allocated.

    Args:
        path: a `.keras` file.

    Raises:
        ValueError: the file is damaged; has a part, a layer or a link that no such model has; or
            needs far more memory than it has bytes.
    """
    with path.open("rb") as file:
        try:
            _check(file, path.stat().st_size)
        except _TrapError as error:
            raise ValueError(f"{error}: {path}") from None
        except _DAMAGED as error:
            raise ValueError(
                "This is not a .keras file, or it is damaged. Save the model again. "
                f"Received: {path}, which gave {type(error).__name__}: {error}"
            ) from error


class _TrapError(Exception):
    """A finding that no file of this package has; the message gets the file's path later."""

    def __init__(self, rule: str, found: object):
        super().__init__(
            f"{rule} If you trust the file, keras.models.load_model loads what Keras takes. "
            f"Received: {found!s:.80} in the file"
        )


def _check(file: Any, size: int) -> None:
    with zipfile.ZipFile(file) as archive:
        _check_parts(archive, size)
        _check_config(archive.read("config.json"))
        with tempfile.SpooledTemporaryFile(max_size=1 << 28) as weights:
            with archive.open("model.weights.h5") as packed:
                shutil.copyfileobj(packed, weights)
            _check_weights(weights)


def _check_parts(archive: zipfile.ZipFile, size: int) -> None:
    parts = archive.infolist()
    for part in parts:
        name = PurePosixPath(part.filename)
        is_asset = name.parts[:1] == ("assets",) and ".." not in name.parts
        if not (part.filename in _PARTS or is_asset) or stat.S_ISLNK(part.external_attr >> 16):
            raise _TrapError(
                f"A .keras file holds {', '.join(_PARTS)} and a folder of assets.", part.filename
            )
    whole = sum(part.file_size for part in parts)
    if len(parts) > _MOST_FILES or whole > _FLOOR + _GROWTH * size:
        raise _TrapError(
            f"A .keras file unpacks to at most {_GROWTH} times its size, and {_MOST_FILES} files.",
            f"{len(parts)} files of {whole:,} bytes",
        )


def _check_config(text: bytes) -> None:
    values = sum(map(text.count, (b",", b"{", b"[")))
    if len(text) > _MOST_CONFIG or values > _MOST_VALUES:
        raise _TrapError(
            f"The config of a model has at most {_MOST_CONFIG >> 20} MiB and {_MOST_VALUES:,} "
            "values.",
            f"{len(text):,} bytes, {values:,} values",
        )
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _TrapError("The config of a model is JSON.", type(error).__name__) from error
    for value, depth in _walk(config):
        if depth > _MOST_DEPTH:
            raise _TrapError(f"A config is nested at most {_MOST_DEPTH} deep.", "a deeper one")
        if isinstance(value, dict):
            _check_object(value)


def _check_object(value: dict[str, Any]) -> None:
    """Refuses code, and functions to call instead of objects to make from a config."""
    kind, name = str(value.get("class_name")), value.get("config")
    name = name if isinstance(name, str) else ""
    # Registered functions have a name with ">". A registered class may be named as a function too:
    # then it would be called with whatever the file says. Tokenizers of KerasHub open paths.
    foreign = kind == "function" and ">" in name and not name.startswith("keras_hub>")
    if kind in _CODE or foreign or "Tokenizer" in kind + name:
        raise _TrapError(
            "A model of this package holds no code and nothing that reads a path.",
            name if foreign else kind,
        )


def _walk(root: object) -> Iterator[tuple[object, int]]:
    left = [(root, 1)]
    while left:
        value, depth = left.pop()
        yield value, depth
        if isinstance(value, (dict, list)):
            inner = value.values() if isinstance(value, dict) else value
            left += [(item, depth + 1) for item in inner]


def _check_weights(file: Any) -> None:
    import h5py

    with h5py.File(file, "r") as weights:
        left = [weights["/"]]
        seen = {*left}
        while left:
            group = left.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise _TrapError("Weights hold no links.", name)
                item = group[name]
                if item in seen:
                    raise _TrapError("Weights hold no item twice, and no group in itself.", name)
                seen.add(item)
                if isinstance(item, h5py.Group):
                    left.append(item)
                elif not isinstance(item, h5py.Dataset):
                    raise _TrapError("Weights are groups and arrays.", name)
                elif item.external or item.is_virtual or item.dtype.hasobject:
                    raise _TrapError("Weights lie in the file itself.", name)
                elif item.nbytes > (1 << 20) + _GROWTH * item.id.get_storage_size():
                    raise _TrapError(
                        "Weights are stored in about their full size.",
                        f"{name} of {item.nbytes:,} bytes",
                    )
