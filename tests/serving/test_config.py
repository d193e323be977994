"""TensorFlow Serving's files say what was asked, and never half of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format

from keras_seqzoo.serving import protocol
from keras_seqzoo.serving.config import (
    batching_config,
    find_models,
    models_config,
    monitoring_config,
    parse_labels,
    server_flags,
    write_serving_config,
)

Zoo = Callable[..., Path]


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    """Makes a folder of models, each a name and the numbers of its versions."""

    def make(**models: list[int]) -> Path:
        for name, versions in models.items():
            for version in versions:
                folder = tmp_path / "zoo" / name / str(version)
                folder.mkdir(parents=True)
                (folder / "saved_model.pb").touch()
        return tmp_path / "zoo"

    return make


def parsed(text: str | Path, message: Any = None) -> Any:
    text = text if isinstance(text, str) else text.read_text(encoding="utf-8")
    return text_format.Parse(text, message or protocol.ModelServerConfig())


def versions(config: Any) -> list[int]:
    return list(config.model_version_policy.specific.versions)


def test_models_are_found_below_their_folder(zoo: Zoo) -> None:
    folder = zoo(topics=[3], reviews=[2, 10, 1])
    (folder / "reviews" / "2.keras").touch()
    (folder / "reviews" / ".exporting-x").mkdir()
    (folder / "reviews" / "11").mkdir()  # no SavedModel in it
    (folder / "notes" / "1").mkdir(parents=True)
    (folder / "serving").mkdir()
    (folder / "README.md").touch()
    assert [(m.name, m.versions) for m in find_models(folder)] == [
        ("reviews", (1, 2, 10)),
        ("topics", (3,)),
    ]


def test_the_folder_of_one_model_will_do(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = zoo(topics=[3], reviews=[1])
    assert [m.name for m in find_models(folder / "reviews")] == ["reviews"]
    monkeypatch.chdir(folder / "reviews")
    assert [m.name for m in find_models(".")] == ["reviews"]


def test_a_model_without_labels_is_served_at_its_latest_version(zoo: Zoo) -> None:
    text = models_config(find_models(zoo(reviews=[1, 2])), "/models", {})
    (config,) = parsed(text).model_config_list.config
    assert (config.name, config.base_path, config.model_platform) == (
        "reviews",
        "/models/reviews",
        "tensorflow",
    )
    assert config.model_version_policy.WhichOneof("policy_choice") == "latest"
    assert config.model_version_policy.latest.num_versions == 1


def test_a_labelled_model_is_served_at_the_labelled_versions(zoo: Zoo) -> None:
    labels = {"reviews": {"stable": 3, "canary": 10, "known_good": 3}}
    models = find_models(zoo(reviews=[1, 3, 10], topics=[1]))
    reviews, topics = parsed(models_config(models, "/models", labels)).model_config_list.config
    assert versions(reviews) == [3, 10]
    assert dict(reviews.version_labels) == labels["reviews"]
    assert topics.model_version_policy.WhichOneof("policy_choice") == "latest"
    assert not topics.version_labels


@pytest.mark.parametrize(
    ("base_path", "expected"),
    [("/models/", "/models/reviews"), ("s3://bucket/zoo", "s3://bucket/zoo/reviews")],
)
def test_paths_are_those_that_the_server_sees(zoo: Zoo, base_path: str, expected: str) -> None:
    config = parsed(models_config(find_models(zoo(reviews=[1])), base_path, {}))
    assert config.model_config_list.config[0].base_path == expected


@pytest.mark.parametrize("name", ['it\'s "so"', "back\\slash", "two\nlines", "отзывы 評論"])
def test_awkward_names_survive_the_text_format(zoo: Zoo, name: str) -> None:
    text = models_config(find_models(zoo(**{name: [1]})), "/models", {})
    (config,) = parsed(text).model_config_list.config
    assert (config.name, config.base_path) == (name, f"/models/{name}")
    if name.isprintable() and not set(name) & set("\"'\\"):
        assert name in text  # people read it too


def test_the_official_message_reads_the_models(zoo: Zoo) -> None:
    official = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    labels = {"reviews": {"stable": 1, "canary": 2}}
    text = models_config(find_models(zoo(reviews=[1, 2], **{'a "b"': [5]})), "/models", labels)
    ours, theirs = parsed(text), parsed(text, official.ModelServerConfig())
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString(
        deterministic=True
    )
    assert dict(theirs.model_config_list.config[1].version_labels) == labels["reviews"]
    assert versions(theirs.model_config_list.config[1]) == [1, 2]


def test_batching_takes_short_texts_as_they_come() -> None:
    batching = parsed(batching_config(4), protocol.BatchingParameters())
    assert batching.num_batch_threads.value == 4
    assert batching.HasField("batch_timeout_micros")
    assert batching.batch_timeout_micros.value == 0
    # Padding by the server would fill a padding_mask with ones.
    assert not batching.pad_variable_length_inputs
    assert not batching.allowed_batch_sizes
    # What the scheduler checks when it starts, and the largest request must fit an empty queue.
    assert batching.enable_large_batch_splitting.value
    assert batching.max_batch_size.value >= batching.max_execution_batch_size.value
    room = batching.max_execution_batch_size.value * batching.max_enqueued_batches.value
    assert batching.max_batch_size.value <= room


def test_the_server_counts_cores_unless_told() -> None:
    batching = parsed(batching_config(), protocol.BatchingParameters())
    assert not batching.HasField("num_batch_threads")
    assert not [flag for flag in server_flags("/config") if "parallelism" in flag]
    assert "--tensorflow_intra_op_parallelism=4" in server_flags("/config", 4)
    with pytest.raises(ValueError, match="at least 1"):
        batching_config(0)


def test_metrics_are_where_prometheus_looks() -> None:
    monitoring = parsed(monitoring_config(), protocol.MonitoringConfig())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_labels_are_parsed() -> None:
    assert parse_labels(["a:stable=1", "a:canary=2", "b c:x_1=007"]) == {
        "a": {"stable": 1, "canary": 2},
        "b c": {"x_1": 7},
    }


@pytest.mark.parametrize(
    "label", ["stable=1", "a:stable", "a:stable=one", "a:sta-ble=1", "a:=1", ":stable=1", "a:b:c=1"]
)
def test_labels_of_other_syntax_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match=r"MODEL:LABEL=VERSION.*Received: "):
        parse_labels([label])


def test_a_label_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pass it once.*a:stable=1 and a:stable=2"):
        parse_labels(["a:stable=1", "b:stable=1", "a:stable=2"])


def test_labels_of_what_is_not_there_are_refused(zoo: Zoo) -> None:
    folder = zoo(reviews=[1, 2])
    with pytest.raises(ValueError, match=r"versions \[1, 2\].*reviews:stable=3"):
        write_serving_config(folder, labels={"reviews": {"stable": 3}})
    with pytest.raises(ValueError, match=r"models \['reviews'\].*'topics'"):
        write_serving_config(folder, labels={"topics": {"stable": 1}})
    assert not (folder / "serving").exists()


def test_folders_without_models_are_refused(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder.*nowhere"):
        write_serving_config(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no model"):
        write_serving_config(zoo(reviews=[1]) / "reviews" / "1")
    with pytest.raises(ValueError, match=r"colon.*'a:b'"):
        write_serving_config(zoo(**{"a:b": [1]}))


def test_a_relative_base_path_is_refused(zoo: Zoo) -> None:
    with pytest.raises(ValueError, match=r"absolute.*Received: 'saved_models'"):
        write_serving_config(zoo(reviews=[1]), base_path="saved_models")


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch])
def test_an_unfinished_latest_version_is_refused_unless_another_is_named(
    zoo: Zoo, make: Callable[[Path], None]
) -> None:
    folder = zoo(reviews=[1])
    make(folder / "reviews" / "2")  # the server looks at names alone
    with pytest.raises(ValueError, match=r"highest number.*2$"):
        write_serving_config(folder)
    write_serving_config(folder, labels={"reviews": {"stable": 1}})


def test_files_are_written_once(zoo: Zoo, tmp_path: Path) -> None:
    folder, out = zoo(reviews=[1, 2]), tmp_path / "etc" / "serving"
    written = write_serving_config(folder, out)
    assert set(written.files.values()) == {"written"}
    assert sorted(p.name for p in out.iterdir()) == [
        "batching.config",
        "models.config",
        "monitoring.config",
    ]
    assert set(write_serving_config(folder, out).files.values()) == {"unchanged"}


def test_a_file_that_says_something_else_is_replaced_only_by_force(zoo: Zoo) -> None:
    folder = zoo(reviews=[1, 2])
    models = folder / "serving" / "models.config"
    write_serving_config(folder)
    before = models.read_bytes()
    with pytest.raises(FileExistsError, match=r"--force.*models\.config$"):
        write_serving_config(folder, labels={"reviews": {"stable": 1}})
    assert models.read_bytes() == before
    with models.open("rb") as reader:
        files = write_serving_config(folder, labels={"reviews": {"stable": 1}}, force=True).files
        # A reader of the former file reads it to its end: it was not written into.
        assert reader.read() == before
    assert files[models] == "replaced"
    assert dict(parsed(models).model_config_list.config[0].version_labels) == {"stable": 1}
    assert len(list((folder / "serving").iterdir())) == 3


def test_tuned_files_are_kept(zoo: Zoo) -> None:
    folder = zoo(reviews=[1])
    batching = folder / "serving" / "batching.config"
    write_serving_config(folder)
    batching.write_text("max_batch_size { value: 7 }\n")
    assert write_serving_config(folder, force=True).files[batching] == "kept"
    assert "7" in batching.read_text()
    with pytest.raises(FileExistsError, match=r"batching\.config$"):
        write_serving_config(folder, threads=2)
    assert write_serving_config(folder, threads=2, force=True).files[batching] == "replaced"
    assert parsed(batching, protocol.BatchingParameters()).num_batch_threads.value == 2


def test_others_may_read_the_files(zoo: Zoo) -> None:
    folder = zoo(reviews=[1])
    write_serving_config(folder)
    plain = folder / "plain"
    plain.touch()
    for path in (folder / "serving").iterdir():
        assert path.stat().st_mode == plain.stat().st_mode


def label(folder: Path, **labels: int) -> None:
    write_serving_config(folder, labels={"reviews": labels} if labels else None, force=True)


def test_the_walk_through_is_one_that_a_running_server_takes(zoo: Zoo) -> None:
    folder = zoo(reviews=[1, 2, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label(folder, stable=1)
        label(folder, stable=1, canary=2)
        label(folder, stable=2, previous=1)
        label(folder, stable=1)
        label(folder, stable=1, canary=2)
        label(folder, stable=2, previous=1)
        label(folder, stable=2, canary=3)
        label(folder)  # the latest, which is loaded already
        label(folder, stable=2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"stable": 1, "canary": 2}, {"stable": 1, "canary": 3}),
        ({"stable": 2}, {"stable": 1}),
    ],
)
def test_a_move_that_a_running_server_refuses_is_warned_of(
    zoo: Zoo, before: dict[str, int], after: dict[str, int]
) -> None:
    folder = zoo(reviews=[1, 2, 3])
    label(folder, **before)
    with pytest.warns(UserWarning, match="refuses this file") as caught:
        label(folder, **after)
    assert len(caught) == 1
    moved = next(name for name in after if after[name] != before[name])
    assert f"'{moved}'" in str(caught[0].message)
    assert f"reviews:next={after[moved]}" in str(caught[0].message)


def test_a_former_file_may_be_written_by_hand(zoo: Zoo) -> None:
    folder = zoo(reviews=[1, 2, 3])
    (folder / "serving").mkdir()
    policies = {"latest {}": 1, "latest { num_versions: 2 }": 0, "all {}": 0, "": 1}
    for policy, warned in policies.items():
        (folder / "serving" / "models.config").write_text(
            "model_config_list { config { name: 'reviews' logging_config { } "
            f"model_version_policy {{ {policy} }} version_labels {{ key: 'stable' value: 3 }} }} }}"
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            label(folder, stable=2)
        assert len(caught) == warned


def test_a_damaged_former_file_is_replaced_by_force(zoo: Zoo) -> None:
    folder = zoo(reviews=[1])
    write_serving_config(folder)
    models = folder / "serving" / "models.config"
    models.write_bytes(b"model_config_list { \xff")
    label(folder, stable=1)
    assert versions(parsed(models).model_config_list.config[0]) == [1]
