"""DeLong against a published worked example and against the definition."""

import numpy as np
import pytest

from cxrscreen.evaluate.delong import delong_difference, delong_interval, delong_variance
from cxrscreen.evaluate.metrics import auc

# Surgery for ovarian cancer, the example of DeLong, DeLong and Clarke-Pearson as the SAS/STAT manual reprints it
# ("Comparing Receiver Operating Characteristic Curves"): albumin, total protein, Krebs-Goplerud score, outcome.
OVARIAN = np.fromstring(
    """3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0
       1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1
       4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1
       3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1
       3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1
       3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
       3.6 6.6 5 1""",
    sep=" ",
).reshape(-1, 4)
OUTCOME = OVARIAN[:, 3].astype(int)


@pytest.mark.parametrize(
    ("scores", "area", "error", "low", "high"),
    [
        (OVARIAN[:, 0], 0.7366, 0.0927, 0.5549, 0.9182),
        (OVARIAN[:, 1], 0.6478, 0.1000, 0.4518, 0.8439),
        (-OVARIAN[:, 2], 0.7258, 0.1028, 0.5243, 0.9273),
    ],
    ids=["albumin", "total protein", "Krebs-Goplerud"],
)
def test_interval_of_the_published_example(scores, area, error, low, high):
    assert delong_interval(OUTCOME, scores) == pytest.approx((area, low, high), abs=6e-5)
    assert delong_variance(OUTCOME, scores)[1] ** 0.5 == pytest.approx(error, abs=6e-5)


def test_variance_equals_the_definition():
    rng = np.random.default_rng(4)
    truth = np.arange(60) % 3 == 0
    scores = np.round(rng.normal(size=60) + truth, 1)
    win = (scores[truth][:, None] > scores[~truth]) + 0.5 * (scores[truth][:, None] == scores[~truth])
    of_positives, of_negatives = win.mean(axis=1), win.mean(axis=0)
    expected = of_positives.var(ddof=1) / of_positives.size + of_negatives.var(ddof=1) / of_negatives.size
    area, variance = delong_variance(truth, scores)
    assert area == pytest.approx(auc(truth, scores), abs=1e-12)
    assert variance == pytest.approx(expected, abs=1e-12)


def test_difference_of_a_score_with_itself_is_nothing_and_pairing_narrows_it():
    assert delong_difference(OUTCOME, OVARIAN[:, 0], OVARIAN[:, 0]) == pytest.approx((0, 0, 0), abs=1e-12)
    difference, low, high = delong_difference(OUTCOME, OVARIAN[:, 0], OVARIAN[:, 1])
    assert difference == pytest.approx(0.7366 - 0.6478, abs=1e-4)
    unpaired = (0.0927**2 + 0.1000**2) ** 0.5
    assert high - low < 2 * 1.96 * unpaired


def test_one_positive_has_no_variance():
    with pytest.raises(ValueError, match="at least two"):
        delong_interval([1, 0, 0], [0.9, 0.1, 0.2])
