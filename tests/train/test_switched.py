import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cxrscreen.data.masks import IGNORE
from cxrscreen.train.switched import Term, diagnosis_term, health_term, mask_term, switched_sum

NAN = float("nan")


def test_mask_entropy_by_hand():
    # The foreground's share of the softmax is 1/2, 3/4, 1/4: ln 2, ln 4/3 and ln 4/3.
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 1, 0] = torch.log(torch.tensor([1.0, 3.0, 1 / 3]))
    target = torch.tensor([[[1, 1, 0]]], dtype=torch.uint8)
    loss, on = mask_term(logits, target)
    assert loss.item() == pytest.approx((np.log(2) + 2 * np.log(4 / 3)) / 3, abs=1e-6)
    assert on.tolist() == [True]
    heavier, _ = mask_term(logits, target, inside_weight=2.0)
    assert heavier.item() == pytest.approx((2 * np.log(2) + 3 * np.log(4 / 3)) / 3, abs=1e-6)


def test_labels_by_hand():
    health = health_term(torch.tensor([[0.0, np.log(3.0)], [0.0, np.log(3.0)]]), torch.tensor([1.0, 0.0]))
    assert health.loss.tolist() == pytest.approx([np.log(4 / 3), np.log(4)], abs=1e-6)
    # Probabilities 3/4 and 1/2.
    logits = torch.tensor([[np.log(3.0), 0.0]], dtype=torch.float32)
    assert diagnosis_term(logits, torch.tensor([[1.0, 0.0]])).loss.item() == pytest.approx(
        np.log(4 / 3) + np.log(2), abs=1e-6
    )
    assert diagnosis_term(logits, torch.tensor([[0.0, NAN]])).loss.item() == pytest.approx(np.log(4), abs=1e-6)


def test_what_is_switched_off_has_a_gradient_of_exactly_zero():
    masks, labels = torch.randn(4, 2, 6, 6, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    other = torch.randn(4, 2, requires_grad=True)
    target = torch.randint(0, 2, (4, 6, 6))
    target[1] = IGNORE
    target[2, :3] = IGNORE
    terms = {
        "lungs": mask_term(masks, target, inside_weight=3.0),
        "health": health_term(labels, torch.tensor([1.0, 0.0, NAN, NAN])),
        "diagnosis": diagnosis_term(other, torch.tensor([[1.0, NAN], [NAN, NAN], [0.0, 0.0], [1.0, 0.0]])),
    }
    assert terms["lungs"].on.tolist() == [True, False, True, True]
    assert terms["health"].on.tolist() == [True, True, False, False]
    assert terms["diagnosis"].on.tolist() == [True, False, True, True]
    switched_sum(terms, dict.fromkeys(terms, 1.0)).backward()
    assert torch.equal(masks.grad[1], torch.zeros(2, 6, 6))
    assert torch.equal(masks.grad[2, :, :3], torch.zeros(2, 3, 6))
    assert masks.grad[[0, 3]].abs().min() > 0
    assert torch.equal(labels.grad[2:], torch.zeros(2, 2))
    assert labels.grad[:2].abs().min() > 0
    assert (other.grad == 0).tolist() == [[False, True], [True, True], [False, False], [False, False]]


def test_the_sum_over_images_or_over_those_with_a_label():
    terms = {
        "lungs": Term(torch.tensor([2.0, 0.0, 0.0, 0.0]), torch.tensor([True, False, False, False])),
        "health": Term(torch.tensor([1.0, 1.0, 2.0, 0.0]), torch.tensor([True, True, True, False])),
    }
    weights = {"lungs": 1.0, "health": 3.0}
    assert switched_sum(terms, weights).item() == pytest.approx(2 / 4 + 3 * 4 / 4)
    assert switched_sum(terms, weights, "labelled").item() == pytest.approx(2 / 1 + 3 * 4 / 3)
    nothing = {"lungs": Term(torch.zeros(2), torch.zeros(2, dtype=torch.bool))}
    assert switched_sum(nothing, {"lungs": 1.0}, "labelled").item() == 0.0


@settings(max_examples=30, deadline=None)
@given(
    arrays(np.float32, (3, 2), elements=st.floats(-20, 20, width=32)),
    arrays(np.float32, (3, 2), elements=st.sampled_from([0.0, 1.0, NAN])),
)
def test_no_switch_changes_what_the_others_cost(logits, truth):
    given_logits = torch.from_numpy(logits)
    together = diagnosis_term(given_logits, torch.from_numpy(truth))
    for column in (0, 1):
        alone = truth.copy()
        alone[:, 1 - column] = NAN
        other = truth.copy()
        other[:, column] = NAN
        apart = sum(diagnosis_term(given_logits, torch.from_numpy(own)).loss for own in (alone, other))
        torch.testing.assert_close(together.loss, apart)
    assert torch.isfinite(together.loss).all()
    assert (together.loss[~together.on] == 0).all()
