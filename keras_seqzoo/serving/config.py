"""Configuration files of TensorFlow Serving: models and versions, batches, and metrics."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from google.protobuf import text_format

from keras_seqzoo.checks import check_whole
from keras_seqzoo.files import whole
from keras_seqzoo.serving import protocol
from keras_seqzoo.serving.versions import numbered

IMAGE = "tensorflow/serving:2.20.0"
METRICS = "/monitoring/prometheus/metrics"
MODELS_FILE = "models.config"
BATCHING_FILE = "batching.config"
MONITORING_FILE = "monitoring.config"
Labels = Mapping[str, Mapping[str, int]]

_LABEL = re.compile(r"(?P<model>[^:]+):(?P<label>[A-Za-z0-9_]+)=(?P<version>[0-9]+)")

_MODELS_HEADER = """\
# Written by `keras-seqzoo serving-config`. A server that polls this file (see
# --model_config_file_poll_wait_seconds) does what it says without a restart.
"""
_BATCHING = Template("""\
# Requests that wait at the same time are answered in one batch. Each signature of each version has
# a queue of its own; all queues share the threads.

# Most texts of one request. It is cut into batches of max_execution_batch_size.
max_batch_size { value: 1024 }
enable_large_batch_splitting { value: true }
max_execution_batch_size { value: 32 }

# A free thread takes waiting requests at once, so batches form while no thread is free.
batch_timeout_micros { value: 0 }

# Batches that may wait in a queue. Further requests are answered UNAVAILABLE, in REST 503.
max_enqueued_batches { value: 64 }

# Batches computed at a time: the cores that the server may use. If this is not set, it counts
# those that it may be scheduled on: in a container all of the host, whatever its CPU limit.
$threads

# allowed_batch_sizes is not set: the graph takes any number of texts, and pads them to the longest
# by itself. Dummy texts to fill a batch would only cost time.

# pad_variable_length_inputs is not set: a text is one string, with nothing to pad. Token ids do
# differ in length, but the server would pad each tensor with its own first value, a padding_mask
# with ones, so that padding would count as words. Pad token ids where they are made.
""")
_MONITORING_HEADER = "# Metrics for Prometheus, on the REST port.\n"


@dataclass(frozen=True)
class ServedModel:
    """A model's folder of versions.

    Attributes:
        name: what requests call it: the folder's name.
        folder: the folder.
        versions: numbers of the versions that hold a SavedModel, lowest first.
    """

    name: str
    folder: Path
    versions: tuple[int, ...]


@dataclass(frozen=True)
class ServingConfig:
    """What `write_serving_config` found and wrote.

    Attributes:
        models: the models, sorted by name.
        base_path: the path of their folders on the server.
        files: each file and what happened to it: `"written"`, `"replaced"`, `"unchanged"` (it
            existed with the same content) or `"kept"` (it existed with other content).
    """

    models: tuple[ServedModel, ...]
    base_path: str
    files: Mapping[Path, str]


def write_serving_config(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    base_path: str = "/models",
    labels: Labels | None = None,
    threads: int | None = None,
    force: bool = False,
) -> ServingConfig:
    """Writes `models.config`, `batching.config` and `monitoring.config` for TensorFlow Serving.

    For a model without labels, the server loads the latest version. For a model with labels, it
    loads only the labelled versions. Each file is replaced by renaming, so that a server that polls
    it never reads a partial file.

    `batching.config` and `monitoring.config` are meant to be tuned by hand: existing ones are kept,
    except `batching.config` if `threads` is given.

    Args:
        folder: the models' folder, such as `saved_models`, or the folder of one model.
        out: folder of the files. Defaults to `folder/serving`.
        base_path: the path of the models' folder on the server: an absolute path or a URI.
        labels: by model and label, a version, such as `{"reviews": {"stable": 1, "canary": 2}}`.
        threads: cores that the server may use, for as many batches at a time. By default the server
            counts its cores.
        force: whether to replace files with other content.

    Raises:
        FileExistsError: a file has other content, and `force` is not set. Nothing is written.
        FileNotFoundError: `folder` is missing, or there is no model in it.
        ValueError: a label of an unknown model or version, or another invalid argument.
    """
    models = find_models(folder)
    labels = labels or {}
    out = Path(out) if out is not None else Path(folder) / "serving"
    texts = {
        out / MODELS_FILE: models_config(models, base_path, labels),
        out / BATCHING_FILE: batching_config(threads),
        out / MONITORING_FILE: monitoring_config(),
    }
    tuned = {out / MONITORING_FILE} | ({out / BATCHING_FILE} if threads is None else set())
    files = {path: _plan(path, text, path in tuned) for path, text in texts.items()}
    differing = [str(path) for path, plan in files.items() if plan == "replaced"]
    if differing and not force:
        raise FileExistsError(
            "An existing file with other content is replaced only with `force` (--force). "
            f"Received: {', '.join(differing)}"
        )
    _warn_of_moved_labels(out / MODELS_FILE, models, labels)
    out.mkdir(parents=True, exist_ok=True)
    for path, plan in files.items():
        if plan in ("written", "replaced"):
            with whole(path) as unfinished:
                unfinished.write_bytes(texts[path].encode())
    return ServingConfig(tuple(models), base_path, files)


def find_models(folder: str | os.PathLike[str]) -> list[ServedModel]:
    """Finds the models in a folder, sorted by name, or the one model whose folder it is.

    A model is a folder of numbered folders, at least one of which holds a `saved_model.pb`.

    Raises:
        FileNotFoundError: no such folder, or no model in it.
        ValueError: a model's name has a colon.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no such folder. Check the path. Received: {folder}")
    own = _versions(folder)
    folders = [folder] if own else sorted(p for p in folder.iterdir() if p.is_dir())
    models = [ServedModel(p.resolve().name, p, v) for p in folders if (v := _versions(p))]
    if not models:
        raise FileNotFoundError(
            "There is no model: a model is a folder of numbered versions that hold a "
            "saved_model.pb. Name the folder of the models, such as saved_models, or of one model; "
            f"`keras-seqzoo export` makes one. Received: {folder}"
        )
    for model in models:
        if ":" in model.name:
            raise ValueError(
                "A model's name is part of a URL, where a colon ends it. Rename the folder. "
                f"Received: {model.name!r}"
            )
    return models


