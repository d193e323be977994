"""A page that can not be written is told of at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keras_seqzoo.evaluation.paths import check_page_path


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
    with pytest.raises(PermissionError, match="can not be written to"):
        check_page_path(tmp_path / "file" / "page.html")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_closed_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="Choose another"):
        check_page_path(tmp_path / "page.html")
