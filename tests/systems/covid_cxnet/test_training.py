from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cxrscreen.data.findings import FINDINGS
from cxrscreen.errors import ManifestError, RecipeError
from cxrscreen.explain.heat_map import upsample
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.covid_cxnet.pipeline import APART, NOT_APART
from cxrscreen.systems.triage import suggest

from .conftest import short_networks


def test_the_bundle_says_what_it_is(bundle):
    card = bundle.card
    assert card.bundle_id == "covid_cxnet@0.0.1"
    assert "EfficientNet-Lite0" in card.summary
    assert "normal or COVID-19" in card.summary
    assert "not a medical device" in card.intended_use
    assert any("never saw another pneumonia" in text for text in card.limits)
    # No phantom has a finding besides pneumonia, and both kinds of chart say how good they are.
    assert NOT_APART in card.limits
    assert any("is of the network that was pre-trained on them: mean AUC" in text for text in card.limits)
    assert {"lungs.onnx", "classifier.onnx", "findings.onnx"} <= set(card.files)
    assert set(card.data.images) == {"phantom"}
    assert set(card.data.images["phantom"]) >= {"normal", "covid19"}
    assert open_bundle(bundle.folder).card == card


def test_the_card_calls_the_chart_one_contrast_unless_a_finding_comes_without_pneumonia(tmp_path):
    from types import SimpleNamespace

    from cxrscreen.data.manifest import check_manifest
    from cxrscreen.systems.covid_cxnet.export import _chart_limits

    rows = [("normal", "No Finding"), ("pneumonia", "Effusion|Pneumonia"), ("other", "Mass|Effusion")]
    columns = ("label", "finding")
    table = pd.DataFrame([dict(zip(columns, row, strict=True)) for row in rows])
    table = table.assign(image_id=[f"i{n}" for n in range(3)], path="x", source="nih")
    manifest = check_manifest(table, tmp_path)
    trained = SimpleNamespace(head=None, chart={"images": 40.0, "findings": 3.0, "auc_network": 0.71})

    def limits(train):
        return _chart_limits(manifest, {"findings": SimpleNamespace(train=train)}, trained)

    quality, said = limits(("i0", "i1"))
    assert said == NOT_APART
    assert "mean AUC 0.71 (40 validation images, 3 findings" in quality
    assert limits(("i0", "i1", "i2"))[1] == f"{APART}Effusion, Mass."
    assert _chart_limits(manifest, {}, SimpleNamespace(chart=None)) == []


def test_learning_curves_are_kept(trained_folder):
    curves = pd.read_csv(trained_folder / "work" / "classifier" / "phase2" / "metrics.csv")
    for column in ("train_accuracy", "train_f1", "accuracy", "f1", "auc", "lung_share", "validation_score"):
        assert curves[column].dropna().between(0, 1).all(), column
        assert len(curves[column].dropna()) == 2, column
    assert (curves["validation_loss"].dropna() > 0).all()
    score = 0.8 * curves["auc"] + 0.2 * curves["lung_share"]
    np.testing.assert_allclose(curves["validation_score"].dropna(), score.dropna(), atol=1e-5)


def test_a_frozen_phase_leaves_the_backbone_as_it_was_pre_trained(trained_folder):
    import torch
    from safetensors.torch import load_file

    work = trained_folder / "work"
    findings = load_file(work / "findings" / "final.safetensors")
    first = torch.load(work / "classifier" / "phase1" / "best.ckpt", weights_only=False)["state_dict"]
    final = load_file(work / "classifier" / "final.safetensors")
    names = [name for name in findings if not name.startswith("classifier.")]
    assert all(torch.equal(findings[name], first[f"network.backbone.{name}"]) for name in names)
    assert not all(torch.equal(findings[name], final[f"backbone.{name}"]) for name in names)


def test_the_stored_regions_are_what_screening_sees(trained_folder, phantom_data, recipe, bundle):
    from cxrscreen.systems.covid_cxnet.splits import splits_of
    from cxrscreen.systems.covid_cxnet.training import learned_from
    from cxrscreen.systems.registry import load_system

    image_ids = learned_from(splits_of(recipe, phantom_data))
    stored = np.load(trained_folder / "work" / "regions" / "regions.npy", mmap_mode="r")
    assert len(stored) == len(image_ids)
    view = load_system(bundle.folder, threads=1).view(read(phantom_data.image_file(image_ids[2])))
    np.testing.assert_array_equal(stored[2], np.stack([view.grey, view.kept, view.lungs]))
    # A dilated mask keeps a little more than the lungs.
    assert view.lungs.sum() < view.kept.sum() < 1.4 * view.lungs.sum()