def parse_labels(assignments: Iterable[str]) -> dict[str, dict[str, int]]:
    """Parses assignments `model:label=version` into `{model: {label: version}}`.

    Raises:
        ValueError: other syntax, or a label of a model given twice.
    """
    labels: dict[str, dict[str, int]] = {}
    for assignment in assignments:
        match = _LABEL.fullmatch(assignment)
        if match is None:
            raise ValueError(
                "--label takes MODEL:LABEL=VERSION, such as reviews:stable=1; a label is made of "
                f"letters, digits and underscores. Received: {assignment!r}"
            )
        of_model = labels.setdefault(match["model"], {})
        if match["label"] in of_model:
            raise ValueError(
                "A label names one version; pass it once. Received: "
                f"{match['model']}:{match['label']}={of_model[match['label']]} and {assignment}"
            )
        of_model[match["label"]] = int(match["version"])
    return labels


def models_config(models: Iterable[ServedModel], base_path: str, labels: Labels) -> str:
    """The text of a `ModelServerConfig`.

    Args:
        models: the models to serve.
        base_path: the path of their folders on the server: an absolute path or a URI.
        labels: by model and label, a version.

    Raises:
        ValueError: `base_path` is relative; a label of an unknown model or version; a numbered
            folder without a SavedModel that the server would try to load.
    """
    if not base_path.startswith("/") and "://" not in base_path:
        raise ValueError(
            "`base_path` must be an absolute path as the server sees it, or a URI, such as "
            f's3://bucket/models. For this machine: "$(pwd)/{base_path}". Received: {base_path!r}'
        )
    by_name = {model.name: model for model in models}
    _check_labels(by_name, labels)
    message = protocol.ModelServerConfig()
    for name, model in by_name.items():
        config = message.model_config_list.config.add()
        config.name = name
        config.base_path = f"{base_path.rstrip('/')}/{name}"
        config.model_platform = "tensorflow"
        if labels.get(name):
            chosen = sorted(set(labels[name].values()))
            config.model_version_policy.specific.versions.extend(chosen)
            config.version_labels.update(labels[name])
        else:
            _check_latest(model)
            config.model_version_policy.latest.num_versions = 1
    return _MODELS_HEADER + text_format.MessageToString(message, as_utf8=True)


