"""The example that compares, explains, chooses and exports; and the notebooks."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_seqzoo as sz

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
MOST_BYTES = 400_000


def missing_modules() -> list[str]:
    """What the extra `notebook` would install."""
    from importlib.util import find_spec

    return [name for name in ("ipykernel", "nbclient", "nbformat") if find_spec(name) is None]


needs_notebook = pytest.mark.skipif(
    bool(missing_modules()), reason="needs the extra: pip install 'keras-seqzoo[notebook]'"
)


def read_notebook(name: str) -> Any:
    import nbformat

    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any) -> list[tuple[int, Any]]:
    """Outputs of the code cells, with the number of the cell."""
    cells = enumerate(notebook.cells)
    return [(i, o) for i, c in cells if c.cell_type == "code" for o in c.outputs]


def printed(notebook: Any) -> str:
    return "".join(o.text for _, o in outputs(notebook) if o.output_type == "stream")


@pytest.mark.slow
def test_compare_reviews_chooses_reports_and_exports(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    reviews_csv: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [
        str(reviews_csv), "--models", "small_electra", "--seeds", "1", "--epochs", "1",
        "--rows", "40", "--budget", "10min", "--folder", "kept", "--report", "pages/report.html",
        "--out", "exported", "--max-latency-ms", "1e-9",
    ]  # fmt: skip

    monkeypatch.setattr(sys, "argv", ["compare_reviews.py", *arguments])
    runpy.run_path(str(EXAMPLES / "compare_reviews.py"), run_name="__main__")
    told = capsys.readouterr().out
    for label in ("small_electra", "majority", "tfidf_logreg"):
        assert re.search(rf"^{label} +[01]\.\d+", told, re.MULTILINE)
    assert len(re.findall(r"is better than|no difference shown|is right more", told)) == 2
    assert re.search(r"^Take \w+: the highest macro_f1 of 3", told, re.MULTILINE)
    assert "Within 1e-09 ms a text: No model is within these limits" in told
    assert "small_electra" in Path("pages/report.html").read_text(encoding="utf-8")
    assert "small_electra is exported to exported/1" in told
    from keras_seqzoo.serving.saved import SavedPredictor

    served = SavedPredictor(Path("exported/1")).predict(["a good film"])
    kept = sz.Comparison("kept").load("small_electra").predict(["a good film"], verbose=0)
    assert served == pytest.approx(kept, abs=1e-5)


@pytest.fixture
def run_notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """Runs a notebook at small size; returns it, and the folder that it ran in."""
    from ipykernel.kernelspec import write_kernel_spec
    from nbclient import NotebookClient

    # A kernel of this interpreter, found before any other of the machine.
    write_kernel_spec(tmp_path / "jupyter" / "kernels" / "this_interpreter")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("SEQZOO_SMALL", "1")
    path = [str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES / "data", folder / "data")

    def run(name: str) -> Any:
        notebook = read_notebook(name)
        NotebookClient(
            notebook,
            timeout=300,
            kernel_name="this_interpreter",
            resources={"metadata": {"path": str(folder)}},
        ).execute()  # raises at the first cell that fails
        cells = [c for c in notebook.cells if c.cell_type == "code"]
        assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
        assert not [o for _, o in outputs(notebook) if o.output_type == "error"]
        assert {path.name for path in folder.iterdir()} == {"comparisons", "data"}
        return notebook, folder / "comparisons"

    return run


def pictures(notebook: Any) -> int:
    return sum("image/png" in output.get("data", {}) for _, output in outputs(notebook))


@pytest.mark.slow
@needs_notebook
def test_reviews_from_the_table_to_the_answer(run_notebook: Callable[[str], Any]) -> None:
    notebook, written = run_notebook("reviews")
    assert pictures(notebook) == 6
    # The last cell: three answers of the SavedModel.
    answers = re.findall(r"^(negative|positive) +(\d\.\d{3})  ", printed(notebook), re.MULTILINE)
    assert len(answers) == 3
    assert all(0.5 <= float(probability) <= 1 for _, probability in answers)
    assert (written / "notebook/saved_models/reviews/1/saved_model.pb").is_file()
    assert (written / "notebook/report/report.html").is_file()


@pytest.mark.slow
@needs_notebook
def test_entities_are_found_and_served(run_notebook: Callable[[str], Any]) -> None:
    notebook, written = run_notebook("entities")
    assert "Priya Kenton spoke at Walford School on 3 May. ->" in printed(notebook)
    assert (written / "entities/saved_models/notices/1/saved_model.pb").is_file()


@pytest.mark.slow
@needs_notebook
def test_prices_are_forecast_and_served(run_notebook: Callable[[str], Any]) -> None:
    notebook, written = run_notebook("prices")
    assert pictures(notebook) == 2
    assert re.search(r"^last_value +0\.\d+", printed(notebook), re.MULTILINE)
    # The last cell: seven days, of the SavedModel.
    assert len(re.findall(r"\d+\.\d?", printed(notebook).splitlines()[-1])) == 7
    assert (written / "prices/saved_models/power/1/saved_model.pb").is_file()


@pytest.mark.slow
@needs_notebook
def test_a_version_takes_over_and_is_withdrawn(run_notebook: Callable[[str], Any]) -> None:
    notebook, written = run_notebook("serving")
    states = [
        o.data["text/plain"] for _, o in outputs(notebook) if o.output_type == "execute_result"
    ]
    assert [state for state in states if "AVAILABLE" in state] == [
        "{1: 'END', 2: 'AVAILABLE'}",
        "{1: 'AVAILABLE', 2: 'END'}",
    ]
    assert "takes the old one's place" in printed(notebook)
    assert [path.name for path in (written / "serving/saved_models/reviews").iterdir()] == ["1"]


@needs_notebook
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_kept_of_a_notebook_is_a_whole_run_and_nothing_of_a_machine(name: str) -> None:
    notebook = read_notebook(name)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    for number, output in outputs(notebook):
        assert output.output_type != "error", number
        # Warnings and TensorFlow's notices about a machine are not for readers.
        assert output.get("name") != "stderr", number
    file = EXAMPLES / f"{name}.ipynb"
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|usr|Users|work|private)/|site-packages|[A-Z]:\\\\", text)
    assert file.stat().st_size < MOST_BYTES
