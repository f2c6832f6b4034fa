import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest

from cxrscreen.biomarkers.cardiothoracic import cardiothoracic_ratio
from cxrscreen.data.masks import read_lung_mask
from cxrscreen.errors import BundleError
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import write_card
from cxrscreen.systems.patch_voting import modes
from cxrscreen.systems.patch_voting.ballots import ask_patches
from cxrscreen.systems.patch_voting.pipeline import (
    MAP_TITLES,
    NOT_TOLD_APART,
    TITLES,
    Organs,
    load,
    vote_warnings,
)
from cxrscreen.systems.patch_voting.preprocessing import patch_image
from cxrscreen.systems.patch_voting.voting import CLASSES, Vote, majority_vote, vote_scores
from cxrscreen.systems.registry import load_system


@pytest.fixture(scope="module")
def system(tiny_bundle):
    return load_system(tiny_bundle.folder, threads=1)


@pytest.fixture(scope="module")
def radiograph(phantom_data):
    return read(phantom_data.image_file(phantom_data.table.index[0]))


@pytest.fixture(scope="module")
def screening(system, radiograph):
    return system.screen(radiograph, policy="off")


def test_a_screening_has_every_class(screening, radiograph):
    assert screening.status == "screened"
    assert [stage.name for stage in screening.stages] == list(TITLES)
    shares = screening.probabilities
    assert shares["pneumonia"] == pytest.approx(
        shares["bacterial"] + shares["tuberculosis"] + shares["viral"], abs=1e-5
    )
    assert 0 <= screening.triage_score <= 1
    assert list(screening.classes) == list(CLASSES)
    assert sum(screening.classes.values()) == pytest.approx(1)
    # The finding is the class that won, by its own name: never COVID-19, which is not told from other viruses.
    assert screening.finding == max(screening.classes, key=screening.classes.get)
    assert screening.lung_mask.shape == radiograph.shape
    assert set(np.unique(screening.lung_mask)) <= {0, 1, 2}
    assert not (screening.heart_mask & (screening.lung_mask > 0)).any()


def test_a_heart_that_was_found_comes_with_the_screening(tiny_bundle, radiograph, phantom_data, monkeypatch):
    mask = read_lung_mask(phantom_data.mask_file(str(phantom_data.table.index[0])))
    small = cv2.resize(mask, (64, 64), interpolation=cv2.INTER_NEAREST)
    known = Organs(np.stack([(small == organ).astype(np.float32) for organ in range(4)]), small)
    system = load_system(tiny_bundle.folder, threads=1)
    monkeypatch.setattr(system, "segment", lambda _: known)
    found = system.screen(radiograph, policy="off", explain=False)
    both = np.where(found.heart_mask, 3, found.lung_mask)
    assert cardiothoracic_ratio(both).ratio == pytest.approx(cardiothoracic_ratio(mask).ratio, abs=0.05)


def test_maps_of_all_classes_and_of_where_was_looked(screening, radiograph):
    names = [saliency.name for saliency in screening.saliency]
    assert sorted(names) == sorted([*MAP_TITLES, "looked-at"])
    # How often a place was looked at explains no decision, and no map speaks of places that no patch covers.
    assert sorted(item.name for item in screening.explanations) == sorted(MAP_TITLES)
    coverage = screening.saliency[-1]
    assert coverage.kind == "coverage"
    assert 0 < coverage.looked_at.mean() < 1
    assert (coverage.values[coverage.looked_at] > 0).all()
    for saliency in screening.saliency:
        assert saliency.values.shape == radiograph.shape
        assert saliency.values.min() >= 0
        assert saliency.values.max() <= 1
        assert saliency.values[~saliency.looked_at].max(initial=0) == 0
        np.testing.assert_array_equal(saliency.looked_at, coverage.looked_at)
    assert coverage.values.max() == pytest.approx(1, abs=0.2)