def in_half_precision(recipe):
    return recipe.model_copy(update={"compute": recipe.compute.model_copy(update={"precision": "bf16-mixed"})})


def test_finished_steps_are_not_repeated_nor_taken_for_another_recipe(
    trained_folder, recipe, recipe_file, phantom_data, tmp_path, monkeypatch
):
    from cxrscreen.systems.covid_cxnet import training
    from cxrscreen.systems.covid_cxnet.export import train_bundle

    def never(*_):
        raise AssertionError("a finished step was repeated")

    for step in ("store_regions", "_pretrain", "_train"):
        monkeypatch.setattr(training, step, never)
    with short_networks():
        training.train_covid_cxnet(recipe, phantom_data, trained_folder / "work")
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        training.train_covid_cxnet(recipe.model_copy(update={"roi": "box"}), phantom_data, trained_folder / "work")
    with pytest.raises(RecipeError, match="of another recipe or of other data"):
        training.train_covid_cxnet(in_half_precision(recipe), phantom_data, trained_folder / "work")
    with monkeypatch.context() as patch:
        patch.setattr(training, "facts_stamp", lambda *_: "other labels")
        with pytest.raises(RecipeError, match="of another recipe or of other data"):
            training.train_covid_cxnet(recipe, phantom_data, trained_folder / "work")
    tiny = trained_folder / "tiny"
    assert train_bundle(recipe_file, phantom_data, tmp_path / "work", tiny).card == open_bundle(tiny).card


def test_what_would_fail_later_fails_at_once(recipe, phantom_data, tmp_path):
    from cxrscreen.systems.covid_cxnet.training import train_covid_cxnet

    def changed(**update):
        return recipe.model_copy(update={"pretraining": None, **update})

    with pytest.raises(ManifestError, match="no image of the class normal"):
        train_covid_cxnet(
            changed(data=recipe.data.model_copy(update={"sources": ("nowhere",)})), phantom_data, tmp_path
        )
    weights = recipe.classifier.model_copy(update={"weights": "nowhere.pth"})
    with pytest.raises(RecipeError, match=r"nowhere\.pth"):
        train_covid_cxnet(changed(classifier=weights), phantom_data, tmp_path)
    with pytest.raises(RecipeError, match="match names"):
        train_covid_cxnet(changed(match="nothing"), phantom_data, tmp_path)
    assert not list(tmp_path.iterdir())


def test_three_classes_of_the_base_model_are_exported_and_explained(recipe, phantom_data, tmp_path):
    """The other head, the other number of classes, histogram matching and the published weights' way in."""
    import torch

    from cxrscreen.systems.covid_cxnet.export import write_bundle
    from cxrscreen.systems.covid_cxnet.networks import class_network
    from cxrscreen.systems.covid_cxnet.training import Trained, lung_engine, matched_preprocessing
    from cxrscreen.systems.registry import load_system

    own = recipe.classifier.model_copy(update={"network": "base"})
    first = str(phantom_data.table.index[0])
    three = recipe.model_copy(
        update={"classes": "three", "roi": "none", "pretraining": None, "classifier": own, "match": first}
    )
    torch.manual_seed(0)
    settings = matched_preprocessing(three, phantom_data, lung_engine("cascade"))
    assert len(settings.reference) == 256
    trained = Trained(class_network(three).state_dict(), None, settings)
    with short_networks():
        folder = write_bundle(three, phantom_data, trained, tmp_path / "three").folder
    system = load_system(folder, threads=1)
    radiograph = read(phantom_data.image_file(first))
    screening = system.screen(radiograph, policy="off")
    assert list(screening.probabilities) == ["pneumonia", "covid19"]
    assert sum(screening.classes.values()) == pytest.approx(1, abs=1e-5)
    assert screening.finding == max(screening.classes, key=screening.classes.get)
    assert len(screening.saliency) == 3
    shares = screening.classes
    assert screening.probabilities["pneumonia"] == pytest.approx(1 - shares["normal"], abs=1e-5)
    expected = shares["covid19"] / (shares["covid19"] + shares["other_pneumonia"])
    assert screening.probabilities["covid19"] == pytest.approx(expected, abs=1e-5)
    # The most probable class and the decisions, which the same shares make: 0.6 for pneumonia, 0.483 for COVID-19.
    with pytest.MonkeyPatch.context() as patch:
        shares = np.array([[0.40, 0.31, 0.29]], np.float32)
        patch.setattr("cxrscreen.systems.covid_cxnet.pipeline.class_shares", lambda _: shares)
        doubtful = system.screen(radiograph, policy="off", explain=False)
    assert doubtful.finding == "normal"
    assert any("decisions at their operating points say other pneumonia" in text for text in doubtful.warnings)
    assert doubtful.quality == "limited"
    assert suggest(doubtful).action == "cannot_say"
    # Matching and the whole image: what the network sees of the reference is the reference.
    assert system.view(radiograph).box == (0, 0, 1, 1)


