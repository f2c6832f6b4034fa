"""What must hold on real radiographs, where the data pack is present."""

import numpy as np
import pytest

from cxrscreen.data.masks import lung_target, read_lung_mask
from cxrscreen.data.protocols import PARTS, make_split
from cxrscreen.imaging.read import read
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.registry import load_system

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize("name", ["lungs", "stage2", "stage3"])
def test_the_splits_are_those_in_the_card_and_hold_every_label_of_a_patient_together(pack, name):
    split = make_split(name, pack)
    assert split.digest == open_bundle("cascade").card.data.splits[name]
    patients = pack.table["patient_id"]
    known = [{patients[i] for i in split.part(part) if patients[i]} for part in PARTS]
    assert not known[0] & known[1]
    assert not known[0] & known[2]
    assert not known[1] & known[2]


def test_a_sample_of_every_source_is_screened(pack):
    system = load_system("cascade")
    for _, rows in pack.table.groupby("source"):
        for image_id in rows["image_id"].iloc[:2]:
            screening = system.screen(read(pack.image_file(image_id)), force=True, explain=False)
            assert 0.0 < screening.triage_score < 1.0


def test_lungs_of_test_images_are_found(pack):
    system = load_system("cascade")
    dice = []
    for image_id in make_split("lungs", pack).test[::10]:
        mask_file = pack.mask_file(image_id)
        assert mask_file is not None
        truth = lung_target(read_lung_mask(mask_file)) > 0
        found = system.screen(read(pack.image_file(image_id)), explain=False).lung_mask > 0
        dice.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert np.mean(dice) > 0.93
