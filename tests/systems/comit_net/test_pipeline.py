import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cxrscreen.errors import BundleError
from cxrscreen.imaging.read import read
from cxrscreen.report.dicom.segmentation import regions_of
from cxrscreen.report.folder import write_folder
from cxrscreen.systems.bundle import write_card
from cxrscreen.systems.comit_net.labels import COVID19, OTHER, STAGES, UNHEALTHY
from cxrscreen.systems.comit_net.pipeline import (
    CONTRADICTION,
    NO_DISEASE_NAMED,
    REGION_OUTSIDE,
    ComitNet,
    decision_cautions,
    decision_logit,
    finding_of,
    load,
)
from cxrscreen.systems.comit_net.saliency import branch_grad_cam
from cxrscreen.systems.contract import Stage
from cxrscreen.systems.registry import load_system
from cxrscreen.systems.triage import suggest


@pytest.fixture(scope="module")
def system(bundle):
    return load_system(bundle.folder, threads=1)


@pytest.fixture(scope="module")
def radiograph(phantom_data):
    return read(phantom_data.image_file(phantom_data.table.index[0]))


@pytest.fixture(scope="module")
def screening(system, radiograph):
    return with_thresholds(system, 0.0).screen(radiograph, policy="off")


def with_thresholds(system, threshold):
    """Call everything, or nothing."""
    point = replaced_points(system.card.stages, threshold)
    return ComitNet(system.card.model_copy(update={"stages": point}), system.settings, system._network)


def replaced_points(stages, threshold):
    made = {}
    for name, stage in stages.items():
        point = stage.point().model_copy(update={"threshold": threshold})
        made[name] = stage.model_copy(update={"operating_points": stage.operating_points | {stage.default: point}})
    return made


def test_one_run_gives_lungs_region_and_all_decisions(screening, radiograph, system):
    assert list(screening.probabilities) == [UNHEALTHY, COVID19, OTHER]
    outputs = system.outputs(radiograph)
    for stage in screening.stages:
        logit = decision_logit(stage.name, outputs)
        assert stage.probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)
    assert screening.lung_mask.shape == radiograph.shape
    assert [item.name for item in screening.saliency] == ["disease", "grad-cam"]
    for item in screening.saliency:
        assert item.values.shape == radiograph.shape
        assert item.values.min() >= 0
        assert item.values.max() <= 1
    assert (outputs["lungs"] >= 0).all()
    assert (outputs["disease"] <= 1).all()


def test_a_region_that_healthy_lungs_have_as_well_is_shown_beside_a_disease_alone(system, radiograph):
    calm = with_thresholds(system, 1.0)
    screening = calm.screen(radiograph, policy="off")
    assert screening.finding == "normal"
    assert [item.name for item in screening.saliency] == ["grad-cam"]
    assert "Diseased region (estimate)" not in [region.label for region in regions_of(screening)]
    assert REGION_OUTSIDE not in screening.warnings
    # An evaluation still sees it, and a network that healthy images taught shows it always.
    assert calm.outline(radiograph).disease.shape == radiograph.shape
    taught = ComitNet(calm.card, replace(calm.settings, healthy_regions=True), calm._network)
    assert [item.name for item in taught.screen(radiograph, policy="off").saliency] == ["disease", "grad-cam"]
    alone = ComitNet(calm.card, replace(calm.settings, masks=("lungs",)), calm._network)
    with pytest.raises(BundleError, match="shows no diseased region"):
        alone.outline(radiograph)


def test_decisions_that_contradict_each_other_limit_the_quality(system, radiograph):
    stages = system.card.stages
    called = replaced_points(stages, 0.0) | {UNHEALTHY: replaced_points(stages, 1.0)[UNHEALTHY]}
    doubtful = ComitNet(system.card.model_copy(update={"stages": called}), system.settings, system._network)
    screening = doubtful.screen(radiograph, policy="off")
    assert CONTRADICTION in screening.warnings
    assert screening.quality == "limited"
    assert suggest(screening).action == "cannot_say"


