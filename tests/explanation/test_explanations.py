"""Explanations as data, HTML, a terminal's text and figures."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from black_boxes import BlackBox, additive, negating, numbering
from markupsafe import Markup
from rich.console import Console

from keras_seqzoo.explanation.explain import explain
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.explanations import Explanations
from keras_seqzoo.explanation.rendering import highlight

NASTY = [
    "<script>alert('x')</script> & \"good\"\r\n  שלום 👩\u200d👩\u200d👧 bad",
    "\ud83d\x00 \x1b[2Jgood " + "x" * 300,
    "",
]


class Reader(HTMLParser):
    """What a browser would show, and the tags it would see."""

    def __init__(self, html: str):
        super().__init__()
        self.text, self.tags, self.signs, self.stack = "", [], [], []  # type: ignore[var-annotated]
        self.feed(str(html))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if "sup" in self.stack:
            self.signs.append(data)
        else:
            self.text += data


@pytest.fixture(scope="module")
def nasty() -> Explanations:
    return explain(BlackBox(negating), NASTY)


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_round_trip(method: str) -> None:
    long = "this is not a good film about the good and bad side of film \ud83d"
    for e in explain(BlackBox(negating), [*NASTY, long], method, samples=8):
        again = Explanation.from_dict(json.loads(json.dumps(e.as_dict())))
        for name, value in vars(e).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(again, name), value)
                assert getattr(again, name).shape == value.shape
            else:
                assert getattr(again, name) == value


def test_round_trip_of_a_pair_and_a_file_of_before() -> None:
    [e] = explain(numbering({"good": 8}), [("a good\nfilm", "not bad")])
    again = Explanation.from_dict(json.loads(json.dumps(e.as_dict())))
    assert (again.texts, again.second_at) == (("a good\nfilm", "not bad"), 12)
    assert (again.outcome, again.spread, again.output) == ("number", 20, 58)
    old = {
        "text": "good", "spans": [[0, 4]], "scores": [0.4], "target": "pos",
        "classes": ["neg", "pos"], "probabilities": [0.1, 0.9], "base": 0.5, "method": "occlusion",
        "errors": None, "class_scores": [[-0.4, 0.4]], "convergence": [], "rest": 0.0,
        "cut_at": None, "note": "",
    }  # fmt: skip
    old_one = Explanation.from_dict(old)
    assert (old_one.probability, old_one.classes, old_one.texts) == (0.9, ("neg", "pos"), ("good",))
    assert old_one.class_scores.tolist() == [[-0.4, 0.4]]


def test_round_trip_of_many(nasty: Explanations, tmp_path: Path) -> None:
    text = nasty.to_json(tmp_path / "e.json")
    assert (tmp_path / "e.json").read_text("utf-8") == text
    assert [e.spans for e in Explanations.from_json(text)] == [e.spans for e in nasty]


@pytest.mark.parametrize("values", [{}, {"text": "x"}, {"spans": [], "classes": [], "x": 1}])
def test_something_else_is_no_explanation(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fields that as_dict returns"):
        Explanation.from_dict(values)


def test_highlighting_shows_the_text_and_nothing_of_it_is_markup(nasty: Explanations) -> None:
    for e in nasty:
        made = highlight(e)
        assert isinstance(made, Markup)
        seen = Reader(made)
        assert seen.text == e.text.replace("\ud83d", "\ufffd").replace("\0", "\ufffd")
        assert set(seen.tags) <= {"div", "span", "sup"}
        assert seen.stack == []
        made.encode("utf-8")


def test_highlighting_reads_without_colour() -> None:
    e = explain(additive({"good": 0.3, "bad": -0.2}), "a good bad film", target="pos")[0]
    made = str(highlight(e))
    good, bad = made.index("good"), made.index("bad")
    assert "underline solid" in made[:good]
    assert "underline wavy" in made[good:bad]
    assert Reader(made).signs == ["+", "\N{MINUS SIGN}"]
    assert "<span" not in made[bad + 10 :]


def test_a_pair_is_shown_in_two_blocks() -> None:
    e = explain(numbering({"good": 8, "dull": 0.001}), [("a good\nfilm", "good & dull")])[0]
    seen = Reader(highlight(e))
    assert seen.text == "a good\nfilmgood & dull"
    assert seen.tags.count("div") == 2
    assert seen.signs == ["+", "\N{MINUS SIGN}"]
    assert str(e) == (
        "stars 50.00 (without words 50.00; occlusion)\n1: a good[+8.0]\nfilm\n2: good[-8.0] & dull"
    )


@pytest.mark.parametrize(("std", "shown"), [(0.001, "+0.000800"), (20, "+0.80"), (3000, "+1")])
def test_as_many_decimals_as_the_spread_makes_worth_while(std: float, shown: str) -> None:
    weight = float(shown)
    made = explain(numbering({"good": weight}, base=0, std=std), ["good film"] * 2).to_html()
    assert shown in made
    assert f"{shown}0" not in made
    assert "Words that raise the number, words that lower it" in Reader(made).text
    assert "Scores are in its unit" in made


def test_a_trace_is_not_shown_as_if_it_were_much() -> None:
    e = explain(additive({"good": 1e-4}), "a good film")[0]
    assert "<span" not in highlight(e)


def test_a_class_name_is_escaped() -> None:
    model = BlackBox(negating)
    model.classes = ("<b>", "&")
    made = explain(model, ["good", "bad"]).to_html()
    assert "<b>" not in made.replace("<b>&lt;b&gt;</b>", "").replace("<b>&amp;</b>", "")


def test_a_page_is_whole_and_loads_nothing(nasty: Explanations, tmp_path: Path) -> None:
    made = nasty.to_html(tmp_path / "new" / "folder" / "page.html")
    assert (tmp_path / "new" / "folder" / "page.html").read_bytes().decode() == made
    seen = Reader(made)
    assert not {"script", "link", "img"} & set(seen.tags)
    assert "http" not in made
    assert made.startswith("<!doctype html>")
    assert "Words that push each class" in seen.text


def test_a_notebook_shows_them(nasty: Explanations) -> None:
    assert nasty[0]._repr_html_() == nasty[0].to_html()
    assert all(e.to_html() in nasty._repr_html_() for e in nasty)


@pytest.mark.parametrize("colours", [True, False])
def test_the_terminal_s_text(colours: bool) -> None:
    texts = ["a good bad film", *NASTY]
    model = additive({"good": 0.3, "bad": -0.2})
    out = io.StringIO()
    console = Console(file=out, force_terminal=colours, no_color=not colours, width=500)
    explanations = explain(model, texts, target="pos")
    console.print(explanations)
    shown = out.getvalue()
    assert "good" in shown
    assert "[+0.30]" in shown
    assert "[-0.20]" in shown
    assert ("\x1b[" in shown) == colours
    assert "\x1b[2J" not in shown
    assert "a good[+0.30] bad[-0.20] film" in str(explanations[0])


def test_frame(nasty: Explanations) -> None:
    frame = nasty.to_frame()
    assert list(frame.columns) == [
        "row", "token", "start", "end", "score", "error", "target", "method",
    ]  # fmt: skip
    assert len(frame) == sum(len(e.spans) for e in nasty)
    assert frame["error"].isna().all()
    row = frame[frame["token"] == "bad"].iloc[0]
    assert NASTY[row["row"]][row["start"] : row["end"]] == "bad"


def test_frame_of_no_words() -> None:
    assert explain(BlackBox(negating), "").to_frame().empty


def test_global_view_names_the_words_that_push_each_class() -> None:
    model = additive({"good": 0.2, "Good": 0.1, "bad": -0.2, "dull": -0.1})
    view = explain(model, ["good film", "Good bad", "dull bad film"]).global_view()
    assert view[["class", "token", "count"]].to_numpy().tolist() == [
        ["neg", "bad", 2], ["neg", "dull", 1], ["pos", "good", 2],
    ]  # fmt: skip
    np.testing.assert_allclose(view["mean_score"], [0.2, 0.1, 0.15])


def test_global_view_of_a_number_has_the_words_that_lower_it() -> None:
    model = numbering({"good": 2, "bad": -3})
    view = explain(model, ["good film", "bad film"]).global_view()
    assert view[["class", "token", "mean_score"]].to_numpy().tolist() == [
        ["stars", "bad", -3], ["stars", "good", 2], ["price", "bad", -6], ["price", "good", 4],
    ]  # fmt: skip


def test_global_view_leaves_out_rare_words() -> None:
    model = additive({"good": 0.2, "great": 0.3})
    explanations = explain(model, ["good film", "good book", "great film"])
    assert list(explanations.global_view(min_count=2)["token"]) == ["good"]
    assert list(explanations.global_view(k=1)["token"]) == ["great"]
    with pytest.raises(ValueError, match="k=0"):
        explanations.global_view(k=0)


def test_global_view_where_scores_are_of_the_target_alone(tiny_model: Any) -> None:
    explanations = explain(tiny_model, ["a good film", "an awful film"], "integrated_gradients")
    tops = explanations.global_view(k=1).set_index("class")["token"]
    assert tops.to_dict() == {"negative": "awful", "positive": "good"}


def test_a_slice_is_explanations(nasty: Explanations) -> None:
    assert isinstance(nasty[1:], Explanations)
    assert repr(nasty[:2]) == "Explanations(2 texts, occlusion)"


def test_convergence_figure(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    text = "this is not a good film about the good and bad side of film"
    sampled = explain(BlackBox(negating), [text, text + " x"], "shapley", tolerance=1e-6)
    sampled.plot_convergence(tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    axes = Figure().subplots()
    assert sampled.plot_convergence(axes) is axes.figure
    line = axes.lines[0]
    assert list(zip(*line.get_data(), strict=True)) == list(sampled[0].convergence)
    once = explain(BlackBox(negating), text, "shapley", tolerance=1.0)
    assert len(once[0].convergence) == 1
    assert once.plot_convergence().axes[0].lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="Nothing converges"):
        explain(BlackBox(negating), text).plot_convergence()
