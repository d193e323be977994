"""Models on the Hugging Face Hub: `push_to_hub` uploads one with its card, `from_hub` loads it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_seqzoo.serving.card import facts
from keras_seqzoo.serving.readme import KERAS, figures_of, readme
from keras_seqzoo.tasks.keras_file import load_keras_file
from keras_seqzoo.tasks.model import TextModel

_FILE = "model.keras"


def push_to_hub(
    model: TextModel,
    repo_id: str,
    *,
    report: Any = None,
    private: bool = False,
    token: str | None = None,
    message: str | None = None,
    revision: str | None = None,
) -> str:
    """Uploads a model to the Hugging Face Hub: `model.keras`, and `README.md`, its model card.

    Other files of the repository do not change. The file contains the vocabulary, and whatever the
    model has learnt from its training texts.

    Args:
        model: a model of `build_model`, or loaded from a `.keras` file.
        repo_id: `"user/name"` or `"organisation/name"`; the repository is created if it is missing.
            A name without a `/` belongs to the account itself.
        report: as `export_model` takes it.
        private: whether a new repository is private; an existing one does not change.
        token: token of an account that may write there. Defaults to the token of `hf auth login`,
            or of the environment variable `HF_TOKEN`.
        message: message of the commit.
        revision: the branch; `main` by default.

    Returns:
        The address of the repository.

    Raises:
        ConnectionError: the Hub cannot be reached, or reports an error of its own.
        FileNotFoundError: no such branch, or no such organisation.
        PermissionError: no account, or one that may not write there.
        TypeError: not a model of this package, or not a report.
        ValueError: an invalid name.
    """
    if not isinstance(model, TextModel):
        raise TypeError(
            "`push_to_hub` takes a model of keras_seqzoo. Build it with build_model(…), or load a "
            f".keras file that such a model was saved to. Received: {type(model).__name__}"
        )
    card = facts(model, KERAS, model.served_inputs, figures_of(report))
    with tempfile.TemporaryDirectory() as folder, _told(repo_id, revision):
        from huggingface_hub import HfApi

        model.save(Path(folder) / _FILE)  # first: if it fails, no empty repository is left
        api = HfApi(token=token)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        card["repository"] = url.repo_id  # with the account's name, even if that was left out
        text = readme(card, url.repo_name)
        (Path(folder) / "README.md").write_text(text, encoding="utf-8")
        api.upload_folder(
            repo_id=url.repo_id,
            folder_path=folder,
            commit_message=message or f"Upload {model.name}",
            revision=revision,
        )
    return str(url)


def from_hub(
    repo_id: str, *, revision: str | None = None, token: str | None = None, trust: bool = False
) -> TextModel:
    """Loads a model that `push_to_hub` has uploaded.

    Like every command, it checks the file before Keras reads it: see `docs/trust.md`. The file is
    kept in the cache of `huggingface_hub`, and loaded from there without a network.

    Args:
        repo_id: `"user/name"` or `"organisation/name"`.
        revision: a branch, a tag or a commit; `main` by default. A commit never changes.
        token: token of an account that may read a private repository. Default: as in `push_to_hub`.
        trust: whether the file may hold a TensorFlow graph, which is a program.

    Returns:
        The model, compiled.

    Raises:
        ConnectionError: the Hub cannot be reached, and the file is not in the cache.
        FileNotFoundError: no such repository, revision, or `model.keras` in it.
        PermissionError: the account may not read it.
        ValueError: an invalid name, or a file that the commands refuse, too.
    """
    with _told(repo_id, revision):
        from huggingface_hub import HfApi

        path = HfApi(token=token).hf_hub_download(repo_id, _FILE, revision=revision)
    return load_keras_file(path, trust)


# Errors of `huggingface_hub` by name, the error that we raise instead, and its message. The first
# one that fits is used.
_ERRORS: tuple[tuple[str, type[Exception], str], ...] = (
    (
        "HFValidationError",
        ValueError,
        'A repository is named "user/name", of letters, digits, -, _ and single dots, 96 '
        "characters at most.",
    ),
    (
        "GatedRepoError",
        PermissionError,
        "The owner has to let you in. Ask on the repository's page, and log in with hf auth login "
        "or pass token=….",
    ),
    (
        "RevisionNotFoundError",
        FileNotFoundError,
        "There is no such branch, tag or commit. Leave `revision` out for main.",
    ),
    (
        "RepositoryNotFoundError",
        FileNotFoundError,
        "There is no such repository, or not for this account. Check the name; if it is "
        "private, log in with hf auth login or pass token=….",
    ),
    (
        "EntryNotFoundError",
        FileNotFoundError,
        f"The repository must hold {_FILE}, as push_to_hub writes it. To build a model from a "
        "checkpoint, use build_model('hf://…').",
    ),
)
_REFUSED = (
    "The Hub does not let this account do that. Log in with hf auth login, or pass token=… of an "
    "account that may."
)
_UNREACHED = (
    "The Hugging Face Hub cannot be reached, and the file is not in the cache. Check the network, "
    "and the variables HF_ENDPOINT and HF_HUB_OFFLINE."
)


@contextmanager
def _told(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns the errors of `huggingface_hub` into ours."""
    from huggingface_hub import errors

    try:
        yield
    except (
        errors.HFValidationError,
        errors.EntryNotFoundError,
        errors.OfflineModeIsEnabled,
        errors.HTTPError,
    ) as error:
        kind, rule = _kind_of(error, errors)
        which = f"{repo_id!r}" + f", revision={revision!r}" * (revision is not None)
        said = str(error).partition("\n")[0]
        raise kind(f"{rule} Received: {which}: {said}") from error


def _kind_of(error: Any, errors: Any) -> tuple[type[Exception], str]:
    if not isinstance(error, errors.LocalEntryNotFoundError):
        for name, kind, rule in _ERRORS:
            if isinstance(error, getattr(errors, name)):
                return kind, rule
    response = getattr(error, "response", None)
    if response is None:  # the error of a download has the reason as its cause
        response = getattr(error.__cause__, "response", None)
    if getattr(response, "status_code", None) in (401, 403):
        return PermissionError, _REFUSED
    return ConnectionError, _UNREACHED
