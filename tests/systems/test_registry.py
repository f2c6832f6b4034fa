from importlib.metadata import EntryPoint

import pytest
import yaml

from cxrscreen.errors import BundleError
from cxrscreen.systems import registry
from cxrscreen.systems.bundle import open_bundle, shipped_bundles
from cxrscreen.systems.registry import bundle_named


def test_the_shipped_bundles_are_found_by_name():
    shipped = shipped_bundles()
    assert "cascade" in shipped
    for name, folder in shipped.items():
        assert open_bundle(folder).folder == open_bundle(name).folder


def test_a_system_stands_for_its_shipped_bundle():
    assert bundle_named(None, "cascade") == "cascade"
    assert bundle_named("somewhere", None) == "somewhere"
    assert bundle_named("cascade", "cascade") == "cascade"


def test_what_cannot_be_chosen_is_a_sentence(monkeypatch):
    with pytest.raises(BundleError, match="Name a bundle, or a system"):
        bundle_named(None, None)
    with pytest.raises(BundleError, match="There is no system 'oracle'"):
        bundle_named(None, "oracle")
    with pytest.raises(BundleError, match="cascade is for the system cascade, not for patch_voting"):
        bundle_named("cascade", "patch_voting")
    monkeypatch.setattr(registry, "shipped_bundles", dict)
    with pytest.raises(BundleError, match="No bundle of the system covid_cxnet ships with this version: train one"):
        bundle_named(None, "covid_cxnet")


def test_another_distribution_brings_a_system_and_takes_no_name(monkeypatch):
    points = (
        EntryPoint("hazy", "installed_nowhere", registry.GROUP),
        EntryPoint("cascade", "impostor", registry.GROUP),
    )
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == registry.GROUP else ())
    assert registry.systems()["hazy"] == "installed_nowhere"
    assert registry.systems()["cascade"] == "cxrscreen.systems.cascade"
    assert list(registry.systems())[: len(registry.SYSTEMS)] == list(registry.SYSTEMS)
    assert registry.known_system("hazy") == "hazy"
    assert registry.part_of("cascade", "decisions").DECISIONS
    with pytest.raises(ModuleNotFoundError):
        registry.part_of("hazy", "pipeline")
    with pytest.raises(BundleError, match="There is no system 'oracle'.*hazy"):
        registry.part_of("oracle", "pipeline")


def test_a_bundle_of_an_unknown_system_is_named(tmp_path):
    card = yaml.safe_load((open_bundle("cascade").folder / "card.yaml").read_text(encoding="utf-8"))
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card | {"system": "oracle", "files": {}}), encoding="utf-8")
    with pytest.raises(BundleError, match="for the system 'oracle', which this version does not have"):
        registry.load_system(tmp_path)
