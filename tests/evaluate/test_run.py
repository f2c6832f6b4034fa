"""A system on a constructed manifest, from the files to the table of results."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.classification import evaluate_scores
from cxrscreen.evaluate.outputs import Provenance, write_outputs
from cxrscreen.evaluate.overlap import DISTANCE_COLUMNS, OVERLAP_COLUMNS, evaluate_overlaps
from cxrscreen.evaluate.run import chosen_images, run_system


def evaluated(folder, protocol, system, read, out):
    manifest = load_manifest(folder)
    split = make_split(protocol, manifest)
    run = run_system(system, read, manifest, split, split.test)
    lungs = protocol == "lungs"
    result = (
        evaluate_overlaps(run.rows, replicates=200)
        if lungs
        else evaluate_scores(run.rows, run.stage.threshold, replicates=200)
    )
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
    run = run_system(grey_system, read_grey, manifest, split, split.test)
    assert [failure.image_id for failure in run.failures] == [split.test[0]]
    assert "(10, 12) pixels and the image (20, 24)" in run.failures[0].reason
    assert len(run.rows) == len(split.test) - 1


def test_a_part_that_cannot_be_measured_is_refused_before_screening(manifest_folder, grey_system, read_grey):
    manifest = load_manifest(manifest_folder)
    split = make_split("stage2", manifest)
    with pytest.raises(ManifestError, match="has no image"):
        run_system(grey_system, read_grey, manifest, split, ())
    covid = [i for i in split.test if i.startswith("armiro")]
    with pytest.raises(ManifestError, match="All 8 images of stage2 are of one class"):
        run_system(grey_system, read_grey, manifest, split, covid)


def test_a_run_in_which_nothing_succeeds_is_an_error(manifest_folder, grey_system, read_grey, tmp_path):
    manifest = replace(load_manifest(manifest_folder), root=tmp_path)
    split = make_split("stage2", manifest)
    with pytest.raises(ManifestError, match="None of 52 image\\(s\\) could be screened"):
        run_system(grey_system, read_grey, manifest, split, split.test)


def test_progress_and_order(manifest_folder, grey_system, read_grey):
    manifest = load_manifest(manifest_folder)
    split = make_split("stage2", manifest)
    seen, ticks = [], []

    def reading(path):
        seen.append(path.stem)
        return read_grey(path)

    run_system(grey_system, reading, manifest, split, split.test, advance=lambda: ticks.append(None))
    assert len(ticks) == len(split.test)
    assert seen == [manifest.image_file(i).stem for i in split.test]


def test_a_limit_draws_a_seeded_sample_in_order():
    ids = tuple(f"image{i:03d}" for i in range(100))
    drawn = chosen_images(ids, 10, seed=1)
    assert len(drawn) == 10
    assert list(drawn) == sorted(drawn)
    assert drawn == chosen_images(ids, 10, seed=1) != chosen_images(ids, 10, seed=2)
    assert chosen_images(ids, None) == chosen_images(ids, 500) == ids
