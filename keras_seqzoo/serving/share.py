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

    Other files of the repository stay. The vocabulary is in the file, and so is what the model has
    learnt of its training texts.

    Args:
        model: a model of `build_model`, or loaded from a `.keras` file.
        repo_id: `"user/name"` or `"organisation/name"`; it is made where it is missing. A name
            alone is of the account's own.
        report: as `export_model` takes it.
        private: whether a repository that is made is private; one that exists stays as it is.
        token: of an account that may write there. Default: that of `hf auth login`, or of the
            environment variable `HF_TOKEN`.
        message: of the commit.
        revision: the branch; `main` by default.

    Returns:
        The address of the repository.

    Raises:
        ConnectionError: the Hub cannot be reached, or is not in order.
        FileNotFoundError: no such branch, or no such organisation.
        PermissionError: no account, or one that may not write there.
        TypeError: not a model of this package, or no report.
        ValueError: no such name can be.
    """
    if not isinstance(model, TextModel):
        raise TypeError(
            "`push_to_hub` takes a model of keras_seqzoo. Build it with build_model(…), or load a "
            f".keras file that such a model was saved to. Received: {type(model).__name__}"
        )
    card = facts(model, KERAS, model.served_inputs, figures_of(report))
    with tempfile.TemporaryDirectory() as folder, _told(repo_id, revision):
        from huggingface_hub import HfApi

        model.save(Path(folder) / _FILE)  # first, so that what fails leaves no empty repository
        api = HfApi(token=token)
        url = api.create_repo(repo_id, private=private, exist_ok=True)
        card["repository"] = url.repo_id  # with the account's name, where that was left out
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

    The file is looked into before Keras reads it, as by every command: see `docs/trust.md`. It is
    kept in the cache of `huggingface_hub`, from where it is loaded when there is no network.

    Args:
        repo_id: `"user/name"` or `"organisation/name"`.
        revision: a branch, a tag or a commit; `main` by default. A commit stays what it is.
        token: of an account that may read it, where it is private. Default: as in `push_to_hub`.
        trust: whether the file may hold a TensorFlow graph, which is a program.

    Returns:
        The model, compiled.

    Raises:
        ConnectionError: the Hub cannot be reached, and the file is not in the cache.
        FileNotFoundError: no such repository, revision, or `model.keras` in it.
        PermissionError: the account may not read it.
        ValueError: no such name can be, or what `load_model` of a command refuses.
    """
    with _told(repo_id, revision):
        from huggingface_hub import HfApi

        path = HfApi(token=token).hf_hub_download(repo_id, _FILE, revision=revision)
    return load_keras_file(path, trust)


# What `huggingface_hub` raises by name, the first that fits; what we do, and what is to be said.
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
        "The owner has to let you in. Ask on the repository's page, and log in by hf auth login or "
        "pass token=….",
    ),
    (
        "RevisionNotFoundError",
        FileNotFoundError,
        "There is no such branch, tag or commit. Leave `revision` out for main.",
    ),
    (
        "RepositoryNotFoundError",
        FileNotFoundError,
        "There is no such repository, or not for this account. Check the name; where it is "
        "private, log in by hf auth login or pass token=….",
    ),
    (
        "EntryNotFoundError",
        FileNotFoundError,
        f"The repository must hold {_FILE}, as push_to_hub writes it. Of a checkpoint build a "
        "model: build_model('hf://…').",
    ),
)
_REFUSED = (
    "The Hub does not let this account do that. Log in by hf auth login, or pass token=… of one "
    "that may."
)
_UNREACHED = (
    "The Hugging Face Hub cannot be reached, and what is asked for is not in the cache. Check the "
    "network, and the variables HF_ENDPOINT and HF_HUB_OFFLINE."
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
    if response is None:  # of a download the cause tells why
        response = getattr(error.__cause__, "response", None)
    if getattr(response, "status_code", None) in (401, 403):
        return PermissionError, _REFUSED
    return ConnectionError, _UNREACHED
