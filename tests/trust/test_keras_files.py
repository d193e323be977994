"""Files that try to trick whoever loads them: an error says so, and nothing was done.

Of every attack, what must not happen is watched: `opened` lists every path that Python opens and
every SavedModel that is loaded.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import modules
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.hub.archive import Graph, pack_module, unpack_module
from keras_seqzoo.hub.encoder import HubEncoder, hub_encoder
from keras_seqzoo.preprocessing.bytepair import BytePairPreprocessor
from keras_seqzoo.preprocessing.hub import HubPreprocessor
from keras_seqzoo.preprocessing.sentencepiece import SentencePiecePreprocessor
from keras_seqzoo.tasks.keras_file import load_keras_file

LOADERS = [keras.models.load_model, load_keras_file]
_watching: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("open", "os.mkdir", "subprocess.Popen", "os.system"):
        _watching[-1].append(str(arguments[0]))


sys.addaudithook(_watch)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths that are opened and the SavedModels that are loaded in the test, in order."""
    seen: list[str] = []
    load = tf.saved_model.load

    def noted(path: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(f"SavedModel {path}")
        return load(path, *args, **kwargs)

    monkeypatch.setattr(tf.saved_model, "load", noted)
    _watching.append(seen)
    yield seen
    _watching.pop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("module")
    return modules.write_encoder(root / "tiny_bert", modules.write_vocabulary(root))


@pytest.fixture(scope="module")
def hub_file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "hub.keras"
    sz.build_model(str(folder), classes=["a", "b"]).save(path)
    return path


@pytest.fixture(scope="module")
def plain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "plain.keras"
    words = {"vocabulary": ["good", "bad"], "units": 4, "embedding_dim": 4}
    sz.build_model("gru", classes=["a", "b"], **words).save(path)
    return path


def rewrite(
    source: Path, target: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    """Copies a `.keras` file with some parts replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            new.writestr(name, content)
    return target


def config_of(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def with_layer(layer: dict[str, Any], target: Path, inputs: Any = None) -> Path:
    """A `.keras` file of a functional model whose one layer is called, on `inputs` if given."""
    name = layer["config"]["name"]
    tensor = {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["x", 0, 0]},
    }
    call: Any = {"args": [tensor], "kwargs": {}}
    if inputs is not None:
        call = {"args": [], "kwargs": {"inputs": inputs}}
    config = {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {
            "name": "m",
            "trainable": True,
            "layers": [
                {
                    "module": "keras.layers",
                    "class_name": "InputLayer",
                    "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "x"},
                    "registered_name": None,
                    "name": "x",
                    "inbound_nodes": [],
                },
                {**layer, "name": name, "inbound_nodes": [call]},
            ],
            "input_layers": [["x", 0, 0]],
            "output_layers": [[name, 0, 0]],
        },
        "registered_name": "Functional",
    }
    weights = io.BytesIO()
    h5py.File(weights, "w").close()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", weights.getvalue())
    return target


def called(where: str | None, name: str, **arguments: Any) -> dict[str, Any]:
    """A `Lambda` layer that calls what Keras finds under a name."""
    function = {"class_name": "function", "config": name, "registered_name": name}
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {
            "name": "attack",
            "function": {"module": where, **function},
            "arguments": arguments,
        },
        "registered_name": None,
    }


def _made(marker: Path) -> keras.layers.Lambda:
    """A layer with bytecode that makes a folder."""
    return keras.layers.Lambda(
        lambda x, p=str(marker): (__import__("os").makedirs(p, exist_ok=True), x)[1], name="attack"
    )


def lambda_layer(marker: Path) -> dict[str, Any]:
    return keras.saving.serialize_keras_object(_made(marker))


# The registered classes of this package.

REGISTERED = sorted(
    {
        name: cls
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith("keras_seqzoo>")
    }.items()
)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [("HubEncoder", None), ("HubPreprocessor", "folder"), ("HubPreprocessor", "archive")],
)
def test_a_graph_that_a_lambda_names_is_not_loaded(
    load: Any, kind: str, name: str | None, packed: bool, folder: Path, tmp_path: Path, opened: Any
) -> None:
    """Keras calls the constructor, past `from_config`, with the inputs first."""
    value = str(pack_module(folder)) if packed else str(folder)
    inputs, arguments = (value, {}) if name is None else (8, {name: value})
    file = with_layer(
        called(None, f"keras_seqzoo>{kind}", **arguments), tmp_path / "m.keras", inputs
    )
    opened.clear()
    with pytest.raises(Exception):  # noqa: B017, PT011 - of many kinds, which do not matter
        load(file)
    assert not [path for path in opened if "SavedModel" in path or str(folder) in path]


@pytest.mark.parametrize("name", [name for name, _ in REGISTERED])
def test_no_registered_class_opens_what_it_is_given(
    name: str, tmp_path: Path, opened: list[str]
) -> None:
    """Every argument of every constructor, a path in each place that a string may stand in."""
    cls = keras.saving.get_registered_object(name)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "saved_model.pb").write_bytes(b"")
    (tmp_path / "secret.txt").write_text("secret")
    names = [p for p in inspect.signature(cls).parameters if p not in ("kwargs", "args")]
    opened.clear()
    for path in (str(secret), str(tmp_path / "secret.txt")):
        for fixed in ({}, {"sequence_length": 8}):
            for chosen in ([n] for n in names), (names,):
                for some in chosen:
                    arguments = {**dict.fromkeys(some, path), **fixed}
                    for make in (lambda a: cls(**a), lambda a: cls.from_config({"name": "x", **a})):
                        # Which error does not matter, only what was done.
                        with contextlib.suppress(Exception):
                            make(arguments)
    assert not [path for path in opened if str(tmp_path) in path]


@pytest.mark.parametrize("make", [BytePairPreprocessor, SentencePiecePreprocessor])
def test_preprocessors_take_no_paths(make: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("{}")
    with pytest.raises((TypeError, ValueError), match=r"dict of ids|given as bytes|come together"):
        make(
            8, str(tmp_path / "a"), *([str(tmp_path / "a")] if make is BytePairPreprocessor else [])
        )


def test_a_graph_from_json_is_a_plain_string(folder: Path) -> None:
    layer = hub_encoder(folder)
    config = layer.get_config()
    assert isinstance(config["archive"], Graph)
    assert isinstance(HubEncoder.from_config(config), HubEncoder), "within a process it is trusted"
    with pytest.raises(ValueError, match="A graph is a program"):
        HubEncoder.from_config(json.loads(json.dumps(config)))
    with pytest.raises(TypeError, match="a folder that you name"):
        HubEncoder(str(config["archive"]) + "")
    with pytest.raises(TypeError, match="a folder that you name"):
        HubPreprocessor(8, str(config["archive"]) + "")


def test_trust_lets_in_the_graph_alone(
    hub_file: Path, plain_file: Path, tmp_path: Path, opened: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"A graph is a program.*--trust"):
        load_keras_file(hub_file)
    assert not [path for path in opened if "SavedModel" in path]
    model = load_keras_file(hub_file, trust=True)
    assert isinstance(model.encoder.get_layer("hub_encoder"), HubEncoder)
    with pytest.raises(ValueError, match="A graph is a program"):
        load_keras_file(hub_file)
    marker = tmp_path / "written"
    for file in (
        with_layer(lambda_layer(marker), tmp_path / "lambda.keras"),
        with_layer(called("keras.utils", "get_file", origin="x"), tmp_path / "function.keras"),
    ):
        with pytest.raises(ValueError, match="holds no code"):
            load_keras_file(file, trust=True)
    assert not marker.exists()


def test_trust_lets_in_no_code_that_the_check_does_not_know(
    hub_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras's safe mode stays on while a graph is trusted."""
    monkeypatch.setattr("keras_seqzoo.tasks.keras_file.check_keras_file", lambda path: None)
    file = with_layer(lambda_layer(tmp_path / "written"), tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="Lambda"):
        load_keras_file(file, trust=True)
    assert not (tmp_path / "written").exists()


def test_unsafe_mode_of_keras_means_what_it_says(hub_file: Path) -> None:
    model = keras.models.load_model(hub_file, safe_mode=False)
    assert isinstance(model.encoder.get_layer("hub_encoder"), HubEncoder)


def test_a_graph_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("saved_model.pb", bytes(1 << 20))
    graph = Graph(base64.b64encode(packed.getvalue()).decode())
    monkeypatch.setattr("keras_seqzoo.hub.archive._MOST_BYTES", 1 << 19)
    with pytest.raises(ValueError, match="at most 1000 files"):
        unpack_module(graph, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="damaged"):
        unpack_module(Graph("bm8="), str(tmp_path / "out"))


@pytest.mark.parametrize("form", ["saved_model.pb", "saved_model.pbtxt"])
def test_a_module_in_text_form_survives_its_file(folder: Path, tmp_path: Path, form: str) -> None:
    import shutil

    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # public in tensorflow's wheel

    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    if form.endswith("txt"):
        from google.protobuf import text_format

        graph = SavedModel.FromString((copy / "saved_model.pb").read_bytes())
        (copy / form).write_text(text_format.MessageToString(graph))
        (copy / "saved_model.pb").unlink()
    layer = hub_encoder(copy)
    again = HubEncoder.from_config(layer.get_config())
    again.set_weights(layer.get_weights())
    ids = np.ones((1, 3), np.int32)
    features = {"token_ids": ids, "padding_mask": ids, "segment_ids": 0 * ids}
    np.testing.assert_array_equal(
        layer(features)["pooled_output"], again(features)["pooled_output"]
    )


# Sizes and links, before Keras reads the file.


def _weights(write: Callable[[h5py.File], None]) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        write(weights)
    return file.getvalue()


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def _shape_bomb(file: h5py.File) -> None:
    file.create_dataset("bomb", (1 << 28,), "float32", chunks=(1 << 16,), compression="gzip")


def _late(file: h5py.File) -> None:
    file.create_dataset("late", (1 << 40,), "float32")


def _soft(file: h5py.File) -> None:
    file["soft"] = h5py.SoftLink("/nowhere")


def _external_link(file: h5py.File) -> None:
    file["layers"] = h5py.ExternalLink("/etc/passwd", "/")


def _external_data(file: h5py.File) -> None:
    file.create_dataset("vars", (16,), "uint8", external=[("/etc/passwd", 0, 16)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource("/etc/secret.h5", "x", (4,))
    file.create_virtual_dataset("vars", layout)


def _loop(file: h5py.File) -> None:
    file.create_group("a")["again"] = file["/"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"config.json": _deep(200)}, "nested at most 100"),
        ({"config.json": _deep(100_000)}, "is JSON"),
        ({"config.json": b"[" + b"0," * 1_000_001 + b"0]"}, r"1,000,002 values"),
        ({"config.json": b"nonsense"}, "is JSON"),
        ({"../escaped.txt": b"x"}, r"folder of assets.*\.\./escaped"),
        ({"assets/../../escaped.txt": b"x"}, "folder of assets"),
        ({"/tmp/escaped.txt": b"x"}, "folder of assets"),
        ({"model.weights.npz": b"x"}, "folder of assets"),
        ({"assets/zeros.txt": bytes(100 << 20)}, "at most 10 times its size"),
        ({"model.weights.h5": b"no HDF5"}, "damaged"),
        ({"model.weights.h5": _weights(_shape_bomb)}, "bomb of 1,073,741,824 bytes"),
        ({"model.weights.h5": _weights(_late)}, "late of 4,398,046,511,104 bytes"),
        ({"model.weights.h5": _weights(_soft)}, "hold no links"),
        ({"model.weights.h5": _weights(_external_link)}, "hold no links"),
        ({"model.weights.h5": _weights(_external_data)}, "in the file itself"),
        ({"model.weights.h5": _weights(_virtual)}, "in the file itself"),
        ({"model.weights.h5": _weights(_loop)}, "no group in itself"),
    ],
)
def test_traps_are_refused_before_keras_reads_the_file(
    plain_file: Path,
    tmp_path: Path,
    parts: dict[str, bytes],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = rewrite(plain_file, tmp_path / "m.keras", parts, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras read it"))
    with pytest.raises(ValueError, match=message):
        load_keras_file(file)
    assert not (tmp_path.parent / "escaped.txt").exists()


def test_a_link_in_the_archive_is_refused(plain_file: Path, tmp_path: Path) -> None:
    file = rewrite(plain_file, tmp_path / "m.keras", {})
    with zipfile.ZipFile(file, "a") as archive:
        link = zipfile.ZipInfo("assets/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="folder of assets"):
        load_keras_file(file)


def test_a_file_that_was_compressed_is_read(plain_file: Path, tmp_path: Path) -> None:
    file = rewrite(plain_file, tmp_path / "m.keras", {}, zipfile.ZIP_DEFLATED)
    assert load_keras_file(file).classes == ("a", "b")


# Keras's published vulnerabilities in loading, by number. Keras itself must refuse the first kind
# of loader's file, and this package's loader does so too.


def _module_of_python(root: Path) -> Path:
    """Any function of any module, named in the config."""
    layer = called("subprocess", "run", shell=True)
    layer["config"]["arguments"] = {"args": ["touch", str(root / "written")]}
    return with_layer(layer, root / "m.keras")


def _get_file(root: Path) -> Path:
    """A function of Keras that downloads and unpacks."""
    with tarfile.open(root / "payload.tar", "w") as archive:
        content = tarfile.TarInfo("written")
        archive.addfile(content, io.BytesIO())
    arguments = {
        "origin": (root / "payload.tar").as_uri(),
        "extract": True,
        "cache_dir": str(root),
        "cache_subdir": "",
        "fname": "written",
    }
    return with_layer(called("keras.utils", "get_file", **arguments), root / "m.keras")


def _get_file_outside(root: Path) -> Path:
    """The same with an archive whose entries lead out of the folder."""
    file = _get_file(root)
    with tarfile.open(root / "payload.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(root)
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("link/written"), io.BytesIO())
        archive.addfile(tarfile.TarInfo("../written"), io.BytesIO())
    return file


def _disable_safe_mode(root: Path) -> Path:
    """Turns safe mode off by a function of Keras, then brings code."""
    return with_layer(called("keras.config", "enable_unsafe_deserialization"), root / "m.keras")


def _bytecode(root: Path) -> Path:
    return with_layer(lambda_layer(root / "written"), root / "m.keras")


def _string_lookup(root: Path) -> Path:
    """A vocabulary that is a path."""
    (root / "secret.txt").write_text("secret\n")
    layer = {
        "module": "keras.layers",
        "class_name": "StringLookup",
        "config": {"name": "attack", "vocabulary": str(root / "secret.txt")},
        "registered_name": None,
    }
    return with_layer(layer, root / "m.keras")


def _saved_model(root: Path) -> Path:
    """A layer that loads a SavedModel from a path."""
    layer = {
        "module": "keras.layers",
        "class_name": "TFSMLayer",
        "config": {"name": "attack", "filepath": str(root / "secret")},
        "registered_name": None,
    }
    return with_layer(layer, root / "m.keras")


def _torch(root: Path) -> Path:
    """A layer that unpickles."""
    layer = {
        "module": "keras.layers",
        "class_name": "TorchModuleWrapper",
        "config": {"name": "attack", "module": base64.b64encode(b"pickle").decode()},
        "registered_name": None,
    }
    return with_layer(layer, root / "m.keras")


def _layer_name(root: Path) -> Path:
    """A layer whose name leads out of the folder that assets are unpacked to."""
    layer = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": f"../../../..{root}/written", "units": 4},
        "registered_name": None,
    }
    file = with_layer(layer, root / "plain.keras")
    return rewrite(file, root / "m.keras", {"assets/a.txt": b"", "assets/b.txt": b""})


def _dense(root: Path, write: Callable[[h5py.Group], None]) -> Path:
    layer = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "dense", "units": 4, "use_bias": False},
        "registered_name": None,
        "build_config": {"input_shape": [None, 4]},
    }
    file = with_layer(layer, root / "plain.keras")

    def fill(weights: h5py.File) -> None:
        write(weights.create_group("layers/dense/vars"))

    return rewrite(file, root / "m.keras", {"model.weights.h5": _weights(fill)})


def _secret(root: Path) -> Path:
    with h5py.File(root / "secret.h5", "w") as file:
        file["x"] = np.ones((4, 4), np.float32)
    return root / "secret.h5"


def _external_storage(root: Path) -> Path:
    path = str(_secret(root))
    return _dense(
        root,
        lambda g: g.create_dataset("0", (4, 4), "float32", external=[(path, 0, 64)]),
    )


def _virtual_storage(root: Path) -> Path:
    layout = h5py.VirtualLayout((4, 4), "float32")
    layout[:] = h5py.VirtualSource(str(_secret(root)), "x", (4, 4))
    return _dense(root, lambda g: g.create_virtual_dataset("0", layout))


def _link_to_another_file(root: Path) -> Path:
    path = str(_secret(root))
    return _dense(root, lambda g: g.__setitem__("0", h5py.ExternalLink(path, "x")))


def _huge_shape(root: Path) -> Path:
    return _dense(
        root,
        lambda g: g.create_dataset(
            "0", (1 << 20, 1 << 20), "float32", chunks=(1024, 1024), compression="gzip"
        ),
    )


def test_a_plain_layer_loads(tmp_path: Path) -> None:
    """The files above are refused for what is wrong with them."""
    value = np.ones((4, 4), np.float32)
    file = _dense(tmp_path, lambda group: group.create_dataset("0", data=value))
    np.testing.assert_array_equal(keras.models.load_model(file).get_weights()[0], value)
    with pytest.raises(ValueError, match="does not hold a model of keras_seqzoo"):
        load_keras_file(file)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    ("craft", "says"),
    [
        pytest.param(_bytecode, "Python lambda", id="CVE-2024-3660"),
        pytest.param(_module_of_python, "Could not locate function", id="CVE-2025-1550"),
        pytest.param(_get_file, "not a modeling function", id="CVE-2025-8747"),
        pytest.param(_disable_safe_mode, "not a modeling function", id="CVE-2025-9906"),
        pytest.param(_string_lookup, "vocabulary", id="CVE-2025-12058"),
        pytest.param(_get_file_outside, "not a modeling function", id="CVE-2025-12060"),
        pytest.param(
            _torch, "TorchModuleWrapper|No module named .torch", id="CVE-2025-49655, 2026-12484"
        ),
        pytest.param(_huge_shape, "shape bomb", id="CVE-2026-0897, 2026-12570"),
        pytest.param(_saved_model, "TFSMLayer", id="CVE-2026-1462"),
        pytest.param(_external_storage, "external Dataset", id="CVE-2026-1669"),
        pytest.param(_link_to_another_file, "ExternalLink", id="CVE-2026-9335"),
        pytest.param(_layer_name, "character `/`", id="CVE-2026-12479"),
        pytest.param(_virtual_storage, "virtual Dataset", id="CVE-2026-12480"),
    ],
)
def test_published_attacks_do_nothing(
    load: Any, craft: Callable[[Path], Path], says: str, tmp_path: Path, opened: list[str]
) -> None:
    file = craft(tmp_path)
    there = {*tmp_path.rglob("*")}
    opened.clear()
    with pytest.raises(
        (ValueError, TypeError, ImportError), match=says if load is LOADERS[0] else f"{says}|trust"
    ):
        load(file)
    assert {*tmp_path.rglob("*")} == there
    read = {path for path in opened if str(tmp_path) in path or "SavedModel" in path}
    assert read <= {str(file)}
    # Keras's mode is what it was.
    with pytest.raises(ValueError, match="Lambda"):
        keras.layers.Lambda.from_config(lambda_layer(tmp_path / "written")["config"])


def test_code_in_the_old_format_is_refused(tmp_path: Path) -> None:
    """CVE-2025-9905: safe mode did not hold for HDF5 files."""
    marker = tmp_path / "written"
    keras.Sequential([keras.Input((4,)), _made(marker)]).save(tmp_path / "m.h5")
    marker.rmdir()
    with pytest.raises(ValueError, match="Lambda"):
        keras.models.load_model(tmp_path / "m.h5")
    with pytest.raises(ValueError, match=r"not a \.keras file"):
        load_keras_file(tmp_path / "m.h5", trust=True)
    assert not marker.exists()


def test_code_is_refused_outside_of_a_loader(tmp_path: Path) -> None:
    """CVE-2026-12481: `from_config` alone took an unset safe mode for an unsafe one."""
    config = lambda_layer(tmp_path / "written")
    with pytest.raises(ValueError, match="Lambda"):
        keras.layers.Lambda.from_config(config["config"])
    with pytest.raises(ValueError, match="Lambda"):
        keras.models.clone_model(
            keras.Sequential([keras.layers.Lambda(lambda x: x), keras.layers.Dense(1)])
        )
    assert not (tmp_path / "written").exists()
