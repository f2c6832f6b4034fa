"""Eq. 2 at work: on constructed tensors, then the whole adaptation of a tiny bundle on phantoms."""

import copy
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from cxrscreen.data.manifest import check_manifest
from cxrscreen.errors import BundleError, RecipeError
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.cascade import adaptation
from cxrscreen.systems.cascade.adaptation import IncrementalTask, network_of, teacher_of
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.adapted_bundle import adapted_version, write_adapted
from cxrscreen.systems.cascade.cohort import make_cohort
from cxrscreen.systems.cascade.stamps import stamp_of
from cxrscreen.train.classifier import BinaryTask
from cxrscreen.train.distillation import binary_divergence
from cxrscreen.train.loop import SCORE
from cxrscreen.train.recipe import Compute, Phase, load_recipe

PHASE = Phase(epochs=1, batches=2, batch=6, learning_rate=1e-3, ema=0.0)


def run_by_hand(kind, network, batches, **settings):
    """Losses and weights after every step."""
    task = kind(network, PHASE, len(batches), 0, sources=["a"], smoothing=0.0, **settings)
    task.log = lambda *_, **__: None
    given = task.configure_optimizers()
    optimiser, cycle = given["optimizer"], given["lr_scheduler"]["scheduler"]
    steps = []
    for batch in batches:
        optimiser.zero_grad()
        loss = task.training_step(batch, 0)
        loss.backward()
        optimiser.step()
        cycle.step()
        steps.append((float(loss.detach()), [p.detach().clone() for p in task.network.parameters()]))
    return steps


@pytest.fixture
def steps():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    batches = [(torch.randn(6, 1, 8, 8), torch.randint(0, 2, (6, 1)).float(), torch.arange(6)) for _ in range(5)]
    teacher = torch.tensor([2.0, -1.0, torch.nan, 0.5, torch.nan, 3.0])

    def taken(kind, **settings):
        return run_by_hand(kind, copy.deepcopy(network), batches, **settings)

    return taken, teacher


def test_lambda_zero_equals_plain_retraining_step_by_step(steps):
    taken, teacher = steps
    plain = taken(BinaryTask)
    zero = taken(IncrementalTask, teacher=teacher, distillation=0.0)
    for (loss, weights), (other_loss, other_weights) in zip(plain, zero, strict=True):
        assert other_loss == pytest.approx(loss, abs=1e-6)
        for one, other in zip(weights, other_weights, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    held = taken(IncrementalTask, teacher=teacher, distillation=5.0)
    assert held[0][0] > plain[0][0]
    assert not torch.allclose(held[-1][1][-1], plain[-1][1][-1], atol=1e-4)


def test_offsets_count_beside_a_teacher_in_the_cross_entropy_alone(steps):
    taken, teacher = steps
    offsets = torch.linspace(-2.0, 2.0, 6)
    plain = taken(BinaryTask, offsets=offsets)
    new = taken(BinaryTask, offsets=offsets, teacher=torch.full((6,), torch.nan), distillation=1.0)
    for (loss, weights), (other_loss, other_weights) in zip(plain, new, strict=True):
        assert other_loss == pytest.approx(loss, abs=1e-6)
        for one, other in zip(weights, other_weights, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    held, held_plainly = (taken(BinaryTask, offsets=o, teacher=teacher, distillation=1.0) for o in (offsets, None))
    bare = taken(BinaryTask)
    # The first step is from the same weights: the offsets change one term by as much with a teacher as without.
    assert held[0][0] - held_plainly[0][0] == pytest.approx(plain[0][0] - bare[0][0], abs=1e-6)


def test_a_large_lambda_holds_to_the_old_outputs():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    image, truth = torch.randn(6, 1, 4, 4), torch.tensor([[0.0], [1], [0], [1], [0], [1]])
    with torch.no_grad():
        teacher = network(image)[:, 0]
    teacher[4:] = torch.nan
    moved = {}
    for weight in (0.0, 20.0):
        tuned = copy.deepcopy(network)
        run_by_hand(
            IncrementalTask, tuned, [(image, truth, torch.arange(6))] * 60, teacher=teacher, distillation=weight
        )
        moved[weight] = float(binary_divergence(teacher[:4], tuned(image)[:4, 0].detach()).mean())
    assert moved[20.0] < moved[0.0] / 3


def test_the_score_counts_groups_the_same():
    task = IncrementalTask(nn.Linear(1, 1), PHASE, 1, 0, sources=["normal", "covid19", "covid19"], smoothing=0.0)
    told = {}
    task.log = lambda name, value, **_: told.update({name: value})
    task._seen = [(torch.tensor([0.0, 2.0, -2.0]), torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0, 1, 2]))]
    task.on_validation_epoch_end()
    covid = np.mean([np.log1p(np.exp(-2.0)), np.log1p(np.exp(2.0))])
    assert told["loss_covid19"] == pytest.approx(covid)
    assert told[SCORE] == pytest.approx(-(np.log(2) + covid) / 2)
    task._seen = [(torch.tensor([torch.nan]), torch.tensor([0.0]), torch.tensor([0]))]
    with pytest.raises(RecipeError, match="diverged"):
        task.on_validation_epoch_end()


