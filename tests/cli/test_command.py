"""What all commands have in common. Nothing here imports TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.core import TyperOption

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.command import Command, in_options
from keras_seqzoo.cli.main import app
from keras_seqzoo.options import options_of
from keras_seqzoo.zoo import find_model

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def words(done: Any) -> str:
    """What a command said, whatever box Typer draws around it."""
    return " ".join(done.err.replace("│", " ").split())


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_taken_once_is_refused_twice(command: Any, name: str) -> None:
    single = [
        parameter
        for parameter in COMMANDS[name].params
        if isinstance(parameter, TyperOption) and not parameter.multiple and not parameter.is_eager
    ]
    for parameter in single:
        given = [parameter.opts[0]] if parameter.is_flag else [parameter.opts[0], "1"]
        done = command(name, *given, *given)
        assert (done.code, done.out) == (2, "")
        assert f"{parameter.opts[0]} can be given only once" in words(done)


def test_every_command_is_of_the_kind_that_checks() -> None:
    assert all(isinstance(command, Command) for command in COMMANDS.values())


def test_a_list_is_given_item_by_item(command: Any, tmp_path: Path) -> None:
    options = ["-o", "units=4", "-o", "dropout=0", "--read", "nrows=3", "--read", "skiprows=1"]
    done = command("train", tmp_path / "none.csv", *options)
    assert "No such file" in done.err


@pytest.mark.parametrize("text", ["true", "True", "YES", "on", "1"])
@pytest.mark.parametrize("option", ["bidirectional", "lowercase", "trainable"])
def test_flags_are_words(option: str, text: str) -> None:
    known = find_model("lstm" if option == "bidirectional" else "bert_base").options
    assert o.parse_assignments([f"{option}={text}"], "-o", known) == {option: True}


@pytest.mark.parametrize("text", ["false", "False", "NO", "off", "0"])
def test_no_word_for_false_is_true(text: str) -> None:
    known = find_model("bert_base").options
    given = [f"lowercase={text}", f"trainable={text}"]
    assert o.parse_assignments(given, "-o", known) == {"lowercase": False, "trainable": False}
    of_pandas = options_of(pd.read_csv)
    assert o.parse_assignments([f"na-filter={text}"], "--read", of_pandas) == {"na_filter": False}


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("trainable=last:2", "last:2"),
        ("lowercase=none", None),
        ("weights=None", None),
        ("weights=123", "123"),
        ("units=8", 8),
        ("dropout=.5", 0.5),
        ("vocabulary=['a', 'b']", ["a", "b"]),
        ("unknown=4", 4),
        ("unknown=word", "word"),
        ("few_shot=true", True),
    ],
)
def test_values_are_of_the_option_s_type(assignment: str, value: Any) -> None:
    known = find_model("lstm").options | find_model("bert_base").options
    assert list(o.parse_assignments([assignment], "-o", known).values()) == [value]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "bidirectional=maybe"], "--option bidirectional is true or false"),
        (["-o", "bidirectional=none"], "--option bidirectional is true or false"),
        (["-o", "units=many"], "--option units takes a number. Received: 'many'"),
        (["-o", "dropout=0,5"], "--option dropout takes a number"),
        (["-o", "units=4", "-o", "units=8"], "--option units=… sets one value. Give it once"),
        (["--read", "na_filter=perhaps"], "--read na_filter is true or false"),
        (["--read", "nrows=ten"], "--read nrows takes a number"),
        (["-o", "units"], "takes NAME=VALUE"),
    ],
)
def test_values_of_a_wrong_type_name_their_option(
    command: Any, arguments: list[str], message: str
) -> None:
    done = command("train", "none.csv", *arguments)
    assert done.code == 2
    assert message in words(done)


OPTIONS = {
    "na": "--na", "names": "--names", "sep": "--sep", "quoting": "--quoting", "label": "--label",
    "text": "--text", "stream": "--stream", "read": "--read", "seed": "--seed",
    "batch_size": "--batch-size",
}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Pass na='drop' to leave them out.", "Pass --na drop to leave them out."),
        ("Pass stream=True for it.", "Pass --stream for it."),
        ("looks like sep='\\t'.", "looks like --sep '\\t'."),
        ("looks like sep=';'.", "looks like --sep ';'."),
        ("pass quoting='none'; else check sep=", "pass --quoting none; else check --sep"),
        ("Received: text=('a', 'b c')", "Received: --text a --text 'b c'"),
        ("as in label=['x', 'y'].", "as in --label x --label y."),
        ("Received: text=['a', 'b c']", "Received: --text 'a,b c'"),
        ("Received: text=(['a', 'b'], 'c')", "Received: --text a,b --text c"),
        ("shape=(3, 2), dtype={'a': 'str'}", "shape=(3, 2), --read dtype=\"{'a': 'str'}\""),
        ("(for a CSV file pass dtype=str)", "(for a CSV file pass --read dtype=str)"),
        ("Check it, or pass target=train.target for a part of a larger table.", "Check it."),
        ("without a header, pass names=[...].", "without a header, pass --names …."),
        ("names=['a', 'b'], then", "--names a,b, then"),
        ("Leave `batch_size` out.", "Leave --batch-size out."),
        ("`seed=0` repeats it", "--seed 0 repeats it"),
        ("out with on_bad_lines='skip'", "out with --read on_bad_lines=skip"),
        ("Received: label='a b', of label", "Received: --label 'a b', of label"),
        ("the model's `units` and units=3", "the model's `units` and units=3"),
        ("test=TextTable('a'), label=Series(3)", "test=TextTable('a'), label=Series(3)"),
        ("Pass label=None for rows without labels. Ask.", " Ask."),
    ],
)
def test_messages_name_options(message: str, expected: str) -> None:
    pytest.importorskip("pandas")
    assert in_options(message, OPTIONS) == expected


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ("text,label\ngood,1\n,0\n", [], "Pass --na drop to leave"),
        ("text,label\ngood,1\nbad,0\n", ["--na", "none"], "Pass --na drop. Received: --na none"),
        ("good,1\nbad,0\n", [], "pass --names"),
        ("text;label\ngood;1\nbad;0\n", [], "--sep ';'"),
        ('text,label\ngood,1\n"bad,0\n', [], "--quoting none"),
        ("text,label\ngood,1\nbad,0\n", ["--label", "stars"], "Pass --label"),
        ("text,label\ngood,1\nbad,0\n", ["--seed", "-1"], "Use --seed 0"),
        ("text,label\ngood,1\nbad,0\n", ["--valid", "0.5", "--test", "0.5"], "--valid 0.5"),
    ],
)
def test_errors_of_the_library_are_in_the_command_s_words(
    command: Any, tmp_path: Path, rows: str, arguments: list[str], message: str
) -> None:
    (tmp_path / "rows.csv").write_text(rows)
    done = command("train", tmp_path / "rows.csv", *arguments)
    assert done.code == 2
    assert message in done.err
    assert "='" not in done.err.replace(str(tmp_path), "")


PAIRS = "one,other,label,more\na b,a c,1,0\nb,c,0,0\nd,e,1,1\nf,g,0,1\n"


@pytest.mark.parametrize(
    ("reading", "found"),
    [
        (o.Reading(["one"], ["label"]), "4 rows, classes '0': 2, '1': 2"),
        (o.Reading(["one", "other"], ["label"]), "4 pairs, classes '0': 2, '1': 2"),
        (o.Reading(["one", "other"], None), "4 pairs, no labels"),
        (o.Reading(["one"], ["label", "more"]), "4 rows, labels 'label': 2, 'more': 2"),
        (o.Reading(["one"], ["more"], target="number"), "4 rows, numbers 'more': 0 to 1"),
        (
            o.Reading(["other"], ["one"], label_separator=" "),
            "4 rows, labels 'a': 1, 'b': 2, 'd': 1, 'f': 1",
        ),
    ],
)
def test_columns_may_be_several(tmp_path: Path, reading: o.Reading, found: str) -> None:
    (tmp_path / "rows.csv").write_text(PAIRS)
    assert found in repr(reading.read(str(tmp_path / "rows.csv")))


def test_texts_may_be_joined(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(PAIRS.replace("other", '"an, other"'))
    for text, expected in {"one,label": "a b\n1", '"an, other",one': "a c\na b"}.items():
        table = o.Reading([text], None).read(str(tmp_path / "rows.csv"))
        assert table.texts[0] == expected
    pairs = o.Reading(["one", "label, more"], None).read(str(tmp_path / "rows.csv"))
    assert pairs.texts[0].tolist() == ["a b", "1\n0"]


def test_a_folder_with_a_folder_a_part(tmp_path: Path) -> None:
    for number in range(40):
        part = tmp_path / ("test" if number < 10 else "train") / "ab"[number % 2]
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{number}.txt").write_text(f"text {number}")
    reading = o.Reading()
    parts = reading.read_parts(str(tmp_path), None, None, 0.2, 0.5, 0)
    assert [len(part) for part in parts] == [24, 6, 10]
    assert len(reading.read(str(tmp_path / "test"))) == 10
    with pytest.raises(ValueError, match=r"reads one table.*Pass the folder.*parts test, train"):
        reading.read(str(tmp_path))


def test_an_optional_library_is_named(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    done = command("train", tmp_path / "t.xlsx")
    assert done.code == 2
    assert "pip install 'keras-seqzoo[excel]'" in words(done)


def test_other_files_are_held_to_the_target_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\na,4.5\nb,3\nc,2\n")
    (tmp_path / "test.csv").write_text("text,label\na,4\n")
    data = [str(tmp_path / name) for name in ("train.csv", "test.csv", "test.csv")]
    with pytest.warns(UserWarning, match="are learnt as numbers"):
        parts = o.Reading(None, ["label"]).read_parts(*data, 0.1, 0.1, 0)
    assert [part.target for part in parts] == [parts[0].target] * 3
    assert [part.labels.tolist() for part in parts[1:]] == [[[4.0]], [[4.0]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "one", "--text", "one"], "Received: --text one --text one"),
        (["--text", "one", "--label", "one"], "Text and label must be two columns"),
        (["--text", "one,label"], "Text and label must be two columns"),
        (["--text", "one,othr"], "Received: --text othr, "),
        (["--text", "one,one"], "Name each once. Received: --text one,one"),
        (["--text", "one", "--label", "other", "--target", "number"], "pass --target class"),
        (["--text", "one", "--label", "other", "--label", "more"], "--target number for numbers"),
        (["--text", "one", "--target", "numbers"], "'number', 'tags' or 'answer'"),
        (["--text", "one", "--target", "number", "--label-sep", ","], "pass --target labels and"),
    ],
)
def test_targets_are_told_by_options(
    command: Any, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "rows.csv").write_text("one,other,label,more\na,x,1,0\nb,y,0,0\n")
    done = command("train", tmp_path / "rows.csv", *arguments)
    assert done.code == 2
    assert message in words(done)


def test_warnings_are_in_the_command_s_words(command: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"text,label\ncaf\xe9,1\n,0\n")
    assert "Pass --encoding" in command("train", tmp_path / "rows.csv").err


def test_arguments_are_checked_without_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\ngood,1\n,0\n")
    script = (
        "import sys\n"
        "from keras_seqzoo.cli.main import app\n"
        "from typer.testing import CliRunner\n"
        "for line in sys.stdin:\n"
        "    done = CliRunner().invoke(app, line.split())\n"
        "    print(done.exit_code, sorted({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    lines = [
        "list",
        f"train {tmp_path / 'rows.csv'} --text a --text b",
        f"train {tmp_path / 'rows.csv'} -o bidirectional=maybe",
        f"train {tmp_path / 'rows.csv'}",
        f"train {tmp_path / 'rows.csv'} -m lsmt",
        "predict nosuch text -i -",
    ]
    ran = subprocess.run(
        [sys.executable, "-c", script], input="\n".join(lines), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert ran.stdout.splitlines() == ["0 []", *["2 []"] * (len(lines) - 1)]


def test_one_row_of_each_text_is_kept(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("text,label\n" + "good,a\nbad,b\nfine,a\npoor,b\n" * 5, "utf-8")
    reading = o.Reading(drop_duplicates=True)
    parts = reading.read_parts(str(table), None, None, 0, 2, 0)
    assert [len(part) for part in parts] == [2, 0, 2]
    assert sorted([*parts[0].texts, *parts[2].texts]) == ["bad", "fine", "good", "poor"]
    with pytest.raises(ValueError, match="without --stream"):
        o.Reading(drop_duplicates=True, stream=True).read_parts(str(table), None, None, 0, 2, 0)
