"""`ModelStore`: the versions that are loaded, kept up to date with the folders they come from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from keras_seqzoo.serving.server.errors import RequestError, from_loading
from keras_seqzoo.serving.server.sources import Source, Sources, find_versions
from keras_seqzoo.serving.session import SavedSession
from keras_seqzoo.serving.warmup import replay

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"


@dataclass
class _Version:
    model: str
    number: int
    path: Path
    state: str = START
    error: RequestError | None = None
    files: frozenset[tuple[str, int, int]] = frozenset()
    session: SavedSession | None = None
    users: int = 0


@dataclass
class _Model:
    labels: dict[str, int] = field(default_factory=dict)
    versions: dict[int, _Version] = field(default_factory=dict)


class Lease:
    """A version in use: it stays loaded until it is released.

    Attributes:
        model: the model's name.
        version: the version's number.
        session: the version.
    """

    def __init__(self, model: str, version: int, session: SavedSession, end: Callable[[], None]):
        self.model, self.version, self.session = model, version, session
        self._end = end

    def release(self) -> None:
        """Gives the version back; to be called once."""
        self._end()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class ModelStore:
    """Loads the versions that there are, and unloads those that are no more, while others run.

    A new version is loaded and warmed up beside the old one, and then takes its place. The old one
    is closed when the last request that uses it is done. A version that cannot be loaded leaves
    the old one in its place, and is tried again when one of its files has changed.

    Args:
        sources: what finds the models, such as `sources.in_folder`.
        report: takes a line on what was loaded, unloaded, or could not be.
        parts: the most parts of a large request that are answered at the same time.

    Raises:
        OSError: the models cannot be looked for.
    """

    def __init__(
        self,
        sources: Sources,
        report: Callable[[str], None] = lambda line: None,
        parts: int = 1,
    ):
        self._sources = sources
        self._report = report
        self._parts = parts
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._stopped = threading.Event()
        self._poller: threading.Thread | None = None

    def refresh(self) -> None:
        """Looks for versions once, and loads and unloads what has changed.

        It returns when all is loaded. A folder that cannot be read at the moment changes nothing.
        """
        with self._refreshing:
            try:
                sources = self._sources()
            except OSError as error:
                self._report(f"Warning: the models cannot be looked for: {error}")
                return
            for source in sources:
                self._refresh_model(source)
            for name in set(self._models) - {source.name for source in sources}:
                self._retire(name, set())

    def poll(self, seconds: float) -> None:
        """Refreshes in a thread of its own, every `seconds`, until `close`."""

        def run() -> None:
            while not self._stopped.wait(seconds):
                self.refresh()

        self._poller = threading.Thread(target=run, name="refresh")
        self._poller.start()

    def close(self) -> None:
        """Stops polling and closes all versions; what is running ends with an error."""
        self._stopped.set()
        if self._poller is not None:
            self._poller.join()
        with self._refreshing:
            for name in self._models:
                self._retire(name, set())
        for version in self._all():
            session, version.session = version.session, None
            if session is not None:
                session.close()

    def lease(self, model: str, version: int | None = None, label: str | None = None) -> Lease:
        """Takes a version into use: the highest that is available, unless another is asked for.

        Args:
            model: the model's name.
            version: its number.
            label: its label, in place of the number.

        Raises:
            RequestError: there is no such version, or it is not available.
        """
        with self._lock:
            known = self._models.get(model, _Model())
            if label is not None:
                if label not in known.labels:
                    raise RequestError(f"Unrecognized servable version label: {label}")
                version = known.labels[label]
            available = [n for n, v in known.versions.items() if v.state == AVAILABLE]
            number = max(available, default=None) if version is None else version
            if number is None or number not in available:
                asked = f"Latest({model})" if version is None else f"Specific({model}, {version})"
                raise RequestError(f"Servable not found for request: {asked}", "NOT_FOUND")
            found = known.versions[number]
            found.users += 1
            assert found.session is not None
            return Lease(model, number, found.session, lambda: self._release(found))

    def __contains__(self, model: str) -> bool:
        with self._lock:
            return model in self._models

    def available(self) -> dict[str, list[int]]:
        """Returns, by model, the versions that can be asked, lowest first."""
        with self._lock:
            return {
                name: sorted(n for n, v in model.versions.items() if v.state == AVAILABLE)
                for name, model in sorted(self._models.items())
            }

    def dangling_labels(self) -> list[tuple[str, str, int]]:
        """Returns model, label and version of the labels whose version cannot be asked."""
        available = self.available()
        with self._lock:
            return [
                (name, label, version)
                for name, model in self._models.items()
                for label, version in model.labels.items()
                if version not in available[name]
            ]

    def failures(self) -> dict[tuple[str, int], str]:
        """Returns, by model and version, why a version could not be loaded."""
        return {(v.model, v.number): v.error.message for v in self._all() if v.error is not None}

    def status(self, model: str, version: int | None = None) -> list[dict[str, Any]]:
        """Describes the versions of a model, highest first, as TensorFlow Serving does.

        Args:
            model: the model's name.
            version: the version to describe; all of them if None.

        Raises:
            RequestError: there is no such model or version.
        """
        with self._lock:
            versions = self._models.get(model, _Model()).versions
            if version is not None and version not in versions:
                raise RequestError(
                    f"Could not find version {version} of model {model}", "NOT_FOUND"
                )
            if not versions:
                raise RequestError(f"Could not find any versions of model {model}", "NOT_FOUND")
            numbers = sorted(versions, reverse=True) if version is None else [version]
            return [_describe(versions[number]) for number in numbers]

    def _all(self) -> list[_Version]:
        with self._lock:
            return [v for model in self._models.values() for v in model.versions.values()]

    def _refresh_model(self, source: Source) -> None:
        try:
            found = find_versions(source.base_path)
        except OSError:
            found = None
        with self._lock:
            model = self._models.setdefault(source.name, _Model())
            model.labels = dict(source.labels)
        if found is None:
            return
        wanted = source.policy.choose(found)
        for number in sorted(wanted, reverse=True):
            if not self._stopped.is_set():
                self._load(source.name, number, found[number])
        self._retire(source.name, wanted)

    def _load(self, model: str, number: int, path: Path) -> None:
        with self._lock:
            old = self._models[model].versions.get(number)
            if old is not None and old.state in (AVAILABLE, UNLOADING):
                return
        files = _list_files(path)
        if old is not None and old.error is not None and old.files == files:
            return
        version = _Version(model, number, path, LOADING, files=files)
        with self._lock:
            self._models[model].versions[number] = version
        try:
            session = _open(path, self._parts)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on serving
            version.error = from_loading(error)
            version.state = END
            self._report(
                f"Warning: version {number} of {model} is not served: {version.error.message}"
            )
            return
        with self._lock:
            version.session, version.state = session, AVAILABLE
        self._report(f"Loaded version {number} of {model}")

    def _retire(self, name: str, wanted: set[int]) -> None:
        """Unloads what is not wanted, but for the last version where none of the wanted runs."""
        with self._lock:
            versions = self._models[name].versions.values()
            running = [v for v in versions if v.state == AVAILABLE]
            unwanted = sorted((v for v in running if v.number not in wanted), key=_number)
            if wanted and len(unwanted) == len(running):
                unwanted = unwanted[:-1]
            for version in unwanted:
                version.state = UNLOADING
            idle = [version for version in unwanted if not version.users]
        for version in idle:
            self._unload(version)

    def _release(self, version: _Version) -> None:
        with self._lock:
            version.users -= 1
            last = not version.users and version.state == UNLOADING
        if last:
            self._unload(version)

    def _unload(self, version: _Version) -> None:
        session, version.session = version.session, None
        if session is not None:
            session.close()
        version.state = END
        self._report(f"Unloaded version {version.number} of {version.model}")


def _number(version: _Version) -> int:
    return version.number


def _describe(version: _Version) -> dict[str, Any]:
    error = version.error
    return {
        "version": str(version.number),
        "state": version.state,
        "status": {
            "error_code": error.code if error else "OK",
            "error_message": error.message if error else "",
        },
    }


def _open(path: Path, parts: int) -> SavedSession:
    session = SavedSession(path, parts)
    try:
        replay(session)
    except BaseException:
        session.close()
        raise
    return session


def _list_files(path: Path) -> frozenset[tuple[str, int, int]]:
    """Tells the files of a version with their sizes and times, to see whether one has changed."""
    try:
        stats = [(p, p.stat()) for p in path.rglob("*")]
    except OSError:
        return frozenset()
    return frozenset((str(p), stat.st_size, stat.st_mtime_ns) for p, stat in stats)