def test_a_version_goes_up_and_names_its_weights():
    assert adapted_version("1.2.3", "ab12cd34ef") == "1.3.0+adapted.ab12cd34"
    assert adapted_version("1.3.0+adapted.ab12cd34", "00000000ff") == "1.4.0+adapted.00000000"
    assert adapted_version("spring", "ab12cd34ef") == "spring+adapted.ab12cd34"


def test_the_recipe_in_the_repository_has_the_defaults(tiny_recipe):
    assert load_recipe(tiny_recipe.with_name("adapt-cascade.yaml"), AdaptRecipe) == AdaptRecipe()


def test_a_run_may_go_on_on_another_number_of_devices():
    one = AdaptRecipe()
    four = AdaptRecipe(compute=Compute(devices=4, strategy="ddp_find_unused_parameters_true"))
    # What one process began before there were several keeps its stamp.
    assert stamp_of(four) == stamp_of(one) == one.model_dump(mode="json")
    assert stamp_of(four, exclude={"stage"}) == one.model_dump(mode="json", exclude={"stage"})
    assert stamp_of(four, include={"compute", "seed"}) == one.model_dump(mode="json", include={"compute", "seed"})
    assert stamp_of(AdaptRecipe(compute=Compute(precision="32-true"))) != stamp_of(one)


# On phantoms -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sites(phantom_data):
    """Hospital 1's cases and pneumonias as the new site; hospital 0, without COVID-19, as the old collection."""
    table = phantom_data.table.drop(columns="group").reset_index(drop=True)
    new = (table["label"] == "covid19") | ((table["source"] == "hospital-1") & (table["label"] == "bacterial"))
    patients = set(table.loc[new, "patient_id"])
    mine = table["patient_id"].isin(patients)
    return check_manifest(table[mine], phantom_data.root), check_manifest(table[~mine], phantom_data.root)


@pytest.fixture(scope="module")
def recipe():
    return AdaptRecipe(
        compute=Compute(precision="32-true", accelerator="cpu", threads=1), stage2=PHASE, stage3=PHASE, distillation=2.0
    )


@pytest.fixture(scope="module")
def cohort(tiny_bundle, sites):
    return make_cohort(tiny_bundle, *sites)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("adapting")


@pytest.fixture(scope="module")
def adapted(tiny_bundle, cohort, recipe, work):
    return adaptation.adapt(tiny_bundle, cohort, recipe, work)


@pytest.fixture(scope="module")
def new_bundle(tiny_bundle, cohort, recipe, adapted, work):
    return write_adapted(
        tiny_bundle, cohort, recipe, adapted, tiny_bundle.card.stages, {"verdict": "x"}, work / "bundle"
    )


