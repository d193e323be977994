"""Where models are: a folder of them, one model's folder, or TensorFlow Serving's models.config."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from keras_seqzoo.serving.protocol import ModelServerConfig
from keras_seqzoo.serving.versions import numbered


@dataclass(frozen=True)
class Policy:
    """Which of the versions on disk are served: the highest by default.

    Attributes:
        latest: how many of the highest.
        every: all of them, whatever `latest` says.
        specific: these alone, unless None.
    """

    latest: int = 1
    every: bool = False
    specific: tuple[int, ...] | None = None

    def choose(self, found: Iterable[int]) -> set[int]:
        """Chooses from the versions on disk."""
        if self.every:
            return set(found)
        if self.specific is not None:
            return set(found).intersection(self.specific)
        return set(sorted(found)[-self.latest :])


@dataclass(frozen=True)
class Source:
    """A model.

    Attributes:
        name: in URLs.
        base_path: the folder of its versions.
        policy: which of them are served.
        labels: names of versions.
    """

    name: str
    base_path: Path
    policy: Policy = Policy()
    labels: Mapping[str, int] = field(default_factory=dict)


Sources = Callable[[], Sequence[Source]]


def find_versions(base_path: Path) -> dict[int, Path]:
    """Finds the versions of a model: folders whose names are whole numbers.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    return {number: path for number, path in numbered(base_path).items() if path.is_dir()}


def in_folder(directory: str | os.PathLike[str]) -> Sources:
    """Returns what finds the models in a folder: subfolders with versions, or versions of one.

    Args:
        directory: `saved_models` with `saved_models/<model>/<version>`, or `saved_models/<model>`.

    Raises:
        NotADirectoryError: a file, or nothing there.
        ValueError: the folder is itself a version.
    """
    root = Path(directory).absolute()
    if root.name == "..":
        root = root.resolve()
    if not root.is_dir():
        raise NotADirectoryError(
            "There is no such folder. Name one that holds models, or one model's versions. "
            f"Received: {directory}"
        )
    if (root / "saved_model.pb").is_file():
        raise ValueError(
            f"This is a version. Name the model's folder, which holds it. Received: {directory}"
        )
    if _is_model(root):
        return lambda: [Source(root.name, root)]
    return lambda: [
        Source(path.name, path)
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith(".") and find_versions(path)
    ]


def _is_model(path: Path) -> bool:
    """A numbered folder is a version, unless it holds versions itself: a model so named."""
    return any(not find_versions(version) for version in find_versions(path).values())


def in_config(path: str | os.PathLike[str]) -> Sources:
    """Reads TensorFlow Serving's models.config.

    Args:
        path: a `ModelServerConfig` message in protobuf's text format.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a message, or it asks for what this server does not do.
    """
    try:
        config = text_format.Parse(Path(path).read_text("utf-8"), ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            "The file must be a ModelServerConfig message in protobuf's text format. "
            f"Received: {path}: {error}"
        ) from error
    sources = [_read_model(model) for model in config.model_config_list.config]
    names = [source.name for source in sources]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not sources or repeated:
        raise ValueError(
            "The file must list models in `model_config_list`, each once. Received: "
            f"{path} with {'twice: ' + ', '.join(repeated) if repeated else 'none'}"
        )
    return lambda: sources


def _read_model(model: Any) -> Source:
    if not model.name or not Path(model.base_path).is_absolute():
        raise ValueError(
            "A model must have a `name`, and a `base_path` that is absolute. "
            f"Received: name: {model.name!r} base_path: {model.base_path!r}"
        )
    if model.model_platform != "tensorflow":
        raise ValueError(
            f'A model must have `model_platform: "tensorflow"`. Received: {model.name!r} with '
            f"{model.model_platform!r}"
        )
    return Source(
        model.name,
        Path(model.base_path),
        _read_policy(model.model_version_policy),
        dict(model.version_labels),
    )


def _read_policy(policy: Any) -> Policy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return Policy(specific=tuple(policy.specific.versions))
    return Policy(latest=max(1, policy.latest.num_versions), every=choice == "all")