def test_the_same_image_gives_the_same_result(system, radiograph, screening):
    again = system.screen(radiograph, policy="off", explain=False)
    assert again.probabilities == screening.probabilities
    assert again.saliency == ()


@pytest.fixture(scope="module")
def network(tiny_bundle):
    return load_engine(tiny_bundle.file("classifier.onnx"), threads=1)


@pytest.mark.parametrize("batch", [1, 4, 6, 50])
def test_votes_do_not_depend_on_the_batch(system, network, batch):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (128, 128)).astype(np.uint8)
    lungs = np.zeros((128, 128), bool)
    lungs[20:100, 20:100] = True
    settings = system.settings
    first = ask_patches(network, image, lungs, settings)
    other = ask_patches(network, image, lungs, settings, batch)
    np.testing.assert_array_equal(first.corners, other.corners)
    np.testing.assert_allclose(first.probabilities, other.probabilities, atol=1e-5)
    np.testing.assert_array_equal(majority_vote(first.probabilities).counts, majority_vote(other.probabilities).counts)
    assert len(first.probabilities) == settings.patches


def test_every_mode_votes_on_the_same_patches(system, radiograph):
    assert system.modes == ("exact", "bf16", "early", "shared")
    image = patch_image(radiograph.pixels, system.settings)
    lungs = np.zeros(image.shape, bool)
    lungs[20:100, 20:100] = True

    def asked(mode, **changes):
        return system._modes[mode]()(image, lungs, replace(system.settings, **changes))

    exact = asked("exact")
    for mode in system.modes:
        np.testing.assert_array_equal(asked(mode).corners, exact.corners)
        assert (asked(mode, seed=1).corners != exact.corners).any()
    np.testing.assert_allclose(asked("bf16").probabilities, exact.probabilities, atol=0.01)


def told(system, probabilities, seen=(), **changes):
    """The system whose patches say what is given, and which notes the settings it asks them with."""

    def ask(image, lungs, settings):
        seen.append(settings)
        ballot = system._modes["exact"]()(image, lungs, settings)
        return replace(ballot, probabilities=np.array(probabilities, np.float32))

    settings = replace(system.settings, mode="shared", **changes)
    return type(system)(system.card, settings, system._organs, {"shared": lambda: ask})


NORMAL_BY_VOTES = [[0.4, 0.3, 0.3, 0.0]] * 4 + [[0.0, 0.1, 0.1, 0.8]] * 2
VIRAL_BY_VOTES = [[0.3, 0.0, 0.3, 0.4]] * 4 + [[0.9, 0.0, 0.0, 0.1]] * 3


@pytest.mark.parametrize(("probabilities", "finding"), [(NORMAL_BY_VOTES, "normal"), (VIRAL_BY_VOTES, "viral")])
def test_the_reading_list_is_ordered_by_the_finding(system, radiograph, probabilities, finding):
    found = told(system, probabilities, []).screen(radiograph, policy="off", explain=False)
    assert found.finding == finding
    assert (found.triage_score >= 0.5) == (finding != "normal")
    # The decision by the mean probability says the opposite of both.
    assert found.stages[0].positive == (finding == "normal")


def test_features_are_of_one_mode_however_close_the_vote(system, radiograph):
    seen = []
    close = told(system, NORMAL_BY_VOTES, seen, ask_again=0.5)
    close.features(radiograph)
    close.vote(radiograph)
    assert [settings.ask_again for settings in seen] == [0.0, 0.5]


def test_a_mode_that_several_threads_ask_for_is_loaded_once(tiny_bundle, monkeypatch):
    loads = []

    def slow(*_):
        loads.append(1)
        time.sleep(0.02)

    monkeypatch.setattr(modes, "engine_for", slow)
    exact = modes.load_modes(tiny_bundle)["exact"]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: exact(), range(4)))
    assert len(loads) == 1
    assert all(ask is found[0] for ask in found)