def test_the_outputs_are_those_that_the_new_bundle_screens_with(adapted, new_bundle, cohort):
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.registry import load_system

    rows = adapted.logits[adapted.logits["label"] != "normal"].head(3)
    system = load_system(new_bundle.folder)
    for _, row in rows.iterrows():
        screening = system.screen(read(cohort.manifest.image_file(row["image_id"])), force=True, explain=False)
        for name in ("pneumonia", "covid19"):
            expected = 1 / (1 + np.exp(-row[f"{name}_after"]))
            # The cut-out lungs are kept in 8 bits.
            assert screening.probabilities[name] == pytest.approx(expected, abs=5e-3)
    assert (adapted.logits["pneumonia_before"] != adapted.logits["pneumonia_after"]).all()
    normal = adapted.logits["label"] == "normal"
    assert adapted.logits.loc[normal, "covid19_after"].isna().all()
    assert adapted.logits.loc[~normal, "covid19_after"].notna().all()


def test_a_bundle_that_asks_about_mirror_images_is_adapted_by_what_it_says_of_both(
    tiny_bundle, cohort, recipe, tmp_path, monkeypatch
):
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import write_card
    from cxrscreen.systems.cascade import pipeline
    from cxrscreen.systems.registry import load_system

    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "mirrored")
    preprocessing = tiny_bundle.card.preprocessing | {"mirrored": True}
    bundle = write_card(folder, tiny_bundle.card.model_copy(update={"preprocessing": preprocessing}))
    # Nothing is learned: before and after are the same network, asked in two places.
    monkeypatch.setattr(adaptation, "_tuned", lambda *_: (bundle.file("covid19.onnx"), ""))
    recipe = recipe.model_copy(update={"stage": "3"})
    logits = adaptation.adapt(bundle, cohort, recipe, tmp_path / "work").logits
    rois, _ = adaptation.cut_cohort(bundle, cohort, tmp_path / "work" / "cuts")
    system = load_system(folder)
    for _, row in logits[logits["label"] != "normal"].head(3).iterrows():
        image_id = row["image_id"]
        roi = rois.roi(image_id)
        monkeypatch.setattr(pipeline, "cut_lungs", lambda *_, roi=roi: roi)
        screening = system.screen(read(cohort.manifest.image_file(image_id)), force=True, explain=False)
        odds = screening.probabilities["covid19"] / (1 - screening.probabilities["covid19"])
        assert row["covid19_before"] == pytest.approx(np.log(odds), abs=1e-5)
        assert row["covid19_after"] == pytest.approx(np.log(odds), abs=1e-5)


def test_held_out_images_are_those_of_the_bundles_own_splits(adapted, tiny_bundle):
    from cxrscreen.systems.cascade.cohort import known_parts

    known = known_parts(tiny_bundle)
    assert {known[i] for i in adapted.logits["image_id"]} <= {"validation", "test"}
    assert all(known[i] == part for i, part in zip(adapted.logits["image_id"], adapted.logits["part"], strict=True))


def test_the_normalisation_statistics_rest_and_the_kernels_learn(tiny_bundle, new_bundle):
    for name in ("pneumonia", "covid19"):
        before, after = (
            network_of(bundle.file(f"{name}.safetensors"), "lungs").state_dict() for bundle in (tiny_bundle, new_bundle)
        )
        for key, value in before.items():
            if key.endswith(("running_mean", "running_var")):
                torch.testing.assert_close(value, after[key], rtol=0, atol=0)
        assert not torch.equal(before["classifier.weight"], after["classifier.weight"])
        assert not torch.equal(before["features.conv0.weight"], after["features.conv0.weight"])
    assert tiny_bundle.card.files["lungs.safetensors"] == new_bundle.card.files["lungs.safetensors"]


