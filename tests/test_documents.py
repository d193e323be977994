"""The documents' code runs: of README, of every page, of CONTRIBUTING and of docstrings."""

from __future__ import annotations

import doctest
import importlib.util
import pkgutil
import re
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import documents
import modules
import pytest
import yaml
from documents import PAGES, ROOT

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import TASKS

DOCS = ROOT / "docs"


def code_in(document: str, number: int = 0) -> str:
    """The Python blocks of a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number]


@pytest.mark.usefixtures("registry")
def test_contributing_s_encoder_is_one_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bag_encoder.py").write_text(code_in("CONTRIBUTING.md"))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("bag_encoder")
    assert "bag" in sz.list_models()
    words = [f"w{i}" for i in range(sz.model_card("bag").size["vocabulary_size"] - 2)]
    model = sz.build_model("bag", vocabulary=words, classes=["no", "yes"])
    set_aside = 1 + 2  # a temperature, and a threshold for each class
    assert model.count_params() - set_aside == sz.model_card("bag").parameters
    model.fit(["w1 w2", "w3"], ["no", "yes"], verbose=0)
    assert sz.export_model(model, tmp_path).name == "1"
    with pytest.raises(ValueError, match="no such option"):
        sz.build_model("bag", vocabulary=words, classes=["no", "yes"], units=3)


def test_contributing_s_task_is_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = code_in("CONTRIBUTING.md", 1)
    assert code.count("\n") < 60
    (tmp_path / "count_task.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(TASKS, "count", "count_task")
    table = sz.TextTable.from_texts(
        ["one", "two words", "now three words"], [1, 2, 3], target="number"
    )
    model = sz.build_model("gru", table, task="count", units=4, embedding_dim=4)
    model.fit(table, validation_data=table, verbose=0)
    report = sz.evaluate(model, table)
    assert report.mae == pytest.approx(model.evaluate(table, verbose=0)[1], rel=1e-5)
    served = SavedPredictor(sz.export_model(model, tmp_path / "served"))
    assert sz.evaluate(served, table).mae == pytest.approx(report.mae, rel=1e-4)
    assert served.task.decode(served.predict(["one"]))[0]["count"] > 0


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages read."""
    folder = tmp_path_factory.mktemp("documents")
    documents.write_files(folder)
    return folder


