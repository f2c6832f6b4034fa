import numpy as np

from cxrscreen.systems.cautions import LIMITING, lung_cautions


def test_what_is_odd_about_the_lungs_is_said():
    lungs = np.zeros((10, 10), np.uint8)
    lungs[:, :4] = 1
    assert "No lungs" in lung_cautions(lungs, trusted=False)[0]
    assert "Only one lung" in lung_cautions(lungs, trusted=True)[0]
    lungs[:5, 8] = 2
    assert "much smaller" in lung_cautions(lungs, trusted=True)[0]
    lungs[:, 6:] = 2
    assert lung_cautions(lungs, trusted=True) == []


def test_every_sentence_about_lungs_limits_the_trust():
    lungs = np.zeros((4, 4), np.uint8)
    assert lung_cautions(lungs, trusted=False)[0] in LIMITING
    lungs[0, 0] = 1
    assert lung_cautions(lungs, trusted=True)[0] in LIMITING
