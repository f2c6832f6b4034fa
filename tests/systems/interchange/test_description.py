"""What is said of the shipped bundles' networks, read without running them."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import BundleError
from cxrscreen.systems import registry
from cxrscreen.systems.bundle import open_bundle, shipped_bundles
from cxrscreen.systems.interchange.description import (
    channels_of,
    decides,
    deciding,
    description_of,
    digest_of,
    path_of,
    words_of,
)
from cxrscreen.systems.interchange.networks import networks_of
from cxrscreen.systems.interchange.pages import licence_of, page_of
from cxrscreen.systems.registry import SYSTEMS


@pytest.fixture(params=sorted(shipped_bundles()))
def bundle(request):
    return open_bundle(request.param)


def test_every_graph_of_a_bundle_belongs_to_one_network(bundle):
    networks = networks_of(bundle)
    graphs = [graph.file.name for network in networks for graph in network.graphs]
    assert sorted(graphs) == [name for name in sorted(bundle.card.files) if name.endswith(".onnx")]
    for network in networks:
        assert network.whole.name == network.name
        assert {graph.weights for graph in network.graphs} == {f"{network.name}.safetensors"}
    # Each decision is made by one network, and some network makes the first.
    made = [stage for network in networks for stage in decides(bundle, network.name)]
    assert sorted(made) == sorted(bundle.card.stages)
    assert decides(bundle, deciding(bundle, networks).name)


def test_what_goes_with_a_network(bundle):
    for network in networks_of(bundle):
        for graph in network.graphs:
            said = json.loads(json.dumps(description_of(bundle, network, graph)))
            assert said["research_use"] == RESEARCH_USE
            assert (said["licence"], said["bundle_sha256"]) == (bundle.card.licence, digest_of(bundle))
            assert said["preprocessing"] == json.loads(json.dumps(bundle.card.preprocessing))
            assert said["inputs"]["image"]["shape"] == ["batch", *graph.image_shape]
            assert list(said["outputs"]) == list(graph.outputs)
            assert all(each["is"] for each in said["outputs"].values())
            for stage, decision in said["decisions"].items():
                card = bundle.card.stages[stage]
                assert decision["operating_points"].keys() == card.operating_points.keys()
                assert decision["temperature"] == card.temperature
                assert decision["operating_points"][decision["default"]]["threshold"] == card.point().threshold


def test_classes_are_named_in_the_order_of_the_logits():
    bundle = open_bundle("patch_voting")
    classifier = next(network for network in networks_of(bundle) if network.name == "classifier")
    said = channels_of(words_of("patch_voting", "classifier"), classifier.whole)
    assert [name.split()[0] for name in said] == ["normal", "bacterial", "tuberculosis", "viral"]
    early = next(graph for graph in classifier.graphs if graph.name == "classifier-early")
    # A part of the network takes maps and gives maps: it has no classes.
    assert channels_of(words_of("patch_voting", "classifier"), early)[0] == "maps 0"


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_says_how_its_networks_are_joined(system):
    assert len(path_of(system)) > 100


def test_a_system_that_says_nothing_is_exported_with_general_words():
    assert "pipeline" in words_of("oracle", "eye").image
    assert "pipeline" in path_of("oracle")


def test_a_system_of_another_distribution_brings_its_own_words(tmp_path, monkeypatch):
    (tmp_path / "hazy_words").mkdir()
    (tmp_path / "hazy_words" / "__init__.py").touch()
    words = "path: Haze alone decides.\nnetworks: {haze: {title: How bright}}\n"
    (tmp_path / "hazy_words" / "words.yaml").write_text(words, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    brought = EntryPoint("hazy", "hazy_words", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [brought] if group == registry.GROUP else [])
    assert path_of("hazy") == "Haze alone decides."
    assert words_of("hazy", "haze").title == "How bright"


def test_the_findings_are_those_of_the_network():
    from cxrscreen.data.findings import FINDINGS

    assert words_of("covid_cxnet", "findings").classes[14] == list(FINDINGS)


def test_the_page_says_what_must_not_be_concluded(bundle):
    page = page_of(bundle, networks_of(bundle), "ONNX", "How.")
    for words in (RESEARCH_USE, bundle.card.licence, digest_of(bundle), "must not be concluded", "(in use)"):
        assert words in page
    assert RESEARCH_USE in licence_of(bundle)
    assert bundle.card.licence in licence_of(bundle)


def test_a_bundle_without_graphs_cannot_be_exported(bundle):
    card = bundle.card.model_copy(update={"files": {}})
    with pytest.raises(BundleError, match=r"has no .onnx graph to export"):
        networks_of(replace(bundle, card=card))
    parts = {"classifier-early.onnx": "", "covid19-guided.onnx": ""}
    present = {name: digest for name, digest in parts.items() if name in bundle.card.files}
    if present:
        with pytest.raises(BundleError, match=r"lacks (classifier|covid19).onnx"):
            networks_of(replace(bundle, card=card.model_copy(update={"files": present})))