def test_resnet_begins_from_a_saved_checkpoint_with_another_last_layer(recipe, tmp_path, monkeypatch):
    """A plain replaced last layer of three classes on a network whose checkpoint has three colours."""
    import torch

    from cxrscreen.nets import resnet
    from cxrscreen.systems.covid_cxnet.saliency import class_grad_cam
    from cxrscreen.systems.covid_cxnet.training import initial_network

    monkeypatch.setitem(resnet.LAYERS, 50, (1, 1, 1, 1))
    monkeypatch.setattr(resnet, "WIDTHS", (8, 8, 16, 16))
    torch.manual_seed(0)
    published = resnet.ResNet(50, 5).eval()
    state = {name.replace("classifier.", "fc."): values for name, values in published.state_dict().items()}
    state["conv1.weight"] = state["conv1.weight"].repeat(1, 3, 1, 1) / 3
    torch.save(state, tmp_path / "r.pth")
    changes = {"network": "resnet50", "weights": str(tmp_path / "r.pth"), "nodes": 0, "dropout": 0.0}
    own = recipe.classifier.model_copy(update=changes)
    network = initial_network(
        recipe.model_copy(update={"classes": "three", "classifier": own, "pretraining": None}), None
    )
    grey = torch.rand(2, 1, 64, 64) * 4 - 1
    with torch.no_grad():
        maps = network.eval().feature_maps(grey.repeat(1, 3, 1, 1))
        torch.testing.assert_close(maps, published.feature_maps(grey), atol=1e-4, rtol=1e-4)
    outputs = {"features": maps.numpy(), "pooled": maps.mean(dim=(2, 3)).numpy()}
    with torch.no_grad():
        logits = network(grey.repeat(1, 3, 1, 1)).numpy()
    last = network.classifier.weight.detach().numpy()
    np.testing.assert_allclose(logits, outputs["pooled"] @ last.T, atol=1e-4)
    assert logits.shape == (2, 3)
    assert class_grad_cam(outputs, {"classifier.weight": last}, 2).shape == (2, 2)


