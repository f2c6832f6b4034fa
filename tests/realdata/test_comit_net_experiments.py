"""Which images of the data pack the COMiT-Net tables ask about; no image is read and nothing is trained."""

from pathlib import Path

import pytest

from cxrscreen.evaluate.reproduce.comit_net.recipe import load_variants
from cxrscreen.systems.comit_net.answers import LEFT_OUT
from cxrscreen.systems.comit_net.experiments import asked_images
from cxrscreen.systems.comit_net.splits import parts_of

pytestmark = pytest.mark.realdata

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def own():
    return load_variants(RECIPES / "reproduce-comit-net.yaml").own


@pytest.mark.parametrize("left_out", [(), ("cohen",), ("hannover", "montgomery")])
def test_who_is_asked_has_taught_nothing(pack, own, left_out):
    data = own.data.model_copy(update={"left_out": left_out})
    parts = parts_of(own.model_copy(update={"data": data}), pack)
    asked = asked_images(own, pack, left_out)
    group = pack.table["group"].to_dict()
    taught = {group[i] for i in parts.train.image_ids}
    held = [i for i, part in asked.parts.items() if part in {"test", LEFT_OUT}]
    assert not [i for i in (*held, *asked.lungs, *asked.disease) if group[i] in taught]
    source = pack.table["source"].to_dict()
    assert {source[i] for i, part in asked.parts.items() if part == LEFT_OUT} == set(left_out)
    # Children are not asked about, and Hannover's images of Cohen's patients are left out with Cohen.
    assert not (pack.table.loc[list(asked.parts), "pediatric"] == "true").any()
    if left_out == ("cohen",):
        patients = set(pack.table.loc[pack.table["source"] == "cohen", "group"])
        assert {source[i] for i in pack.table.index if group[i] in patients} > {"cohen"}
        assert not taught & patients


def test_what_is_measured_is_not_little(pack, own):
    asked = asked_images(own, pack)
    label = pack.table["label"].to_dict()
    tested = [i for i, part in asked.parts.items() if part == "test"]
    assert sum(label[i] == "covid19" for i in tested) > 400
    assert sum(label[i] != "covid19" for i in tested) > 300
    assert len(asked.lungs) > 100
    # Few boxes are held out: the table says how many.
    assert 3 <= len(asked.disease) <= 15
    never = asked_images(own, pack, ("cohen",)).parts
    cohen = [i for i, part in never.items() if part == LEFT_OUT]
    assert sum(label[i] == "covid19" for i in cohen) > 200
    assert sum(label[i] != "covid19" for i in cohen) > 40