def test_the_region_stands_next_to_the_decision_in_the_report(screening, radiograph, tmp_path):
    shown = write_folder(tmp_path / "result", radiograph, screening)
    assert [thumbnail.name for thumbnail in shown] == ["original", "lung_overlay", "disease", "grad-cam"]
    assert (tmp_path / "result" / "disease.png").is_file()


def test_the_temperature_divides_the_logit(system, bundle, radiograph, screening):
    stages = {name: stage.model_copy(update={"temperature": 2.0}) for name, stage in bundle.card.stages.items()}
    cooler = ComitNet(bundle.card.model_copy(update={"stages": stages}), system.settings, system._network)
    probabilities = cooler.screen(radiograph, policy="off", explain=False).probabilities
    for name, value in screening.probabilities.items():
        assert np.log(probabilities[name] / (1 - probabilities[name])) == pytest.approx(
            np.log(value / (1 - value)) / 2, abs=1e-5
        )


def test_mirrored_a_radiograph_and_its_mirror_image_are_answered_alike(bundle, radiograph, tmp_path):
    folder = shutil.copytree(bundle.folder, tmp_path / "mirrored")
    preprocessing = bundle.card.preprocessing | {"mirrored": True}
    system = load_system(write_card(folder, bundle.card.model_copy(update={"preprocessing": preprocessing})).folder)
    turned = replace(radiograph, pixels=np.ascontiguousarray(radiograph.pixels[:, ::-1]))
    seen, other = system.outputs(radiograph), system.outputs(turned)
    np.testing.assert_allclose(other["lungs"][..., ::-1], seen["lungs"], atol=1e-4)
    np.testing.assert_allclose(other["diagnosis"], seen["diagnosis"], atol=1e-3)
    alone, alone_turned = (load_system(bundle.folder).outputs(each)["diagnosis"] for each in (radiograph, turned))
    assert np.abs(alone - alone_turned).max() > 1e-4
    np.testing.assert_allclose(seen["diagnosis"], (alone + alone_turned) / 2, atol=1e-3)
    assert system.screen(radiograph, policy="off").lung_mask.shape == radiograph.shape


def test_the_embedding_is_what_audits_see(system, radiograph):
    features = system.features(radiograph)
    assert set(features) == {UNHEALTHY, COVID19, OTHER}
    np.testing.assert_array_equal(features[COVID19], system.outputs(radiograph)["pooled"][0])


