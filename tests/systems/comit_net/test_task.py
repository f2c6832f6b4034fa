import numpy as np
import pytest
import torch

from cxrscreen.data.masks import IGNORE
from cxrscreen.nets.comit import ComitNet, VggEncoder
from cxrscreen.nets.vgg import VGG
from cxrscreen.systems.comit_net.recipe import LossRules
from cxrscreen.systems.comit_net.task import outcomes, score_of, terms, validation_measures
from cxrscreen.train.switched import switched_sum

NAN = float("nan")


def test_pixels_are_counted_where_the_truth_is_known():
    logits = torch.zeros(1, 2, 1, 5)
    logits[0, 1, 0] = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    target = torch.tensor([[[1, 0, 1, 0, IGNORE]]])
    assert [values.tolist() for values in outcomes(logits, target)] == [[1.0], [1.0], [1.0]]


def seen(**changes):
    count = 24
    truth = torch.tensor([0.0, 1.0] * (count // 2))
    columns = {
        "lung_iou": torch.full((count,), NAN),
        "found": torch.full((count,), NAN),
        "false": torch.full((count,), NAN),
        "missed": torch.full((count,), NAN),
        "health": truth,
        "log_odds": truth * 2,
        "diagnosis": torch.stack([truth, torch.full_like(truth, NAN)], dim=1),
        "logits": torch.stack([-truth, truth], dim=1),
    }
    return columns | changes


def test_each_task_has_its_measure():
    iou = torch.full((24,), NAN)
    iou[:2] = torch.tensor([0.8, 0.6])
    pixels = {name: torch.tensor([value, *[NAN] * 23]) for name, value in (("found", 6), ("false", 2), ("missed", 4))}
    measures = validation_measures(seen(lung_iou=iou, **pixels), np.array(["one", "two"] * 12))
    assert measures == {
        "lung_iou": pytest.approx(0.7),
        "region_sensitivity": 0.6,
        "region_precision": 0.75,
        "auc_health": 1.0,
        "auc_covid19": 0.0,
    }
    assert score_of(measures) == pytest.approx((0.7 + 1.0 + 0.0) / 3)


def test_what_cannot_be_told_is_left_out():
    nothing = torch.full((24,), NAN)
    measures = validation_measures(
        seen(health=nothing, log_odds=nothing, logits=torch.full((24, 2), NAN)), np.array(["one"] * 24)
    )
    assert measures == {}
    assert score_of(measures) is None
    assert score_of({"region_sensitivity": 1.0, "region_precision": 0.5}) == 0.75


def test_the_auc_is_pooled_and_within_sources():
    truth = torch.tensor([0.0, 1.0] * 20)
    scores = truth.clone()
    scores[20:] = 1 - scores[20:]
    nothing = torch.full((40,), NAN)
    sources = np.array(["right"] * 20 + ["wrong"] * 20)
    columns = dict.fromkeys(("lung_iou", "found", "false", "missed"), nothing)
    columns |= {"health": truth, "log_odds": scores}
    columns |= {"diagnosis": torch.full((40, 2), NAN), "logits": torch.full((40, 2), NAN)}
    assert validation_measures(columns, sources) == {"auc_health": pytest.approx((0.5 + 0.5) / 2)}
    one = {name: values[:20] for name, values in columns.items()}
    assert validation_measures(one, sources[:20]) == {"auc_health": 1.0}


@pytest.mark.parametrize("known", ["lungs", "disease", "health", "diagnosis", None])
def test_a_batch_with_one_kind_of_label_moves_that_tasks_layers_alone(known):
    torch.manual_seed(0)
    network = ComitNet(VggEncoder(VGG(16, 1, width=1 / 32)), nodes=(8, 8))
    image = torch.rand(3, 1, 32, 32)
    batch = [image, torch.full((3, 32, 32), IGNORE), torch.full((3, 32, 32), IGNORE)]
    batch += [torch.full((3,), NAN), torch.full((3, 2), NAN), torch.arange(3)]
    place = {"lungs": 1, "disease": 2, "health": 3, "diagnosis": 4}
    if known is not None:
        batch[place[known]] = torch.ones_like(batch[place[known]])
    rules = LossRules(over="labelled")
    found = terms(network(image), tuple(batch), rules)
    assert {name for name, term in found.items() if term.on.any()} == ({known} - {None})
    switched_sum(found, rules.weights(), rules.over).backward()
    for name in place:
        moved = any(values.grad.abs().sum() > 0 for values in getattr(network, name).parameters())
        assert moved == (name == known)
