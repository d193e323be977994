"""A SavedModel's graph as a string, so that it can travel inside a model's config."""

from __future__ import annotations

import base64
import binascii
import io
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.hub.resolve import GRAPH_FILES

_WEIGHTS = "variables/variables"
# Six times the zoo's largest encoder. Packed files hold zeros, which take no room.
_MOST_BYTES, _MOST_FILES = 8 << 30, 1000

_trusting = ContextVar("_trusting", default=False)


class Graph(str):
    """A packed SavedModel that may be run: a user named its folder, or trusted its file.

    The constructors of registered layers take this type and no other string. A file can call them
    with anything that JSON can express, bypassing `from_config`, but it cannot make a `Graph`.
    """


@contextmanager
def trusting_graphs() -> Iterator[None]:
    """Allows files to contain graphs; Keras's safe mode does not change for anything else."""
    token = _trusting.set(True)
    try:
        yield
    finally:
        _trusting.reset(token)


def trusted(archive: str, layer: str) -> Graph:
    """Returns a graph from a layer's config, if it may be run.

    Args:
        archive: what `get_config` returned; still a `Graph` if it was never in a file.
        layer: name of the layer that holds it.

    Raises:
        ValueError: it comes from a file that is not trusted.
    """
    if not isinstance(archive, Graph) and not _trusting.get():
        _require_unsafe_mode(layer)
    return Graph(archive)


def pack_module(folder: Path) -> Graph:
    """Packs the graph and assets of a SavedModel, with zeros in place of its float weights.

    Keras saves the weights themselves, as for any layer. Zeros take no room when compressed: the
    graph of a 6-layer BERT takes about 0.3 MB.

    Args:
        folder: the SavedModel.

    Returns:
        A ZIP file in base64.

    Raises:
        ValueError: it is too large for a file.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        files = [*(folder / name for name in GRAPH_FILES), *sorted((folder / "assets").rglob("*"))]
        for file in files:
            if file.is_file():
                archive.write(file, file.relative_to(folder))
        with tempfile.TemporaryDirectory() as temporary:
            prefix = Path(temporary) / _WEIGHTS
            if (folder / f"{_WEIGHTS}.index").is_file():
                _write_zeros(str(folder / _WEIGHTS), prefix)
                for file in sorted(prefix.parent.iterdir()):
                    archive.write(file, file.relative_to(temporary))
        _check_size(archive)
    return Graph(base64.b64encode(packed.getvalue()).decode("ascii"))


def unpack_module(graph: Graph, folder: str) -> None:
    """Unpacks the archive of `pack_module` to a folder, as a SavedModel.

    Raises:
        TypeError: not a `Graph`.
        ValueError: the archive is damaged, or larger than `pack_module` allows.
    """
    if not isinstance(graph, Graph):
        raise TypeError(
            "A graph must come from a folder that you name, or from a file that you trust. Build "
            "the model with build_model(folder, …), or load its file. "
            f"Received: {graph!r:.60}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(graph))) as packed:
            _check_size(packed)
            packed.extractall(folder)
    except (zipfile.BadZipFile, binascii.Error) as error:
        raise ValueError(
            "The graph in the file is damaged. Copy the file again from where it was saved. "
            f"Received: {error}"
        ) from error


def _check_size(archive: zipfile.ZipFile) -> None:
    sizes = [info.file_size for info in archive.infolist()]
    if len(sizes) > _MOST_FILES or sum(sizes) > _MOST_BYTES:
        raise ValueError(
            f"A SavedModel inside a file can have at most {_MOST_FILES} files of "
            f"{_MOST_BYTES >> 30} GiB in all. Use a smaller one. "
            f"Received: {len(sizes)} files of {sum(sizes) / 2**30:,.1f} GiB"
        )


def _require_unsafe_mode(layer: str) -> None:
    """Raises a ValueError while Keras's safe mode is on."""
    # Keras has no public way to read its mode, so we test whether it would load a Lambda.
    probe = keras.layers.Lambda(lambda x: x).get_config()
    try:
        keras.layers.Lambda.from_config(probe)
    except ValueError:
        raise ValueError(
            f"This file holds a TensorFlow graph that came from elsewhere, in the layer {layer!r}. "
            "A graph is a program: it can read and write files when it runs. If you trust where "
            "the file comes from, pass --trust on the command line; or in Python load it with "
            "keras.models.load_model(…, safe_mode=False), or call "
            "keras.config.enable_unsafe_deserialization() first: both also allow Python code to "
            "run. "
            "Received: a file to load in Keras's safe mode"
        ) from None


def _write_zeros(source: str, prefix: Path) -> None:
    """Writes a copy of a checkpoint in which all floats are zero."""
    reader = tf.train.load_checkpoint(source)
    dtypes: dict[str, Any] = reader.get_variable_to_dtype_map()
    shapes = reader.get_variable_to_shape_map()
    names = sorted(dtypes)
    with tf.device("CPU:0"):
        values = [
            tf.zeros(shapes[name], dtypes[name])
            if dtypes[name].is_floating
            else tf.constant(reader.get_tensor(name), dtypes[name])
            for name in names
        ]
        prefix.parent.mkdir(parents=True)
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            tensors=values,
        )
