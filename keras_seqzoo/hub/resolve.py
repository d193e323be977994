"""Names that are not models of the zoo: a handle, a folder, or a KerasHub preset."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from urllib.parse import urlsplit

# Positions of BERT and ELECTRA; the default for encoders that do not say.
POSITIONS = 512
GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")

# KerasHub's names end in a language, a data set or a number of weights; ours never do.
_PRESET = re.compile(r"[a-z][\w.]*_(en|multi|zh|imagenet\w*|coco|\d+(\.\d+)?[bm])(_[\w.]+)?")


def is_source(name: str) -> bool:
    """Whether a name is an address, a path or a KerasHub preset, rather than a model's name."""
    is_path = os.sep in name or name.startswith(".") or (name != "" and Path(name).is_dir())
    return is_handle(name) or is_path or is_checkpoint(name)


def is_checkpoint(name: str) -> bool:
    """Whether a name is a KerasHub preset, its address, or the folder of a checkpoint.

    The folder may have the layout of KerasHub or of Hugging Face's transformers.
    """
    if name.startswith(("hf://", "kaggle://", "modelscope://")):
        return True
    return bool(_PRESET.fullmatch(name)) or (Path(name) / "config.json").is_file()


def is_handle(name: str) -> bool:
    """Whether a name is the address of a module on TF Hub or Kaggle."""
    return name.startswith(("https://", "http://", "gs://"))


def plain_handle(name: str) -> str:
    """Returns a handle without the `?…` that a browser appends on Kaggle and TF Hub."""
    if urlsplit(name).hostname in ("tfhub.dev", "kaggle.com", "www.kaggle.com"):
        return name.partition("?")[0].partition("#")[0]
    return name


def public_source(name: str) -> str:
    """The part of a handle, preset or folder that may be published with a model."""
    if Path(name).is_dir():
        return "a local folder"
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", name)[0])


def is_saved_model(name: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder that holds a SavedModel."""
    return any((Path(name) / graph).is_file() for graph in GRAPH_FILES)


def module_folder(name: str | os.PathLike[str]) -> Path:
    """Returns the folder of a SavedModel; downloads the module of a handle if it is not cached.

    The `tensorflow_hub` library downloads into its cache, the folder that the environment variable
    `TFHUB_CACHE_DIR` names.

    Args:
        name: a handle (`https://tfhub.dev/…`, `https://www.kaggle.com/models/…`) or a local folder.

    Raises:
        ConnectionError: the handle cannot be reached; the message says what to do offline.
        FileNotFoundError: no such folder.
        ValueError: there is no SavedModel in the folder or at the handle.
    """
    folder = _download(plain_handle(str(name))) if is_handle(str(name)) else Path(name)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no such folder. Check the path of the SavedModel. Received: {name}"
        )
    if not is_saved_model(folder):
        found = sorted(entry.name for entry in folder.iterdir())[:8]
        if "tfhub_module.pb" in found:
            raise ValueError(
                "This is a module in TF Hub's old format for TensorFlow 1, which TensorFlow 2 "
                "cannot train. Use a newer version of it, in the SavedModel format. "
                f"Received: {name}"
            )
        raise ValueError(
            f"The folder must hold a SavedModel, with {GRAPH_FILES[0]} in it. Unpack the download "
            f"there, or name its subfolder. Received: {name}, which holds {found or 'nothing'}"
        )
    return folder


def _download(handle: str) -> Path:
    with warnings.catch_warnings():
        # It imports pkg_resources, which warns that it is deprecated.
        warnings.filterwarnings("ignore", "pkg_resources", UserWarning)
        import tensorflow_hub

    try:
        return Path(tensorflow_hub.resolve(handle))
    except (OSError, RuntimeError, ValueError) as error:
        cache = os.environ.get("TFHUB_CACHE_DIR", "not set")
        raise ConnectionError(
            "The module cannot be downloaded. Check the address and the network; or download it "
            "on another machine (its page on kaggle.com offers a .tar.gz), unpack it, and pass "
            "the folder instead: build_model('path/to/folder', …) or weights='path/to/folder'. "
            f"To share a cache, set TFHUB_CACHE_DIR (now {cache}). "
            f"Received: {handle}, which gave {type(error).__name__}: {error}"
        ) from error