def test_the_card_says_what_it_was_adapted_from(new_bundle, tiny_bundle, cohort, recipe):
    card = new_bundle.card
    assert card.version.startswith("0.1.0+adapted.")
    assert set(tiny_bundle.card.files) < set(card.files)
    record = card.recipe["adaptations"][0]
    assert record["from"] == "cascade@0.0.1"
    assert record["cases"] == cohort.cases
    assert record["recipe"]["distillation"] == 2.0
    assert card.data.splits["adaptation1-stage2"] == cohort.splits["stage2"].digest
    # These images had trained the bundle already.
    assert card.data.images == tiny_bundle.card.data.images
    assert card.results == {"adaptation": {"verdict": "x"}}
    assert any("Adapted from cascade@0.0.1" in text for text in card.limits)
    assert open_bundle(new_bundle.folder).card == card


def test_a_bundle_adapted_again_remembers_both_times(new_bundle, sites, cohort, recipe, tmp_path):
    nothing = adaptation.Adapted({}, None)
    again = write_adapted(new_bundle, cohort, recipe, nothing, new_bundle.card.stages, {}, tmp_path / "again")
    assert {"adaptation1-stage2", "adaptation2-stage2"} < set(again.card.data.splits)
    assert [record["from"] for record in again.card.recipe["adaptations"]] == [
        "cascade@0.0.1",
        new_bundle.card.bundle_id,
    ]
    assert make_cohort(again, *sites).splits["stage2"].test == cohort.splits["stage2"].test


def test_a_finished_adaptation_is_not_repeated_and_another_one_is_refused(
    tiny_bundle, cohort, recipe, adapted, work, monkeypatch
):
    def never(*_, **__):
        raise AssertionError("a finished step was repeated")

    for step in ("fine_tune", "stage2_outputs"):
        monkeypatch.setattr(adaptation, step, never)
    again = adaptation.adapt(tiny_bundle, cohort, recipe, work)
    np.testing.assert_array_equal(again.logits["pneumonia_after"], adapted.logits["pneumonia_after"])
    other = recipe.model_copy(update={"distillation": 0.0})
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        adaptation.adapt(tiny_bundle, cohort, other, work)
    assert not (work / "stage2" / "run").exists()


def test_what_is_learned_with_and_without_old_images(tiny_bundle, cohort, recipe, adapted, work, monkeypatch):
    given = {}

    def look(task, training, validation, *_):
        given.update(task=task, training=training, validation=validation)
        return {}

    monkeypatch.setattr(adaptation, "fit", look)
    rois, _ = adaptation.cut_cohort(tiny_bundle, cohort, work / "cuts")
    outputs = np.arange(len(cohort.images), dtype=np.float32)
    network = network_of(tiny_bundle.file("pneumonia.safetensors"), "lungs")

    def tuned(**changes):
        adaptation.fine_tune(network, "2", cohort, recipe.model_copy(update=changes), rois, outputs, None, work)
        return given["task"].teacher

    held_to = tuned()
    train = cohort.splits["stage2"].train
    old = cohort.in_old_set(train)
    assert 0 < old.sum() < len(train)
    np.testing.assert_array_equal(torch.isnan(held_to).numpy(), ~old)
    np.testing.assert_array_equal(held_to.numpy()[old], outputs[rois.rows(train)][old])
    assert not given["task"].network.training
    assert tuned(distillation=0.0) is None
    assert torch.isnan(tuned(with_old=False)).all()
    assert len(given["training"].dataset) == sum(i in cohort.new for i in train)
    assert set(given["task"].sources) <= {"covid19", "other pneumonia", "normal"}


def test_teachers_are_on_the_old_set_alone(cohort):
    ids = [*sorted(cohort.new)[:2], *[i for i in cohort.images if i not in cohort.new][:2]]
    teacher = teacher_of(cohort, ids, np.array([1, 2, 3, 4], np.float32))
    assert torch.isnan(teacher[:2]).all()
    assert teacher[2:].tolist() == [3.0, 4.0]


def test_other_weights_are_refused(tiny_bundle, tmp_path):
    with pytest.raises(BundleError, match="another network"):
        network_of(tiny_bundle.file("lungs.safetensors"), "lungs")
    shutil.copy(tiny_bundle.file("pneumonia.safetensors"), tmp_path / "x.safetensors")
    assert not network_of(tmp_path / "x.safetensors", "lungs").training