def test_a_published_checkpoint_tells_its_findings_in_the_bundle(
    recipe, phantom_data, trained_folder, tmp_path, monkeypatch
):
    import torch
    from safetensors.torch import load_file

    from cxrscreen.nets import densenet
    from cxrscreen.nets.chexnet import CheXNet
    from cxrscreen.systems.covid_cxnet import training
    from cxrscreen.systems.covid_cxnet.export import write_bundle
    from cxrscreen.systems.covid_cxnet.pipeline import PUBLISHED
    from cxrscreen.systems.covid_cxnet.preprocessing import region_of_interest, view_input
    from cxrscreen.systems.registry import load_system

    monkeypatch.setattr(densenet, "BLOCK_LAYERS", (1, 1, 1, 1))
    torch.manual_seed(5)
    published = CheXNet().eval()
    torch.save({"state_dict": published.state_dict()}, tmp_path / "c.pth")
    own = recipe.classifier.model_copy(update={"network": "chexnet", "weights": str(tmp_path / "c.pth"), "chart": True})
    changed = recipe.model_copy(update={"classifier": own, "pretraining": None})
    # Trained by nothing: what is asked here is what becomes of the checkpoint.
    fresh = training.initial_network(changed, None).state_dict()
    monkeypatch.setattr(training, "_train", lambda *_: {name: values.clone() for name, values in fresh.items()})
    trained = training.train_covid_cxnet(changed, phantom_data, tmp_path / "work")
    assert torch.equal(trained.findings["classifier.weight"], published.classifier.weight)
    folder = write_bundle(changed, phantom_data, trained, tmp_path / "bundle").folder
    assert load_file(folder / "findings.safetensors")["classifier.weight"].shape == (14, published.num_features)
    system = load_system(folder, threads=1)
    assert PUBLISHED in system.card.limits
    assert system.chart_caution == PUBLISHED
    assert system.tells_findings
    radiograph = read(phantom_data.image_file(phantom_data.table.index[0]))
    # The checkpoint learned from whole radiographs in three equal channels: it is asked about those.
    plain = replace(system.settings, roi="none", channels="original", reference=None)
    region = region_of_interest(radiograph.pixels, np.zeros((1, 1), np.uint8), plain, system.side)
    with torch.no_grad():
        whole = torch.from_numpy(view_input(region, plain)).expand(3, -1, -1)[None]
        expected = torch.sigmoid(published(whole))[0].numpy()
        maps = published.feature_maps(whole)[0]
    np.testing.assert_allclose(list(system.finding_probabilities(radiograph).values()), expected, atol=5e-3)
    # Its map is cut to the region that the classifier sees.
    weights = published.classifier.weight[FINDINGS.index("Pneumonia")].detach()
    by_hand = torch.tensordot(weights, maps, dims=1).clamp(min=0).numpy() / maps[0].numel()
    whole_view = replace(system.view(radiograph), box=(0.0, 0.0, 1.0, 1.0))
    found = system.pneumonia_map(radiograph, whole_view)
    np.testing.assert_allclose(found, upsample(by_hand, found.shape), atol=0.02 * by_hand.max())
    quarter = system.pneumonia_map(radiograph, replace(whole_view, box=(0.5, 0.0, 1.0, 0.5)))
    half = len(found) // 2
    np.testing.assert_allclose(quarter[::2, ::2], found[half:, :half], atol=0.02 * by_hand.max())
    # Without a layer of findings it is refused before anything is trained.
    bare = {name: values for name, values in published.state_dict().items() if not name.startswith("classifier")}
    torch.save(bare, tmp_path / "c.pth")
    with pytest.raises(RecipeError, match="no layer of 14 findings"):
        training.train_covid_cxnet(changed, phantom_data, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ValueError, match="chart needs the network chexnet"):
        type(own).model_validate(own.model_dump() | {"weights": "imagenet"})


def test_chexnet_is_exported_with_its_normalisation(recipe, phantom_data, tmp_path, monkeypatch):
    """From a published checkpoint to what the engine says, beside torch."""
    import torch

    from cxrscreen.nets import densenet
    from cxrscreen.nets.chexnet import CheXNet
    from cxrscreen.runtime.engine import load_engine
    from cxrscreen.runtime.export import export_classifier
    from cxrscreen.systems.covid_cxnet.training import initial_network

    monkeypatch.setattr(densenet, "BLOCK_LAYERS", (1, 1, 1, 1))
    published = CheXNet()
    torch.save({f"module.{name}": values for name, values in published.state_dict().items()}, tmp_path / "c.pth")
    own = recipe.classifier.model_copy(update={"network": "chexnet", "weights": str(tmp_path / "c.pth")})
    network = initial_network(recipe.model_copy(update={"classifier": own, "pretraining": None}), None).eval()
    for name, values in published.features.state_dict().items():
        assert torch.equal(network.backbone.features.state_dict()[name], values)
    export_classifier(network, 64, tmp_path / "classifier.safetensors", tmp_path / "classifier.onnx")
    image = torch.rand(2, 3, 64, 64) * 4 - 1
    outputs = load_engine(tmp_path / "classifier.onnx", threads=1)(image.numpy())
    assert outputs["pooled"].shape == (2, 10)
    with torch.no_grad():
        np.testing.assert_allclose(outputs["logits"], network(image).numpy(), atol=5e-3, rtol=5e-3)