def batching_config(threads: int | None = None) -> str:
    """The text of `BatchingParameters` for short texts on a CPU.

    Args:
        threads: batches computed at a time; if None, as many as the server counts cores.

    Raises:
        ValueError: `threads` is not a whole number of at least 1.
    """
    if threads is None:
        return _BATCHING.substitute(threads="# num_batch_threads { value: 2 }")
    check_whole(threads=threads)
    return _BATCHING.substitute(threads=f"num_batch_threads {{ value: {threads} }}")


def monitoring_config() -> str:
    """The text of a `MonitoringConfig` with metrics for Prometheus at the usual path."""
    message = protocol.MonitoringConfig()
    message.prometheus_config.enable = True
    message.prometheus_config.path = METRICS
    return _MONITORING_HEADER + text_format.MessageToString(message)


def server_flags(config_folder: str, threads: int | None = None) -> list[str]:
    """Flags of `tensorflow_model_server` that make it use the files.

    Args:
        config_folder: the folder of the files on the server.
        threads: cores that the server may use, if fewer than it would count.
    """
    flags = [
        f"--model_config_file={config_folder}/{MODELS_FILE}",
        "--model_config_file_poll_wait_seconds=30",
        # Without it, the server refuses labels of versions that are not yet loaded: at start, all.
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={config_folder}/{BATCHING_FILE}",
        f"--monitoring_config_file={config_folder}/{MONITORING_FILE}",
        # A request holds a thread while it waits for its batch; the default is 4 for each core.
        "--rest_api_num_threads=64",
    ]
    if threads is not None:
        flags.append(f"--tensorflow_intra_op_parallelism={threads}")
        flags.append(f"--tensorflow_inter_op_parallelism={threads}")
    return flags


def _versions(folder: Path) -> tuple[int, ...]:
    found = numbered(folder).items()
    return tuple(number for number, path in found if (path / "saved_model.pb").is_file())


def _check_labels(models: Mapping[str, ServedModel], labels: Labels) -> None:
    for name, of_model in labels.items():
        if name not in models:
            raise ValueError(
                f"A label must be for one of the models {sorted(models)}. Received: {name!r}"
            )
        for label, version in of_model.items():
            if version not in models[name].versions:
                raise ValueError(
                    f"{name!r} has the versions {list(models[name].versions)}. Choose one of "
                    f"these, or first export the one you mean. Received: {name}:{label}={version}"
                )


def _check_latest(model: ServedModel) -> None:
    latest = max(numbered(model.folder), default=0)
    if latest > model.versions[-1]:
        raise ValueError(
            "The server would try to load the version with the highest number, which has no "
            "saved_model.pb. Remove it, or label the version to serve. "
            f"Received: {model.folder / str(latest)}"
        )


def _warn_of_moved_labels(path: Path, models: Iterable[ServedModel], labels: Labels) -> None:
    """Warns of labels that a server running with the previous file would not move."""
    try:
        former = text_format.Parse(
            path.read_bytes(), protocol.ModelServerConfig(), allow_unknown_field=True
        )
    except (FileNotFoundError, text_format.ParseError):
        return
    configs = {config.name: config for config in former.model_config_list.config}
    for model in models:
        config = configs.get(model.name)
        for label, version in labels.get(model.name, {}).items():
            if (
                config is not None
                and config.version_labels.get(label, version) != version
                and version not in _loaded(config, model)
            ):
                warnings.warn(
                    f"A running server refuses this file: it moves the label {label!r} of "
                    f"{model.name!r} only to a version that it has loaded, and {version} was not "
                    f"served so far. First serve it under a new label (--label "
                    f"{model.name}:next={version}), and move {label!r} when it is AVAILABLE. A "
                    "server that starts now takes the file.",
                    stacklevel=3,
                )


def _loaded(config: Any, model: ServedModel) -> set[int]:
    """The versions that a server with this config loads."""
    policy = config.model_version_policy
    if policy.WhichOneof("policy_choice") == "specific":
        return set(policy.specific.versions)
    if policy.WhichOneof("policy_choice") == "all":
        return set(model.versions)
    return set(model.versions[-max(policy.latest.num_versions, 1) :])


def _plan(path: Path, text: str, tuned: bool) -> str:
    if not path.exists():
        return "written"
    if path.read_bytes() == text.encode():
        return "unchanged"
    return "kept" if tuned else "replaced"
