"""The documents' code runs: README's snippet, CONTRIBUTING's examples, the docstrings' examples."""

from __future__ import annotations

import doctest
import importlib.util
import pkgutil
import re
import runpy
import sys
from pathlib import Path

import modules
import pytest

import keras_seqzoo as sz
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import TASKS

ROOT = Path(__file__).parents[1]


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


def test_readme_s_snippet_works_as_written(
    monkeypatch: pytest.MonkeyPatch, reviews_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(reviews_csv.parent)
    settings = sz.fit_settings
    # All lines run; the training need not reach its end.
    monkeypatch.setattr(sz, "fit_settings", lambda *given: {**settings(*given), "epochs": 1})
    exec(code_in("README.md"), {})
    assert (reviews_csv.parent / "saved_models" / "reviews" / "1" / "saved_model.pb").is_file()
    assert "accuracy" in capsys.readouterr().out


def commands_in(document: str) -> list[tuple[str, list[str]]]:
    """The commands of the shell blocks: name of the subcommand, and the options it is given."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```(?:sh|bash|shell|console)\n(.*?)```", text, re.DOTALL))
    lines = blocks.replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r"[|;]|&&", line.split(" # ")[0])]
    found = [re.match(r"\s*(?:\S*/)?keras-seqzoo ([a-z-]+)(.*)", part) for part in parts]
    return [
        (m[1], re.findall(r"(?<=\s)--?[a-z][a-z-]*", m[2].split(" -- ")[0])) for m in found if m
    ]


def test_readme_s_tables_of_options_are_those_of_the_code() -> None:
    tables = runpy.run_path(str(ROOT / "docs" / "make_tables.py"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text == tables["with_tables"](text), "write them anew: python docs/make_tables.py"
    assert text.count("<!-- options: ") == 6


def test_readme_s_commands_have_their_options() -> None:
    from typer.main import get_command

    from keras_seqzoo.cli.main import app

    known = {
        name: {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        for name, command in get_command(app).commands.items()
    }
    used = commands_in("README.md")
    assert used
    assert [(n, o) for n, given in used for o in given if o not in known[n]] == []


def test_readme_s_python_has_no_name_that_is_not_there() -> None:
    """Blocks that need downloads are not run, but what they take of the package is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "README.md", "exec")
        for name in re.findall(r"\bsz\.(\w+)", block):
            assert hasattr(sz, name), name


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
