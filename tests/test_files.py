"""Files are whole or not there, with the user's rights; what cannot be written is told at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_seqzoo.files import check_page_path, whole

MASKS = [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Sets a umask; the rights of files and of folders under it."""
    mask, *rights = request.param
    before = os.umask(mask)
    yield tuple(rights)
    os.umask(before)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", MASKS, indirect=True)
@pytest.mark.parametrize("durable", [False, True])
def test_files_and_folders_keep_the_umask(
    tmp_path: Path, umask: tuple[int, int], durable: bool
) -> None:
    (tmp_path / "old.json").touch(0o644)
    for name in ("new.json", "old.json"):
        with whole(tmp_path / name, durable=durable) as unfinished:
            unfinished.write_text("{}")
        assert rights(tmp_path / name) == umask[0]
    with whole(tmp_path / "folder", durable=durable) as unfinished:
        (unfinished / "of a library").mkdir(parents=True)
        (unfinished / "of a library").chmod(0o755)  # as TensorFlow makes them
        (unfinished / "of a library" / "file").touch()
    assert {rights(p) for p in tmp_path.rglob("*") if p.is_dir()} == {umask[1]}
    assert rights(tmp_path / "folder" / "of a library" / "file") == umask[0]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    def fail() -> None:
        with whole(tmp_path / "kept.keras") as unfinished:
            assert unfinished.suffix == ".keras"
            unfinished.write_text("half")
            raise KeyboardInterrupt

    (tmp_path / "kept.keras").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(OSError, match="not empty"), whole(tmp_path) as unfinished:
        unfinished.mkdir()
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("umask", MASKS, indirect=True)
def test_what_is_written_for_users_keeps_the_umask(tmp_path: Path, umask: tuple[int, int]) -> None:
    from keras_seqzoo.explanation.explanations import Explanations
    from keras_seqzoo.pages.output import write_atomically

    write_atomically(tmp_path / "results.json", b"{}")
    Explanations([]).to_json(tmp_path / "explanations.json")
    assert {rights(p) for p in tmp_path.iterdir()} == {umask[0]}


def test_a_page_may_be_new_or_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.html").touch()
    for path in ("old.html", "new.html", "a/new/folder/new.html", tmp_path / "new.html"):
        check_page_path(path)
    assert [p.name for p in tmp_path.iterdir()] == ["old.html"], "nothing is made yet"


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"A page is a file.*Received: "):
        check_page_path(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match="cannot be written to"):
        check_page_path(tmp_path / "file" / "page.html")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_closed_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="Choose another"):
        check_page_path(tmp_path / "page.html")
