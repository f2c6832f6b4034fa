"""The share of a score's change that comes from outside the lungs."""

import math

import numpy as np
import pytest

from cxrscreen.evaluate.audit.occlusion import audit_occlusion, outside_share


def test_the_share_is_worked_out_by_hand():
    # 3 of lung, 1 half lung, 2 outside: (0.5 + 2) / 6.
    share = outside_share(np.array([3.0, 1.0, 2.0]), np.array([1.0, 0.5, 0.0]))
    assert share == pytest.approx(2.5 / 6)
    assert math.isnan(outside_share(np.zeros(3), np.ones(3)))


def test_who_reads_the_lungs_passes_and_who_reads_a_corner_fails(audit_of, lungs, corner):
    inside, outside = (audit_occlusion(audit_of(place, images=40)) for place in (lungs, corner))
    assert inside.passed is True
    assert outside.passed is False
    assert outside.tables[0].rows[0][3].value == pytest.approx(1.0)
    row = inside.tables[0].rows[0]
    assert row[1] == 32
    assert row[3].value < row[4].value
    assert row[5].value == pytest.approx(row[3].value - row[4].value)
    assert "not be concluded" not in inside.finding