@pytest.mark.parametrize("mode", ["early", "shared"])
def test_screening_asks_in_the_mode_of_the_card(tiny_bundle, system, radiograph, screening, tmp_path, mode):
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    card = tiny_bundle.card
    fast = load(write_card(folder, card.model_copy(update={"preprocessing": card.preprocessing | {"mode": mode}})))
    found = fast.screen(radiograph, policy="off")
    vote = system.vote(radiograph, mode)
    assert found.probabilities["viral"] == pytest.approx(vote.probabilities[3], abs=1e-6)
    assert {item.name for item in found.explanations} == {item.name for item in screening.explanations}
    np.testing.assert_array_equal(found.saliency[-1].values, screening.saliency[-1].values)


def test_a_mode_without_its_networks_is_a_sentence(tiny_bundle, system, radiograph, tmp_path):
    lacking = type(system)(system.card, system.settings, system._organs, {})
    with pytest.raises(BundleError, match="no networks for the mode shared"):
        lacking.vote(radiograph, "shared")
    files = {name: digest for name, digest in tiny_bundle.card.files.items() if name != "classifier-late.onnx"}
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    settings = tiny_bundle.card.preprocessing | {"mode": "early"}
    card = tiny_bundle.card.model_copy(update={"files": files, "preprocessing": settings})
    with pytest.raises(BundleError, match="asks in the mode early"):
        load(write_card(folder, card))


def test_features_are_those_of_the_patches(system, radiograph):
    features = system.features(radiograph)
    assert set(features) == set(TITLES)
    assert features["viral"].ndim == 1
    assert np.isfinite(features["viral"]).all()


def test_a_refused_radiograph_has_no_result(system, radiograph, monkeypatch):
    from cxrscreen.systems.contract import Concern, Verdict
    from cxrscreen.systems.patch_voting import pipeline

    refused = Verdict("standard", (Concern("not_a_chest", "No chest.", "refuse"),))
    monkeypatch.setattr(pipeline, "judge", lambda *_, **__: refused)
    result = system.screen(radiograph)
    assert result.status == "refused"
    assert set(result.probabilities.values()) == {None}


def test_torch_is_not_imported_on_the_way_to_a_screening(tiny_bundle, phantom_data):
    file = phantom_data.image_file(phantom_data.table.index[0])
    code = (
        "import sys; from cxrscreen.imaging.read import read; from cxrscreen.systems.registry import load_system; "
        f"load_system({str(tiny_bundle.folder)!r}).screen(read({str(file)!r}), policy='off'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_card_of_another_kind_is_refused(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle.folder, tmp_path / "bundle")
    card = tiny_bundle.card
    strange = write_card(folder, card.model_copy(update={"preprocessing": {"h2": "cam"}}))
    with pytest.raises(BundleError, match="preprocessing that this version does not know"):
        load(strange)
    lacking = {name: stage for name, stage in card.stages.items() if name != "viral"}
    with pytest.raises(BundleError, match="lacks the decision viral"):
        load(write_card(folder, card.model_copy(update={"stages": lacking})))


def test_a_close_vote_and_the_viral_class_are_explained():
    def vote(*counts):
        total = np.array(counts) / sum(counts)
        return Vote(int(np.argmax(counts)), np.array(counts), total)

    assert len(CLASSES) == 4
    assert vote_warnings(vote(90, 4, 3, 3)) == []
    close = vote_warnings(vote(10, 42, 7, 41))
    assert "42 of 100 patches for bacterial pneumonia and 41 for viral" in close[0]
    assert vote_warnings(vote(3, 3, 4, 90)) == [NOT_TOLD_APART]
    # One view of the whole image has no patches to count: it is close where its probabilities are.
    assert vote_warnings(vote(1, 0, 0, 0)) == []
    unsure = majority_vote(np.array([[0.26, 0.245, 0.245, 0.25]], np.float32))
    assert "0.26 for normal and 0.25 for viral" in vote_warnings(unsure)[0]
    np.testing.assert_allclose(vote_scores(unsure), [0.26, 0.245, 0.245, 0.25], atol=1e-6)
