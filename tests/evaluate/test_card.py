"""Filling a card: the temperature first, thresholds of calibrated probabilities, points of a site, what cannot be."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.special import expit, logit

from cxrscreen.data.manifest import load_manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import BundleError, ManifestError
from cxrscreen.evaluate import card as card_module
from cxrscreen.evaluate.calibration import fit_temperature
from cxrscreen.evaluate.card import RULES, add_operating_points, measure_bundle, source_weights
from cxrscreen.evaluate.metrics import choose_operating_point, confusion_counts
from cxrscreen.evaluate.run import Run
from cxrscreen.report.card_page import card_markdown
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.contract import Stage

POINT = {"operating_points": {"youden": {"threshold": 0.5, "rule": "youden", "site": "none"}}, "default": "youden"}


@pytest.fixture
def bundle_folder(manifest_folder, tmp_path):
    split = make_split("stage2", load_manifest(manifest_folder))
    content = {
        "format": 1,
        "name": "grey",
        "version": "1",
        "system": "cascade",
        "created": "2026-01-01",
        **dict.fromkeys(("summary", "intended_use", "licence"), "x"),
        **{"not_for": [], "limits": [], "preprocessing": {}, "recipe": {}, "files": {}},
        "stages": {"pneumonia": POINT | {"temperature": 7.0}},
        "data": {"images_sha256": "0", "splits": {"stage2": split.digest}, "seed": 0, "images": {}, "licences": []},
    }
    (tmp_path / "grey").mkdir()
    (tmp_path / "grey" / "card.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "grey"


def overconfident(grey_system, folder, *, honours):
    """The grey system with its logits too large, read from the card at load as a real system does."""
    temperature = open_bundle(folder).card.stages["pneumonia"].temperature if honours else 1.0

    class Overconfident:
        bundle_id = "grey@1"

        def screen(self, radiograph, *, force=False, explain=True):
            screening = grey_system.screen(radiograph, force=force, explain=explain)
            first = screening.stages[0]
            score = float(expit(8 * logit(np.clip(first.probability, 0.01, 0.99)) / temperature))
            stages = (Stage("pneumonia", first.title, score, 0.5, "youden"),)
            return type(screening)(**(vars(screening) | {"stages": stages}))

    return Overconfident()


def measure(folder, manifest_folder, grey_system, read, monkeypatch, *, honours=True, rules=RULES):
    monkeypatch.setattr(card_module, "load_system", lambda f: overconfident(grey_system, f, honours=honours))
    manifest = load_manifest(manifest_folder)
    validation = make_split("stage2", manifest).validation
    raw = np.array([np.clip(read(manifest.image_file(i)).pixels.mean(), 0.01, 0.99) for i in validation])
    rows = manifest.table.loc[list(validation), ["source"]].assign(
        truth=[int("normal" not in i) for i in validation], logit=8 * logit(raw)
    )
    told = []
    stage = measure_bundle(folder, manifest, read, lambda *each: told.append(each), rules).card.stages["pneumonia"]
    assert [(done, total) for what, done, total in told if what == "stage2, validation part"] == [
        (number, len(validation)) for number in range(1, len(validation) + 1)
    ]
    return stage, rows


def test_the_temperature_comes_first_and_thresholds_are_of_calibrated_probabilities(
    bundle_folder, manifest_folder, grey_system, read_grey, monkeypatch
):
    stage, rows = measure(bundle_folder, manifest_folder, grey_system, read_grey, monkeypatch)
    weights = source_weights(rows)
    fit = fit_temperature(rows["truth"], rows["logit"], weights)
    assert stage.temperature == pytest.approx(fit.value, abs=1e-4)
    assert stage.temperature > 1.5
    assert stage.calibration.loss_after < stage.calibration.loss_before
    assert "validation part of stage2" in stage.calibration.site
    calibrated = expit(rows["logit"].to_numpy() / stage.temperature)
    assert set(stage.operating_points) == {"youden", "sensitivity-0.90", "sensitivity-0.95", "specificity-0.90"}
    for rule, point in zip(RULES, stage.operating_points.values(), strict=True):
        expected = choose_operating_point(rows["truth"], calibrated, rule, weights)
        assert point.threshold == pytest.approx(expected.threshold, abs=1e-4)
        assert point.sensitivity == pytest.approx(expected.sensitivity, abs=1e-4)
        assert point.rule == rule
    kept = stage.operating_points["sensitivity-0.95"]
    assert kept.sensitivity >= 0.95
    written = open_bundle(bundle_folder).card
    assert written.stages["pneumonia"] == stage
    assert written.results["stage2"]["pooled_auc"]["value"] > 0.7
    errors = written.results["stage2"]["calibration_error"]
    assert 0 <= errors["pooled"]["ci_low"] <= errors["pooled"]["ci_high"] <= 1
    assert set(errors["within_source"]) == set(written.results["stage2"]["within_source_auc"])


def test_a_system_that_does_not_divide_by_the_temperature_keeps_one(
    bundle_folder, manifest_folder, grey_system, read_grey, monkeypatch
):
    stage, rows = measure(bundle_folder, manifest_folder, grey_system, read_grey, monkeypatch, honours=False)
    assert (stage.temperature, stage.calibration) == (1.0, None)
    expected = choose_operating_point(rows["truth"], expit(rows["logit"]), "youden", source_weights(rows))
    assert stage.point().threshold == pytest.approx(expected.threshold, abs=1e-4)


def run_of(rows, bundle="grey@1", name="pneumonia"):
    stage = Stage(name, "Pneumonia", 0.5, 0.5, "youden")
    return Run(bundle, len(rows), rows, (), stage)


def site_rows(scores=(0.1, 0.2, 0.6, 0.4, 0.8, 0.9)):
    truth = [0, 0, 0, 1, 1, 1]
    return pd.DataFrame({"image_id": list("abcdef"), "source": "here", "truth": truth, "score": scores})


def test_a_sites_own_points_are_stored_by_name_beside_the_others(bundle_folder):
    rules = ["sensitivity>=0.95", "specificity>=0.98"]
    stage = add_operating_points(bundle_folder, run_of(site_rows()), rules, "St Mary").card.stages["pneumonia"]
    assert list(stage.operating_points) == ["youden", "sensitivity-0.95 St Mary", "specificity-0.98 St Mary"]
    assert stage.default == "youden"
    point = stage.operating_points["sensitivity-0.95 St Mary"]
    assert point.threshold == pytest.approx(0.3)
    assert (point.sensitivity, point.specificity) == (1.0, pytest.approx(2 / 3, abs=1e-4))
    assert point.site == "St Mary, sources weighing the same: here 6"
    assert stage.temperature == 7.0
    used = add_operating_points(bundle_folder, run_of(site_rows()), rules[1:], "St Mary", use=True)
    assert used.card.stages["pneumonia"].point().rule == "specificity>=0.98"
    assert len(used.card.stages["pneumonia"].operating_points) == 3


def test_a_target_that_cannot_be_kept_is_written_so(bundle_folder):
    rows = site_rows((0.1, 1.0, 1.0, 0.4, 1.0, 1.0))
    stage = add_operating_points(bundle_folder, run_of(rows), ["specificity>=0.90"], "x").card.stages["pneumonia"]
    point = stage.operating_points["specificity-0.90 x"]
    assert "no threshold keeps it" in point.rule
    assert point.specificity == pytest.approx(1 / 3, abs=1e-4)


def test_thresholds_closer_than_their_digits_are_not_rounded(bundle_folder):
    rows = site_rows((0.1, 0.2, 0.50000001, 0.50000002, 0.50000003, 0.50000004))
    stage = add_operating_points(bundle_folder, run_of(rows), ["youden"], "x").card.stages["pneumonia"]
    counts = confusion_counts(rows["truth"], rows["score"], stage.operating_points["youden x"].threshold)
    assert (counts.sensitivity, counts.specificity) == (1, 1)


def test_what_does_not_belong_together_is_refused(bundle_folder):
    with pytest.raises(BundleError, match="scores are of grey@2, not of grey@1"):
        add_operating_points(bundle_folder, run_of(site_rows(), "grey@2"), ["youden"], "x")
    with pytest.raises(BundleError, match="not of grey@1"):
        add_operating_points(bundle_folder, run_of(site_rows(), name="covid19"), ["youden"], "x")
    with pytest.raises(ManifestError, match="of one class"):
        add_operating_points(bundle_folder, run_of(site_rows().assign(truth=1)), ["youden"], "x")
    with pytest.raises(ManifestError, match="belong to a decision"):
        add_operating_points(bundle_folder, Run("grey@1", 6, site_rows(), (), None), ["youden"], "x")


def test_a_vote_and_its_decisions_are_measured_in_one_pass(
    bundle_folder, manifest_folder, grey_system, read_grey, monkeypatch
):
    names = ("patch-classes", "patch-pneumonia", "patch-tuberculosis", "patch-viral")
    manifest, sources = load_manifest(manifest_folder), ("shenzhen", "armiro")
    splits = {name: make_split(name, manifest, sources=sources) for name in names}
    card = yaml.safe_load((bundle_folder / "card.yaml").read_text())
    card |= {"system": "patch_voting", "stages": dict.fromkeys(("pneumonia", "tuberculosis", "viral"), POINT)}
    card["data"]["splits"] = {name: split.digest for name, split in splits.items()}
    card["data"]["sources"] = {key: list(sources) for key in names}
    (bundle_folder / "card.yaml").write_text(yaml.safe_dump(card))
    screened = []

    class Choosing:
        bundle_id = "grey@1"

        def screen(self, radiograph, *, force=False, explain=True):
            screened.append(radiograph.provenance.path)
            screening = grey_system.screen(radiograph, force=force, explain=explain)
            ill = screening.triage_score
            shares = {"pneumonia": ill, "tuberculosis": 0.7 * ill, "viral": 0.2 * ill}
            stages = tuple(Stage(name, name, share, 0.5, "youden") for name, share in shares.items())
            classes = {"normal": 1 - ill, "bacterial": 0.1 * ill, "tuberculosis": 0.7 * ill, "viral": 0.2 * ill}
            return type(screening)(**(vars(screening) | {"stages": stages, "classes": classes}))

    monkeypatch.setattr(card_module, "load_system", lambda folder: Choosing())
    made = measure_bundle(bundle_folder, manifest, read_grey, lambda *_: None).card
    asked = [splits["patch-classes"].part(part) for part in ("validation", "test")]
    # Besides, an image for each decision, by which it is seen whether the system divides by its temperature.
    assert len(screened) == sum(map(len, asked)) + 3
    assert set(made.results) == set(names)
    vote = made.results["patch-classes"]
    assert vote["images"] == len(asked[1])
    assert vote["confusion_matrix"]["columns"][-1] == "called viral"
    truth = [splits["patch-classes"].truth[i] for i in asked[1]]
    rows = {row[0]: sum(row[1:]) for row in vote["confusion_matrix"]["rows"]}
    assert rows == {"normal": truth.count(0), "bacterial": 0, "tuberculosis": truth.count(2), "viral": truth.count(3)}
    assert vote["pooled_by_class"]["viral"]["sensitivity"]["ci_high"] <= 1
    assert set(vote["within_source_auc_by_class"]) == {"shenzhen"}
    assert vote["command"].endswith("--protocol patch-classes --seed 0 --out DIR")
    assert made.results["patch-tuberculosis"]["pooled_auc"]["positives"] == truth.count(2)
    assert made.stages["viral"].point().site.startswith("validation part of patch-viral")
    # The page shows it all, the figures within sources first.
    page = card_markdown(open_bundle(bundle_folder))
    assert page.index("The vote among normal") < page.index("Viral pneumonia including COVID-19, against all others")
    assert "called tuberculosis" in page
