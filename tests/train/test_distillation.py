import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cxrscreen.train.distillation import binary_divergence, incremental_loss


def test_divergence_by_hand_and_against_torch():
    teacher, student = torch.tensor([0.0, 2.0]), torch.tensor([np.log(3.0), -1.0])
    # First: outputs (1/2, 1/2) against (3/4, 1/4): 1/2 ln(2/3) + 1/2 ln 2.
    assert float(binary_divergence(teacher, student)[0]) == pytest.approx(
        0.5 * np.log(2 / 3) + 0.5 * np.log(2), abs=1e-6
    )
    two = [torch.stack([-x, x], dim=1) / 2 for x in (student, teacher)]
    expected = F.kl_div(F.log_softmax(two[0], 1), F.softmax(two[1], 1), reduction="none").sum(dim=1)
    torch.testing.assert_close(binary_divergence(teacher, student), expected)


def test_lambda_zero_is_plain_training_on_all_images():
    logits, truth = torch.randn(6), torch.tensor([0.0, 1, 0, 1, 1, 0])
    teacher = torch.tensor([0.3, -1, torch.nan, torch.nan, 2, 1])
    plain = F.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(incremental_loss(logits, truth, teacher, 0.0), plain)


def test_equation_2_divides_by_all_images_and_distils_on_the_old_ones_only():
    logits = torch.tensor([0.5, -0.5, 1.0], requires_grad=True)
    truth, teacher = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([2.0, torch.nan, -1.0])
    loss = incremental_loss(logits, truth, teacher, 3.0)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    divergence = binary_divergence(teacher, logits)
    expected = (entropy.sum() + 3.0 * (divergence[0] + divergence[2])) / 3
    torch.testing.assert_close(loss, expected)
    loss.backward()
    # The new image's gradient is that of cross-entropy alone.
    assert logits.grad is not None
    assert float(logits.grad[1]) == pytest.approx(float(torch.sigmoid(torch.tensor(-0.5))) / 3, abs=1e-6)


def test_agreement_with_the_teacher_costs_nothing():
    same = torch.randn(5)
    torch.testing.assert_close(binary_divergence(same, same), torch.zeros(5), atol=1e-6, rtol=0)
