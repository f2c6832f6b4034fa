from cxrscreen.data.public_sources import SOURCES
from cxrscreen.evaluate.audit.labelling import LABELLED_BY, UNKNOWN_SOURCE, labelled_by


def test_an_audit_can_say_who_labelled_every_public_source():
    assert SOURCES.keys() <= LABELLED_BY.keys()
    assert all(who and how for who, how in LABELLED_BY.values())
    assert labelled_by("bimcv-positive") != labelled_by("a hospital of one's own") == UNKNOWN_SOURCE
