"""One small bundle in every format: written, read back, run by the programs that are there, and altered."""

import json
import shutil

import numpy as np
import onnx
import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import BundleError, RecipeError
from cxrscreen.systems.bundle import open_bundle, sha256_of, write_card
from cxrscreen.systems.interchange import export
from cxrscreen.systems.interchange.export import FORMATS, check_export, export_bundle
from cxrscreen.systems.interchange.networks import networks_of
from cxrscreen.systems.interchange.onnx_format import DESCRIPTION, run_model
from cxrscreen.systems.interchange.phantom import Difference, differences, network_images
from cxrscreen.systems.interchange.record import FILE, read_record
from cxrscreen.systems.interchange.triton_config import read_config

pytestmark = pytest.mark.usefixtures("_short_networks")


@pytest.fixture(scope="session")
def bundle(bundles):
    return bundles("comit_net")


@pytest.fixture(scope="session")
def exported(bundle, tmp_path_factory):
    """A function from a format to an exported folder, which is not to be changed."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def of(kind):
        if kind not in made:
            made[kind] = export_bundle(bundle, kind, folder / kind)
        return folder / kind

    return of


@pytest.fixture
def copied(exported, tmp_path):
    return lambda kind: shutil.copytree(exported(kind), tmp_path / kind)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_is_its_bundle(kind, exported, bundle):
    folder = exported(kind)
    record, compared = check_export(folder, bundle)
    assert (record.format, record.bundle, record.research_use) == (kind, bundle.card.bundle_id, RESEARCH_USE)
    assert compared
    for outputs in compared.values():
        assert {"health", "diagnosis"} <= set(outputs)
        assert all(each.largest < 1e-3 for each in outputs.values())
    assert {name.rpartition("/")[2] for name in record.files} >= {"LICENSE", "README.md", "card.yaml"}
    assert RESEARCH_USE in (folder / "LICENSE").read_text(encoding="utf-8")
    assert not folder.with_name(f"part-{kind}").exists()


@pytest.mark.parametrize(("system", "kind"), [("cascade", "triton"), ("covid_cxnet", "monai")])
def test_other_systems_are_exported_by_the_same_code(bundles, tmp_path, system, kind):
    bundle = bundles(system)
    record = export_bundle(bundle, kind, tmp_path / kind)
    names = {network.name for network in networks_of(bundle)}
    if kind == "triton":
        names = {f"{system}_{graph.name}".replace("-", "_") for each in networks_of(bundle) for graph in each.graphs}
        assert f"{system}_covid19_guided" in names
    assert set(record.compared) == names
    assert all("logits" in outputs for outputs in record.compared.values())


def test_onnx_says_what_it_is_and_its_batch_is_free(exported, bundle):
    folder = exported("onnx")
    model = onnx.load(folder / "comit.onnx")
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert RESEARCH_USE in model.doc_string
    answers, about = run_model(folder / "comit.onnx", np.zeros((3, 1, 64, 64), np.float32))
    assert answers["health"].shape == (3, 1)
    assert json.loads(about[DESCRIPTION]) == json.loads((folder / "comit.json").read_text(encoding="utf-8"))
    assert (about["licence"], about["bundle"]) == (bundle.card.licence, bundle.card.bundle_id)


def test_triton_declares_what_the_model_has(exported):
    (folder,) = (path for path in exported("triton").iterdir() if path.is_dir())
    config = read_config((folder / "config.pbtxt").read_text(encoding="utf-8"))
    assert config.name == folder.name == "comit_net_comit"
    image = np.zeros((min(2, config.max_batch), *config.image[1]), np.float32)
    answers, _ = run_model(folder / "1" / "model.onnx", image)
    assert {name: values.shape[1:] for name, values in answers.items()} == config.outputs
    assert config.parameters["research_use"] == RESEARCH_USE


def test_monai_runs_it_on_a_folder_with_its_own_networks(exported, bundle, tmp_path, monkeypatch):
    monai = pytest.importorskip("monai.bundle")
    import torch

    from cxrscreen.data.phantoms import make_phantom, write_png
    from cxrscreen.imaging.read import read
    from cxrscreen.runtime.engine import EngineSettings
    from cxrscreen.systems.registry import load_system

    images, folder = tmp_path / "images", tmp_path / "monai"
    (images / "a").mkdir(parents=True)
    write_png(make_phantom(3, "covid19", shape=(160, 160)), images / "a" / "first.png")
    (images / "b.png").write_bytes(b"no image")
    shutil.copytree(exported("monai"), folder)

    def run(out):
        monai.run(
            run_id="run",
            config_file=str(folder / "configs" / "inference.json"),
            meta_file=str(folder / "configs" / "metadata.json"),
            bundle_root=str(folder),
            dataset_dir=str(images),
            output_dir=str(out),
        )
        return json.loads((out / "screenings.json").read_text(encoding="utf-8"))

    found = run(tmp_path / "first")
    assert found["research_use"] == RESEARCH_USE
    screened, failed = found["images"]
    assert (screened["file"], failed["file"]) == ("a/first.png", "b.png")
    assert failed["status"] == "failed"
    assert "b.png" in failed["reason"]
    own = load_system(bundle.folder, engine=EngineSettings(precision="f32"))
    assert screened["probabilities"] == own.screen(read(images / "a" / "first.png"), explain=False).probabilities
    assert (tmp_path / "first" / screened["lung_mask"]).is_file()
    # What another program taught the network is used, and no measured figure goes with it.
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    state["health.last.bias"] += torch.tensor([0.0, 3.0])
    torch.save(state, folder / "models" / "model.pt")
    changed = run(tmp_path / "second")
    assert changed["bundle"] == f"{bundle.card.bundle_id}+changed"
    if screened["status"] == "screened":
        assert changed["images"][0]["probabilities"]["unhealthy"] > screened["probabilities"]["unhealthy"]
    with pytest.raises(BundleError, match=r"model.pt of monai was altered"):
        check_export(folder, bundle)


def test_monais_checks_pass(exported, tmp_path):
    """With a schema of the keys that MONAI's specification asks for; its own is to be downloaded."""
    monai = pytest.importorskip("monai.bundle")
    tensor = {
        "type": "object",
        "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range", "is_patch_data"],
        "properties": {
            "spatial_shape": {"type": "array"},
            "channel_def": {"type": "object"},
            "is_patch_data": {"type": "boolean"},
        },
    }
    tensors = {"type": "object", "minProperties": 1, "additionalProperties": tensor}
    texts = ("version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors")
    schema = {
        "type": "object",
        "required": [*texts, "copyright", "network_data_format"],
        "properties": {name: {"type": "string", "minLength": 1} for name in texts}
        | {
            "network_data_format": {
                "type": "object",
                "required": ["inputs", "outputs"],
                "properties": {"inputs": tensors, "outputs": tensors},
            }
        },
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    with pytest.warns(UserWarning, match="integrity is NOT verified"):
        monai.verify_metadata(
            meta_file=str(exported("monai") / "configs" / "metadata.json"), filepath=str(tmp_path / "schema.json")
        )


def test_what_was_altered_is_named(copied, bundle):
    folder = copied("onnx")
    (folder / "comit.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BundleError, match=r"comit.json of onnx was altered"):
        check_export(folder, bundle)
    (folder / "comit.json").unlink()
    with pytest.raises(BundleError, match=r"onnx lacks comit.json"):
        check_export(folder, bundle)
    (folder / FILE).write_text('{"format": "onnx"}', encoding="utf-8")
    with pytest.raises(BundleError, match="is malformed"):
        check_export(folder, bundle)
    (folder / FILE).unlink()
    with pytest.raises(BundleError, match="is no export of cxrscreen"):
        check_export(folder, bundle)


def rehashed(folder, name):
    """Hide an alteration from the record, as somebody would who wants to."""
    record = read_record_unchecked(folder)
    record["files"][name] = sha256_of(folder / name)
    (folder / FILE).write_text(json.dumps(record), encoding="utf-8")


def read_record_unchecked(folder):
    return json.loads((folder / FILE).read_text(encoding="utf-8"))


def test_other_weights_under_a_right_record_are_found_by_their_answers(copied, bundle):
    folder = copied("onnx")
    model = onnx.load(folder / "comit.onnx")
    (tensor,) = (each for each in model.graph.initializer if each.name == "health.last.bias")
    tensor.raw_data = (onnx.numpy_helper.to_array(tensor) + np.float32([0, 1])).astype(np.float32).tobytes()
    onnx.save(model, folder / "comit.onnx")
    rehashed(folder, "comit.onnx")
    with pytest.raises(BundleError, match=r"network comit answers otherwise than .*: its health differs by up to 1"):
        check_export(folder, bundle)


def test_another_description_or_configuration_is_found(copied, bundle):
    folder = copied("onnx")
    model = onnx.load(folder / "comit.onnx")
    (entry,) = (each for each in model.metadata_props if each.key == DESCRIPTION)
    entry.value = entry.value.replace("0.5", "0.4")
    onnx.save(model, folder / "comit.onnx")
    rehashed(folder, "comit.onnx")
    with pytest.raises(BundleError, match=r"comit.onnx describes itself otherwise"):
        check_export(folder, bundle)
    folder = copied("triton")
    name = "comit_net_comit/config.pbtxt"
    text = (folder / name).read_text(encoding="utf-8")
    (folder / name).write_text(text.replace("max_batch_size: ", "max_batch_size: 1"), encoding="utf-8")
    rehashed(folder, name)
    with pytest.raises(BundleError, match=r"config.pbtxt is not that of its bundle"):
        check_export(folder, bundle)
    folder = copied("monai")
    name = "configs/inference.json"
    # An expression that would be run if the file were parsed before it is known.
    content = json.loads((folder / name).read_text(encoding="utf-8")) | {"device": "$1 / 0"}
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    rehashed(folder, name)
    with pytest.raises(BundleError, match=r"inference.json is not that of its bundle"):
        check_export(folder, bundle)


def test_another_bundle_is_named(exported, bundle, tmp_path, monkeypatch):
    shutil.copytree(bundle.folder, tmp_path / "other")
    other = write_card(tmp_path / "other", bundle.card.model_copy(update={"version": "9"}))
    with pytest.raises(BundleError, match=r"made from another state of a bundle \(.*\) than comit_net@9"):
        check_export(exported("onnx"), other)
    monkeypatch.setattr(export, "shipped_bundles", tuple)
    with pytest.raises(BundleError, match="does not ship with this version: name its folder with --bundle"):
        check_export(exported("onnx"))


def test_a_full_folder_is_left_alone(bundle, tmp_path):
    (tmp_path / "kept.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match="is not an empty folder"):
        export_bundle(bundle, "onnx", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_what_answers_otherwise_is_not_written(bundle, tmp_path, monkeypatch):
    class Wrong:
        @staticmethod
        def write(bundle, networks, folder):
            (folder / "network").write_text("x", encoding="utf-8")

        @staticmethod
        def compare(bundle, networks, folder):
            return {"comit": {"health": Difference(float("nan"), 1.0)}}

    monkeypatch.setattr(export, "_module", lambda kind: Wrong)
    with pytest.raises(BundleError, match="comit answers otherwise"):
        export_bundle(bundle, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_format_whose_library_is_missing_says_so(monkeypatch):
    def gone(name):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(export, "import_module", gone)
    with pytest.raises(BundleError, match=r"monai needs torch, which is not installed: install cxrscreen\[interchange"):
        export._module("monai")


def test_a_record_cannot_name_files_outside(copied):
    folder = copied("onnx")
    content = read_record_unchecked(folder)
    for name in ("../card.yaml", "/etc/hosts"):
        (folder / FILE).write_text(json.dumps(content | {"files": {name: "0"}}), encoding="utf-8")
        with pytest.raises(BundleError, match="is malformed"):
            read_record(folder)


def test_phantoms_are_what_a_network_could_see():
    graph = networks_of(open_bundle("cascade"))[0].whole
    assert graph.pooling == "lungs"
    images = network_images(graph)
    assert images.shape == (2, *graph.image_shape)
    assert images.dtype == np.float32
    assert -1 <= images.min() < images.max() <= 3
    # Where the network pools over the lungs all else is black.
    assert 0.2 < float((images == -1).mean()) < 0.9
    np.testing.assert_array_equal(images[0], images[1, ..., ::-1])


def test_an_output_that_the_bundle_has_not_is_refused():
    with pytest.raises(BundleError, match="an output other that its bundle has not"):
        differences({"other": np.zeros(1, np.float32)}, {"logits": np.zeros(1, np.float32)})
    measured = differences({"a": np.float32([1, 5])}, {"a": np.float32([1, 4])})["a"]
    assert measured == Difference(1.0, 4.0)
    assert not measured.agrees
    assert Difference(0.0039, 4.0).agrees


def test_a_lung_mask_that_cannot_be_written_is_said(tmp_path):
    from PIL import Image

    from cxrscreen.data.phantoms import make_phantom, write_png
    from cxrscreen.systems.contract import Screening, Stage
    from cxrscreen.systems.interchange.monai_screener import _screened

    class PromptSystem:
        bundle_id = "comit_net@test"

        def screen(self, radiograph, *, force=False, explain=True, policy="standard"):
            stages, mask = (Stage("pneumonia", "Pneumonia", 0.2, 0.5, "youden"),), np.ones(radiograph.shape, np.uint8)
            return Screening(stages, "normal", 0.2, mask, 0.1, (), "good", (), self.bundle_id)

    write_png(make_phantom(3, "covid19", shape=(160, 160)), tmp_path / "a.png")
    (tmp_path / "1-lungs.png").mkdir()
    failed = _screened(PromptSystem(), tmp_path / "a.png", 1, tmp_path)
    assert failed["status"] == "failed"
    assert failed["reason"] == "1-lungs.png could not be written (Is a directory); check space and rights."
    done = _screened(PromptSystem(), tmp_path / "a.png", 2, tmp_path)
    assert done["lung_mask"] == "2-lungs.png"
    assert Image.open(tmp_path / "2-lungs.png").size == (160, 160)