@pytest.fixture
def workplace(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files, where trainings end after one epoch."""
    from keras_seqzoo.tasks.model import TextModel

    fit: Any = TextModel.fit

    def fit_once(self: Any, *given: Any, **named: Any) -> Any:
        return fit(self, *given, **{**named, "epochs": 1, "verbose": 0})

    monkeypatch.setattr(TextModel, "fit", fit_once)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _pages_with(note: str) -> list[str]:
    """Pages of the site that have blocks of a kind, of which a test of its own runs README's."""
    return [p for p in PAGES[1:] if any(b.note == note for b in documents.python_blocks(p))]


def _run(page: str, *notes: str) -> dict[str, Any]:
    """Runs the blocks of a page, one after the other, and returns the names that they set."""
    names: dict[str, Any] = {}
    for block in documents.python_blocks(page):
        if block.note in notes:
            # Errors name the line of the page.
            exec(compile("\n" * block.line + block.code, ROOT / page, "exec"), names)
    return names


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", _pages_with(""))
def test_a_page_s_python_runs(page: str) -> None:
    _run(page, "")


@pytest.mark.slow
@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("page", _pages_with(documents.SLOW))
def test_a_page_s_slow_python_runs(page: str) -> None:
    names = _run(page, "", documents.SLOW)
    if "comparison" in names:  # what fails in it is told there, and nowhere else
        table = names["comparison"].table
        assert [reason for reason in table["missing"].fillna("") if reason] == []


def test_readme_s_python_exports_a_model(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run("README.md", "")
    assert (workplace / "saved_models" / "reviews" / "1" / "saved_model.pb").is_file()
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_the_twenty_things_a_newcomer_tries(workplace: Path) -> None:
    lines = documents.table_lines("docs/cheat-sheet.md")
    assert len(lines) == 20
    names: dict[str, Any] = {}
    imported = "import keras, pandas as pd\nfrom keras_seqzoo.serving.saved import SavedPredictor"
    for line in [imported, *lines]:
        exec(line, names)
    assert (workplace / "reviews.keras").is_file()
    assert names["version"].name == "1"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_s_python_has_no_name_that_is_not_there(page: str) -> None:
    """Blocks that are not run are compiled, and what they take of the package is there."""
    for block in documents.python_blocks(page):
        known = block.note in ("", documents.SLOW) or re.match(r"not run: \w+", block.note)
        assert known, f"{page}:{block.line}: {block.note}"
        compile(block.code, page, "exec")
        for name in re.findall(r"\bsz\.(\w+)", block.code):
            assert hasattr(sz, name), name


def test_commands_have_their_options() -> None:
    from typer.main import get_command

    from keras_seqzoo.cli.main import app

    group: Any = get_command(app)
    known = {
        name: {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        | {"--help"}
        for name, command in group.commands.items()
    }
    used = [(page, *command) for page in PAGES for command in documents.commands(page)]
    assert len({page for page, *_ in used}) > 15
    assert [(page, name) for page, name, _ in used if name not in known] == []
    wrong = [(page, n, o) for page, n, given in used for o in given if o not in known[n]]
    assert wrong == []


def test_readme_is_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 7000


def test_readme_s_links_lead_somewhere() -> None:
    for path, anchor in documents.links("README.md"):
        assert (ROOT / path).exists(), path
        assert not anchor, anchor  # the site's are checked when it is built


def test_every_page_is_in_the_navigation() -> None:
    def pages(entries: Any) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        parts = entries.values() if isinstance(entries, dict) else entries
        return [page for part in parts for page in pages(part)]

    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    made = {"contributing.md", "changelog.md"}
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert sorted(pages(settings["nav"])) == sorted(there | made)


def test_the_reference_has_every_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    generated = importlib.import_module("generated")
    told = generated.PARTS["python"]()
    assert {f"keras_seqzoo.{n}" for n in sz.__all__ if n != "__version__"} == set(
        re.findall(r"^::: (\S+)$", told, re.MULTILINE)
    )
    assert "`--label-sep`" in generated.PARTS["commands"]()
    assert all(f"`{name}`" in generated.PARTS["models"]() for name in sz.list_models())
    assert "| `units` | 64 |" in generated.PARTS["options"]()
    for page in PAGES:
        for name in re.findall(r"<!-- made: (\w+) -->", documents.read(page)):
            assert name in generated.PARTS


def test_the_errors_that_the_index_quotes_are_raised() -> None:
    """Messages are quoted as they stand in the code, where a line may break them in two."""
    sources = [path.read_text("utf-8") for path in (ROOT / "keras_seqzoo").rglob("*.py")]
    told = re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))
    rows = re.findall(r"^\| (`.+?`) \|", documents.read("docs/reference/errors.md"), re.MULTILINE)
    assert len(rows) > 30
    quoted = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert [message for message in quoted if message not in told] == []


def _run_example(
    name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.chdir(folder)
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")


@pytest.mark.slow
def test_example_train_and_serve(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reviews_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(reviews_csv), "--epochs", "1", "--out", str(tmp_path / "out")]
    _run_example("train_and_serve.py", arguments, monkeypatch, tmp_path)
    assert "says" in capsys.readouterr().out
    assert (tmp_path / "out" / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_example_fine_tune_bert(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reviews_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = modules.write_encoder(tmp_path / "bert", modules.write_vocabulary(tmp_path))
    arguments = [str(folder), str(reviews_csv), "--epochs", "1"]
    _run_example("fine_tune_bert.py", arguments, monkeypatch, tmp_path)
    printed = capsys.readouterr().out
    assert re.search(r"frozen: .*accuracy", printed)
    assert re.search(r"fine-tuned: .*accuracy", printed)
    assert "nearest to" in printed


@pytest.mark.slow
def test_example_write_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "book.txt").write_text("The rain it raineth every day.\n" * 200)
    arguments = ["book.txt", "--model", "gru", "--minutes", "0.02", "--prompts", "The rain"]
    _run_example("write_text.py", arguments, monkeypatch, tmp_path)
    printed = capsys.readouterr().out
    assert "--- The rain" in printed
    assert "writes:" in printed


@pytest.mark.slow
def test_example_ask_by_prompt(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reviews_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = ROOT / "tests" / "parity" / "gpt2_tiny"
    with pytest.raises(ValueError, match="leave room for the text"):
        _run_example("ask_by_prompt.py", [str(folder), str(reviews_csv)], monkeypatch, tmp_path)
    assert "calibrated: accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_example_distributed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reviews_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(reviews_csv), "--epochs", "1", "--model", "gru", "--out", "out"]
    _run_example("distributed/train.py", arguments, monkeypatch, tmp_path)
    assert "accuracy" in capsys.readouterr().out
    assert (tmp_path / "out" / "1" / "saved_model.pb").is_file()


def modules_with_examples() -> list[str]:
    """Modules whose docstrings have an example, which are told without an import."""
    found = pkgutil.walk_packages(sz.__path__, "keras_seqzoo.")
    sources = {m.name: importlib.util.find_spec(m.name) for m in found}
    return [
        name
        for name, spec in sources.items()
        if spec is not None and spec.origin and ">>> " in Path(spec.origin).read_text("utf-8")
    ]


@pytest.mark.parametrize("module", modules_with_examples())
def test_docstrings_examples(module: str) -> None:
    failed, tried = doctest.testmod(
        importlib.import_module(module), extraglobs={"sz": sz}, optionflags=doctest.ELLIPSIS
    )
    assert tried
    assert failed == 0
