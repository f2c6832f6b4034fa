import numpy as np
import pytest

from cxrscreen.evaluate.stability import spread_over_trainings


def test_three_trainings_say_little():
    found = spread_over_trainings([0.8, 0.9, 0.85])
    assert found.mean == pytest.approx(0.85)
    assert found.deviation == pytest.approx(0.05)
    # sqrt(2 / 7.3778) and sqrt(2 / 0.05064), the quantiles of chi-squared with two degrees of freedom.
    assert found.low == pytest.approx(0.05 * 0.5207, rel=1e-3)
    assert found.high == pytest.approx(0.05 * 6.285, rel=1e-3)


def test_the_interval_covers_what_it_should():
    rng = np.random.default_rng(0)
    spreads = [spread_over_trainings(rng.normal(0.9, 0.02, 3)) for _ in range(1000)]
    assert np.mean([spread.low <= 0.02 <= spread.high for spread in spreads]) == pytest.approx(0.95, abs=0.02)


def test_one_training_has_no_spread_and_none_no_mean():
    assert spread_over_trainings([0.9]).deviation is None
    for values in ([], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="finite numbers"):
            spread_over_trainings(values)
