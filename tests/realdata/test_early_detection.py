"""The days that public collections give."""

import pytest

from cxrscreen.evaluate.early_detection.tables import offsets_of
from cxrscreen.evaluate.early_detection.timelines import since_reference

pytestmark = pytest.mark.realdata


def test_days_since_onset_or_admission(pack):
    patients, left_out = offsets_of(pack)
    assert len(patients) >= 150
    assert {patient.reference for patient in patients} == {"admission", "symptom onset or admission"}
    assert left_out["days count from two events"] < 20
    images = [image for patient in patients for image, _ in patient.images]
    assert len(images) == len(set(images))
    assert not pack.table.loc[images, "duplicate_of"].any()
    by_event, unscored = since_reference(patients, dict.fromkeys(images, True))
    assert unscored == {}
    assert sum(map(len, by_event.values())) == len(patients)
    assert all(line.first_call == line.calls[0][0] for lines in by_event.values() for line in lines)
