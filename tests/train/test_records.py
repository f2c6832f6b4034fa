import json
import os
from pathlib import Path

import pytest

from cxrscreen.errors import CxrscreenError
from cxrscreen.train.records import TrainingRecord, add_record, curves_of, open_store

pytest.importorskip("mlflow", reason="records are an extra")
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """One store for all tests, since a store's tables take seconds to make."""
    return str(tmp_path_factory.mktemp("records"))


def training(where, work, warnings, name="made"):
    return TrainingRecord(
        where, work, name, settings={"stage2.phases.0.epochs": "3"}, tags={"system": "cascade"}, warn=warnings.append
    )


def test_a_training_is_recorded_and_a_resumed_one_goes_on_in_its_record(where, tmp_path):
    warnings = []
    first = training(where, tmp_path, warnings)
    first.epoch(tmp_path / "stage2" / "phase1", 0, {"validation_score": 0.5, "auc_söurce": 0.6})
    first.epoch(tmp_path / "stage2" / "phase1", 1, {"validation_score": 0.6})
    first.end("KILLED")
    store = open_store(where)
    (run,) = [run for run in store.runs() if run.info.run_name == "made"]
    assert (run.info.status, run.data.tags["kind"], run.data.tags["system"]) == ("KILLED", "training", "cascade")
    assert run.data.params == {"stage2.phases.0.epochs": "3"}
    assert json.loads((tmp_path / "record.json").read_text()) == {"run": run.info.run_id}

    again = training(where, tmp_path, warnings)
    again.epoch(tmp_path / "stage2" / "phase1", 1, {"validation_score": 0.65})
    again.epoch(tmp_path / "stage2" / "phase1", 2, {"validation_score": 0.7})
    again.write(figures={"test/stage2/pooled_auc": 0.8}, tags={"bundle": "made@1.0.0"})
    again.end("FINISHED")
    (run,) = [run for run in store.runs() if run.info.run_name == "made"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/stage2/pooled_auc"] == 0.8
    name = "stage2/phase1/validation_score"
    assert curves_of(store, run.info.run_id, [name]) == {name: [0.5, 0.65, 0.7]}
    assert warnings == []


def test_results_stand_under_their_training_and_the_same_file_once(where, tmp_path):
    store = open_store(where)
    trained = training(where, tmp_path, [], "other")
    trained.write(tags={"bundle": "other@1.0.0"})
    given = {"bundle": "other@1.0.0", "splits": {"stage2": "aa"}, "figures": {"stage2/auc": 0.7}, "tags": {}}
    made = add_record(store, "evaluation", "measured", digest="ab", **given)
    assert add_record(store, "evaluation", "measured", digest="ab", **given) is None
    (run,) = store.runs("tags.digest = 'ab'")
    (parent,) = store.runs("tags.system = 'cascade' and tags.bundle = 'other@1.0.0'")
    assert run.info.run_id == made
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_of_two_trainings_of_one_recipe_the_one_with_the_splits_is_the_parent(where, tmp_path):
    store = open_store(where)
    for name, digest in (("first", "aa"), ("second", "bb")):
        trained = training(where, tmp_path / name, [], name)
        trained.write(tags={"bundle": "twin@1.0.0", "data.split.stage2": digest})
    names = {run.info.run_id: run.info.run_name for run in store.runs()}

    def parent(digest, splits):
        add_record(
            store, "evaluation", "of a twin", digest=digest, bundle="twin@1.0.0", splits=splits, figures={}, tags={}
        )
        (run,) = store.runs(f"tags.digest = '{digest}'")
        return names.get(run.data.tags.get("mlflow.parentRunId"))

    assert parent("t1", {"stage2": "aa"}) == "first"
    assert parent("t2", {"stage2": "bb", "lungs": "cc"}) == "second"
    # Where nothing tells them apart, and where neither was trained so, it stands by itself.
    assert parent("t3", {}) is None
    assert parent("t4", {"stage2": "dd"}) is None


def test_what_could_not_be_written_whole_is_recorded_again(where, monkeypatch):
    store = open_store(where)
    given = {"digest": "cd", "bundle": "whole@1.0.0", "splits": {}, "figures": {"auc": 0.7}, "tags": {"part": "test"}}

    def fail(*_, **__):
        raise MlflowException("sqlite:///of/user:password is locked", error_code=TEMPORARILY_UNAVAILABLE)

    with monkeypatch.context() as patch:
        patch.setattr(store.client, "log_batch", fail)
        with pytest.raises(CxrscreenError, match=r"did not answer \(TEMPORARILY_UNAVAILABLE\)") as caught:
            add_record(store, "evaluation", "whole", **given)
    assert "password" not in str(caught.value)
    made = add_record(store, "evaluation", "whole", **given)
    runs = {run.info.run_id: run for run in store.runs("tags.bundle = 'whole@1.0.0'")}
    assert {run.info.status for run in runs.values()} == {"FAILED", "FINISHED"}
    assert (runs[made].info.status, runs[made].data.metrics) == ("FINISHED", {"auc": 0.7})
    assert runs[made].data.tags["digest"] == "cd"


def test_what_a_store_refuses_is_one_sentence(where):
    store = open_store(where)
    with pytest.raises(CxrscreenError, match=r"refused or did not answer \(INVALID_PARAMETER_VALUE\)"):
        store.runs("no condition")
    with pytest.raises(CxrscreenError, match=r"refused or did not answer \(RESOURCE_DOES_NOT_EXIST\)"):
        store.end("0" * 32)


def test_a_store_takes_more_settings_than_it_takes_at_once(where):
    store = open_store(where)
    run = store.begin("many", {})
    store.write(run, settings={f"s{i}": str(i) for i in range(230)}, figures={f"f{i}": i for i in range(230)})
    found = store.client.get_run(run).data
    assert len(found.params) == len(found.metrics) == 230


def test_a_store_that_fails_costs_one_warning_and_no_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    warnings = []
    record = training(str(blocked), tmp_path / "work", warnings)
    for number in range(3):
        record.epoch(tmp_path / "work", number, {"validation_score": 0.5})
    record.end("FINISHED")
    assert len(warnings) == 1
    assert "training goes on" in warnings[0]
    assert "file cannot be opened" in warnings[0]


def test_a_store_that_breaks_in_the_middle_costs_one_warning(where, tmp_path, monkeypatch):
    warnings = []
    record = training(where, tmp_path, warnings, "broken")
    record.epoch(tmp_path, 0, {"validation_score": 0.5})

    def fail(*_, **__):
        raise OSError("the disk is full")

    monkeypatch.setattr(record._store.client, "log_batch", fail)
    record.epoch(tmp_path, 1, {"validation_score": 0.6})
    record.epoch(tmp_path, 2, {"validation_score": 0.6})
    record.end("FINISHED")
    assert warnings == ["The record failed (OSError). The training goes on; its record is incomplete."]


def test_a_store_is_made_where_records_are_written_and_not_where_they_are_read(tmp_path):
    with pytest.raises(CxrscreenError, match="There are no records in"):
        open_store(str(tmp_path / "none"), new=False)
    assert not (tmp_path / "none").exists()


def test_nothing_is_told_to_anybody(where):
    open_store(where)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == os.environ["DO_NOT_TRACK"] == "true"
    assert {path.name for path in Path(where).iterdir()} == {"records.db"}
