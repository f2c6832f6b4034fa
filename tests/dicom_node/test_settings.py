"""Settings of the node."""

import pytest

from cxrscreen.dicom_node.settings import Caller, NodeSettings, NodeSettingsError, load_settings


def test_read_from_yaml(tmp_path):
    (tmp_path / "node.yaml").write_text(
        "ae_title: SCREEN\nhost: 0.0.0.0\ncallers: [{ae_title: XRAY1, networks: [10.1.0.0/16, '::1']}]\n"
        "peers: [{name: pacs, ae_title: PACS, host: pacs.local, port: 104, commitment: true}]\n"
    )
    settings = load_settings(tmp_path / "node.yaml")
    assert settings.peers[0].commitment
    assert settings.asks_to_commit("PACS ")
    assert not settings.asks_to_commit("XRAY1")
    assert not settings.admits("PACS", "10.1.2.3")
    assert settings.admits("XRAY1 ", "10.1.2.3")
    assert settings.admits("XRAY1", "::ffff:10.1.2.3")
    assert settings.admits("XRAY1", "::1")
    assert not settings.admits("XRAY1", "10.2.0.1")
    assert not settings.admits("XRAY2", "10.1.2.3")


def test_everybody_may_send_only_where_that_was_said():
    assert NodeSettings().admits("ANY", "127.0.0.1")
    with pytest.raises(ValueError, match="name the callers"):
        NodeSettings(host="0.0.0.0")
    assert NodeSettings(host="0.0.0.0", open=True).admits("ANY", "192.0.2.1")
    assert Caller(ae_title="A").admits("A", "192.0.2.1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ae_title: LONGER_THAN_16_CHARACTERS", "wrong at ae_title"),
        ("ae_title: 'A\\B'", "wrong at ae_title"),
        ("port: 99999", "wrong at port"),
        ("unknown: 1", "wrong at unknown"),
        ("callers: [{ae_title: A, networks: [nowhere]}]", "wrong at callers.0.networks"),
        ("peers: [{name: ../x, ae_title: A, host: h, port: 1}]", "wrong at peers.0.name"),
        (
            "peers: [{name: a, ae_title: A, host: h, port: 1}, {name: a, ae_title: A, host: h, port: 1}]",
            "two peers have the same name",
        ),
        ("- a", "no mapping"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path, text, said):
    (tmp_path / "node.yaml").write_text(text)
    with pytest.raises(NodeSettingsError, match=said):
        load_settings(tmp_path / "node.yaml")
    with pytest.raises(NodeSettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml")
