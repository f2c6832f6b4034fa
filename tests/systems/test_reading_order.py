import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.systems.contract import Stage
from cxrscreen.systems.reading_order import triage_score

PROBABILITY = st.floats(0, 1)
THRESHOLD = st.floats(0.01, 0.99)


def stage(name, probability, threshold=0.5):
    return Stage(name, name, probability, threshold, "youden")


@given(PROBABILITY, PROBABILITY, PROBABILITY, PROBABILITY, THRESHOLD, THRESHOLD)
def test_the_triage_score_orders_normals_below_pneumonia_and_rises_with_both(p, p_more, c, c_more, t2, t3):
    p, p_more = sorted((p, p_more))
    c, c_more = sorted((c, c_more))

    def score(pneumonia, covid19):
        return triage_score(stage("pneumonia", pneumonia, t2), stage("covid19", covid19, t3))

    assert 0.0 <= score(p, c) <= 1.0
    assert score(p, c) <= score(p_more, c_more) + 1e-12
    if p < t2 <= p_more:
        assert score(p, c) < 0.5 <= score(p_more, c)


@given(PROBABILITY, PROBABILITY, PROBABILITY, THRESHOLD, THRESHOLD)
def test_where_a_vote_makes_the_finding_the_score_stays_on_its_side(p, p_more, c, t2, t3):
    def score(probability, diseased):
        return triage_score(stage("pneumonia", probability, t2), stage("viral", c, t3), diseased=diseased)

    assert 0.0 <= score(p, False) < 0.5 <= score(p, True) <= 1.0
    for diseased in (False, True):
        assert score(min(p, p_more), diseased) <= score(max(p, p_more), diseased) + 1e-12
    # Where the first decision says the same, nothing moves.
    own = stage("pneumonia", p, t2)
    assert score(p, own.positive) == triage_score(own, stage("viral", c, t3))


def test_the_score_by_hand():
    # 0.25 + 0.5 * 0.75 + 0.25 * 0.25, and half the way to the threshold.
    assert triage_score(stage("pneumonia", 0.75), stage("covid19", 0.25)) == pytest.approx(0.6875)
    assert triage_score(stage("pneumonia", 0.2, 0.4), stage("covid19", 0.9)) == pytest.approx(0.25)
    assert triage_score(stage("pneumonia", 1.0, 1.0), stage("covid19", None)) == 1.0
    with pytest.raises(ValueError, match="always asked"):
        triage_score(stage("pneumonia", None), stage("covid19", 0.5))