def test_torch_is_not_imported_on_the_way_to_a_screening(bundle, phantom_data):
    file = phantom_data.image_file(phantom_data.table.index[0])
    code = (
        "import sys; from cxrscreen.imaging.read import read; from cxrscreen.systems.registry import load_system; "
        f"load_system({str(bundle.folder)!r}).screen(read({str(file)!r}), policy='off'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Answering:
    """An engine with fixed answers at 64 pixels."""

    image_shape = (1, 64, 64)

    def __init__(self, weights, **outputs):
        self.weights, self._outputs = weights, outputs

    @property
    def outputs(self):
        return tuple(self._outputs)

    def __call__(self, image):
        return self._outputs


def test_a_bundle_that_learned_no_lungs_asks_the_other_network(system, bundle, radiograph):
    lungs = np.full((1, 1, 64, 64), -9.0, np.float32)
    lungs[..., 12:52, 8:26] = lungs[..., 12:52, 38:56] = 9.0
    region = np.zeros((1, 1, 64, 64), np.float32)
    region[..., 56:, :] = 1.0
    own = dict(system.outputs(radiograph)) | {"disease": region}
    other = ComitNet(
        bundle.card,
        replace(system.settings, masks=("disease",)),
        Answering(system.weights, **own),
        Answering({}, logits=lungs),
    )
    screening = other.screen(radiograph, policy="off")
    assert set(np.unique(screening.lung_mask)) == {0, 1, 2}
    assert screening.lung_area_fraction == pytest.approx(40 * 36 / 64**2, abs=0.05)
    assert REGION_OUTSIDE in screening.warnings
    assert screening.saliency[0].lung_share == pytest.approx(0.0, abs=0.02)


def test_grad_cam_is_that_of_the_gradient():
    import torch

    from cxrscreen.nets.comit import DenseBranch

    torch.manual_seed(1)
    branch = DenseBranch(12, (9, 7))
    maps = torch.rand(1, 12, 3, 4, requires_grad=True)
    pooled = maps.mean(dim=(2, 3))
    branch(pooled)[0, 1].backward()
    alpha = maps.grad.mean(dim=(2, 3), keepdim=True)
    expected = torch.relu((alpha * maps).sum(dim=1))[0].detach().numpy()
    outputs = {"features": maps.detach().numpy(), "pooled": pooled.detach().numpy()}
    weights = {f"diagnosis.{name}": values.detach().numpy() for name, values in branch.state_dict().items()}
    found = branch_grad_cam(outputs, weights, "diagnosis", weights["diagnosis.last.weight"][1])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_grad_cam_of_an_image_and_its_mirror_image_is_that_of_the_mean_logit():
    import torch

    from cxrscreen.nets.comit import DenseBranch

    torch.manual_seed(2)
    branch = DenseBranch(12, (9, 7))
    # Of the mirror image, mirrored back.
    maps = (3 * torch.randn(2, 12, 3, 4)).relu().requires_grad_()
    pooled = maps.mean(dim=(2, 3))
    branch(pooled)[:, 0].mean().backward()
    alpha = maps.grad.mean(dim=(2, 3), keepdim=True)
    expected = torch.relu((alpha * maps).sum(dim=(0, 1))).detach().numpy()
    outputs = {"features": maps.detach().numpy(), "pooled": pooled.detach().numpy()}
    weights = {f"diagnosis.{name}": values.detach().numpy() for name, values in branch.state_dict().items()}
    row = weights["diagnosis.last.weight"][0]
    found = branch_grad_cam(outputs, weights, "diagnosis", row)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    # Other nodes are above zero in either view: the mean of their features has another map.
    mean = {name: values.mean(axis=0, keepdims=True) for name, values in outputs.items()}
    assert np.abs(branch_grad_cam(mean, weights, "diagnosis", row) - expected).max() > 0.1 * expected.max()


def stages(**probabilities):
    return tuple(Stage(name, STAGES[name], value, 0.4, "youden") for name, value in probabilities.items())


@pytest.mark.parametrize(
    ("unhealthy", "covid19", "other", "finding", "said"),
    [
        (0.1, 0.1, 0.2, "normal", None),
        (0.9, 0.8, 0.5, "covid19", None),
        (0.9, 0.5, 0.8, "other_pneumonia", None),
        (0.9, 0.3, 0.1, "other_pneumonia", NO_DISEASE_NAMED),
        (0.1, 0.9, 0.1, "covid19", CONTRADICTION),
    ],
)
def test_findings_by_hand(unhealthy, covid19, other, finding, said):
    made = stages(unhealthy=unhealthy, covid19_against_all=covid19, other_pneumonia=other)
    assert finding_of(made) == finding
    cautions = decision_cautions(made)
    assert [text for text in cautions if text in {CONTRADICTION, NO_DISEASE_NAMED}] == ([said] if said else [])


def test_findings_of_fewer_decisions():
    assert finding_of(stages(unhealthy=0.9)) == "other_pneumonia"
    assert finding_of(stages(unhealthy=0.3)) == "normal"
    assert finding_of(stages(unhealthy=0.9, covid19_against_all=0.39)) == "other_pneumonia"
    assert finding_of(stages(covid19_against_all=0.5)) == "covid19"
    near = decision_cautions(stages(covid19_against_all=0.42))
    assert len(near) == 1
    assert "lies near its threshold" in near[0]


def test_a_card_of_another_kind_is_refused(bundle, tmp_path):
    folder = shutil.copytree(bundle.folder, tmp_path / "bundle")
    with pytest.raises(BundleError, match="preprocessing that this version does not know"):
        load(write_card(folder, bundle.card.model_copy(update={"preprocessing": {"h2": "cam"}})))
    with pytest.raises(BundleError, match="has no decision of this system"):
        load(write_card(folder, bundle.card.model_copy(update={"stages": {}})))
