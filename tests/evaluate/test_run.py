"""A system on a constructed manifest, from the files to the table of results."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.outputs import Provenance, measure_run, write_outputs
from cxrscreen.evaluate.overlap import DISTANCE_COLUMNS, OVERLAP_COLUMNS
from cxrscreen.evaluate.run import Question, chosen_images, run_questions, run_system
from cxrscreen.evaluate.scores import read_scores

STAGES = {"stage2": "pneumonia", "stage3": "covid19"}


def question(split, image_ids=None):
    return Question(split, split.test if image_ids is None else image_ids, STAGES.get(split.name))


def evaluated(folder, protocol, system, read, out):
    manifest = load_manifest(folder)
    split = make_split(protocol, manifest)
    run = run_system(system, read, manifest, question(split))
    result = measure_run(run, replicates=200)
    provenance = Provenance(protocol, 0, split.digest, "test", len(split.test), "0" * 64, 200, True)
    write_outputs(out, run, result, provenance)
    return split, run, json.loads((out / "metrics.json").read_text())


def test_a_decision_from_files_to_figures(manifest_folder, grey_system, read_grey, tmp_path):
    split, _, metrics = evaluated(manifest_folder, "stage2", grey_system, read_grey, tmp_path)
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert list(scores.columns) == ["image_id", "source", "group", "label", "truth", "score"]
    assert list(scores["image_id"]) == list(split.test)
    expected = {i: read_grey(manifest_folder / "images" / f"{i}.png").pixels.mean() for i in split.test}
    assert scores["score"].tolist() == pytest.approx([expected[i] for i in split.test], abs=1e-6)
    assert scores["truth"].tolist() == [int("normal" not in i) for i in split.test]

    results = metrics["results"]
    assert results["pooled"]["estimates"]["auc"]["value"] == pytest.approx(
        roc_auc_score(scores["truth"], scores["score"])
    )
    assert results["mean_sources"] == ["nih", "shenzhen"]
    assert results["one_class"]["armiro"]["truth"] == 1
    auc = results["mean_within_source_auc"]
    assert auc["ci_low"] < auc["value"] < auc["ci_high"]
    assert metrics["decision"] == {
        "name": "pneumonia",
        "title": "Pneumonia (any type) against normal",
        "threshold": 0.5,
        "operating_point": "youden",
    }
    assert metrics["bundle"] == "grey@1"
    assert metrics["protocol"]["digest"] == split.digest
    assert metrics["images"] == {
        "requested": len(split.test),
        "screened": len(split.test),
        "failed": 0,
        "failed_by_source": {},
    }
    assert (tmp_path / "roc.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "roc.svg").read_text()
    assert "<svg" in svg


def test_the_same_run_gives_the_same_bytes(manifest_folder, grey_system, read_grey, tmp_path):
    for name in ("first", "second"):
        evaluated(manifest_folder, "stage2", grey_system, read_grey, tmp_path / name)
    for file in ("metrics.json", "metrics.md", "scores.csv", "roc.svg", "roc.png"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_the_page_puts_within_source_figures_beside_the_pooled_ones(manifest_folder, grey_system, read_grey, tmp_path):
    _, _, metrics = evaluated(manifest_folder, "stage2", grey_system, read_grey, tmp_path)
    page = (tmp_path / "metrics.md").read_text()
    assert "Research use only" in page
    order = [
        page.index(text) for text in ("| nih |", "| shenzhen |", "**mean of nih, shenzhen**", "*all sources pooled*")
    ]
    assert order == sorted(order)
    mean = metrics["results"]["mean_within_source_auc"]
    assert f"**{mean['value']:.3f} [{mean['ci_low']:.3f}, {mean['ci_high']:.3f}]**" in page
    assert "| armiro | positive | 8 |" in page
    assert "judge by the within-source figures" in page
    widths = {
        line.count("|") for line in page.split("## Within")[1].split("##")[0].splitlines() if line.startswith("|")
    }
    assert widths == {11}


def test_stage_three_is_asked_also_where_the_cascade_would_stop(manifest_folder, grey_system, read_grey, tmp_path):
    _, run, metrics = evaluated(manifest_folder, "stage3", grey_system, read_grey, tmp_path)
    assert metrics["decision"]["name"] == "covid19"
    assert metrics["decision"]["threshold"] == 0.3
    assert (run.rows["score"] < 0.25).any()  # Pneumonia below 0.5, so not asked without force.
    assert set(metrics["results"]["one_class"]) == {"armiro", "nih", "shenzhen"}
    assert metrics["results"]["mean_within_source_auc"] is None
    assert metrics["results"]["pooled"]["positives"] == 8


def test_lungs_against_index_masks(manifest_folder, grey_system, read_grey, tmp_path):
    split, _, metrics = evaluated(manifest_folder, "lungs", grey_system, read_grey, tmp_path)
    overall = metrics["results"]["overall"]
    # 161 of 168 lung pixels found, none outside; the 32 heart pixels of index 3 are not lung.
    assert overall["dice"]["value"] == pytest.approx(2 * 161 / (161 + 168))
    assert overall["jaccard"]["value"] == pytest.approx(161 / 168)
    assert overall["dice"]["n"] == len(split.test)
    assert list(metrics["results"]["sources"]) == ["shenzhen"]
    assert "decision" not in metrics
    assert list(pd.read_csv(tmp_path / "scores.csv").columns) == [*OVERLAP_COLUMNS, *DISTANCE_COLUMNS]
    assert "Mean Dice" in (tmp_path / "metrics.md").read_text()
    assert not (tmp_path / "roc.png").exists()


def test_failures_are_listed_and_counted(manifest_folder, grey_system, read_grey, tmp_path):
    folder = shutil.copytree(manifest_folder, tmp_path / "pack")
    test = make_split("stage2", load_manifest(folder)).test
    nih = [i for i in test if i.startswith("nih")]
    empty, white, gone = (folder / "images" / f"{i}.png" for i in nih[:3])
    empty.write_bytes(b"")
    Image.new("L", (24, 20), 255).save(white)
    gone.unlink()
    _, run, metrics = evaluated(folder, "stage2", grey_system, read_grey, tmp_path / "out")
    assert metrics["images"]["failed"] == 3
    assert metrics["images"]["screened"] == len(test) - 3
    assert metrics["images"]["failed_by_source"] == {"nih": 3}
    reasons = {failure["image_id"]: failure["reason"] for failure in metrics["failures"]}
    assert reasons[nih[0]] == f"{empty.name} is empty: copy it again."
    assert reasons[nih[1]] == "Screening stopped with RuntimeError: white picture"
    assert "FileNotFoundError" in reasons[nih[2]]
    assert set(run.rows["image_id"]) == set(test) - set(nih[:3])
    page = (tmp_path / "out" / "metrics.md").read_text()
    assert "3 failed" in page
    assert all(f"| {i} |" in page for i in nih[:3])


def test_a_mask_that_does_not_fit_is_a_failure(manifest_folder, grey_system, read_grey, tmp_path):
    folder = shutil.copytree(manifest_folder, tmp_path / "pack")
    manifest = load_manifest(folder)
    split = make_split("lungs", manifest)
    Image.new("P", (12, 10)).save(manifest.mask_file(split.test[0]))
    run = run_system(grey_system, read_grey, manifest, question(split))
    assert [failure.image_id for failure in run.failures] == [split.test[0]]
    assert "(10, 12) pixels and the image (20, 24)" in run.failures[0].reason
    assert len(run.rows) == len(split.test) - 1


def test_a_part_that_cannot_be_measured_is_refused_before_screening(manifest_folder, grey_system, read_grey):
    manifest = load_manifest(manifest_folder)
    split = make_split("stage2", manifest)
    with pytest.raises(ManifestError, match="has no image"):
        run_system(grey_system, read_grey, manifest, question(split, ()))
    covid = [i for i in split.test if i.startswith("armiro")]
    with pytest.raises(ManifestError, match="All 8 images of stage2 are of one class"):
        run_system(grey_system, read_grey, manifest, question(split, covid))


def test_a_run_in_which_nothing_succeeds_is_an_error(manifest_folder, grey_system, read_grey, tmp_path):
    manifest = replace(load_manifest(manifest_folder), root=tmp_path)
    split = make_split("stage2", manifest)
    with pytest.raises(ManifestError, match="None of 52 image\\(s\\) could be screened"):
        run_system(grey_system, read_grey, manifest, question(split))


def test_progress_and_order(manifest_folder, grey_system, read_grey):
    manifest = load_manifest(manifest_folder)
    split = make_split("stage2", manifest)
    seen, ticks = [], []

    def reading(path):
        seen.append(path.stem)
        return read_grey(path)

    run_system(grey_system, reading, manifest, question(split), advance=lambda: ticks.append(None))
    assert len(ticks) == len(split.test)
    assert seen == [manifest.image_file(i).stem for i in split.test]


def test_several_protocols_are_measured_with_each_image_screened_once(manifest_folder, grey_system, read_grey):
    manifest = load_manifest(manifest_folder)
    splits = [make_split(name, manifest) for name in ("stage2", "stage3", "lungs")]
    read, ticks = [], []

    def reading(path):
        read.append(path)
        return read_grey(path)

    questions = [question(split) for split in splits]
    runs = run_questions(grey_system, reading, manifest, questions, advance=lambda: ticks.append(None))
    everything = {i for split in splits for i in split.test}
    assert len(read) == len(set(read)) == len(ticks) == len(everything)
    for each, run in zip(questions, runs, strict=True):
        alone = run_system(grey_system, read_grey, manifest, each)
        pd.testing.assert_frame_equal(run.rows, alone.rows)
        assert (run.stage, run.failures) == (alone.stage, alone.failures)


def test_one_of_several_classes_from_files_to_figures(manifest_folder, grey_system, read_grey, tmp_path):
    class Choosing:
        bundle_id = "choosing@1"

        def screen(self, radiograph, *, force=False, explain=True):
            screening = grey_system.screen(radiograph, force=force, explain=explain)
            share = screening.triage_score
            classes = {"normal": 1 - share, "bacterial": 0.0, "tuberculosis": share / 2, "viral": share / 2}
            return replace(screening, classes=classes)

    _, run, metrics = evaluated(manifest_folder, "patch-classes", Choosing(), read_grey, tmp_path)
    assert run.classes == ("normal", "bacterial", "tuberculosis", "viral")
    assert run.stage is None
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert set(scores["truth"]) == {"normal", "tuberculosis", "viral"}
    assert (scores.loc[scores["label"] == "covid19", "truth"] == "viral").all()
    assert not (scores["label"] == "pneumonia").any()
    assert metrics["measures"] == "classes"
    called = scores[["p_normal", "p_bacterial", "p_tuberculosis", "p_viral"]].to_numpy().argmax(axis=1)
    right = np.array(run.classes)[called] == scores["truth"]
    assert metrics["results"]["accuracy"]["value"] == pytest.approx(right.mean())
    assert "decision" not in metrics
    page = (tmp_path / "metrics.md").read_text()
    assert "called viral" in page
    assert "Sources that hold a class and others: shenzhen (normal, tuberculosis)" in page
    assert {"roc.png", "confusion.svg"} <= {path.name for path in tmp_path.iterdir()}
    # What was written is a list that the command for any list reads.
    assert read_scores(tmp_path / "scores.csv").classes == run.classes


def test_a_system_that_does_not_choose_among_the_classes_says_so(manifest_folder, grey_system, read_grey):
    manifest = load_manifest(manifest_folder)
    with pytest.raises(ManifestError, match="does not choose among normal, bacterial"):
        run_system(grey_system, read_grey, manifest, question(make_split("patch-classes", manifest)))


@pytest.mark.parametrize(("protocol", "stage"), [("stage2", None), ("lungs", "pneumonia"), ("patch-classes", "viral")])
def test_a_question_has_a_stage_where_one_can_answer_it(manifest_folder, protocol, stage):
    split = make_split(protocol, load_manifest(manifest_folder))
    with pytest.raises(ValueError, match="answered by a stage"):
        Question(split, split.test, stage)


def test_a_limit_draws_a_seeded_sample_in_order():
    ids = tuple(f"image{i:03d}" for i in range(100))
    drawn = chosen_images(ids, 10, seed=1)
    assert len(drawn) == 10
    assert list(drawn) == sorted(drawn)
    assert drawn == chosen_images(ids, 10, seed=1) != chosen_images(ids, 10, seed=2)
    assert chosen_images(ids, None) == chosen_images(ids, 500) == ids
