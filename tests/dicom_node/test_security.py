"""TLS between the node and its callers, with certificates that openssl makes."""

import shutil
import socket
import subprocess

import pytest

from cxrscreen.dicom_node.scu import PeerError, echo
from cxrscreen.dicom_node.settings import NodeSettingsError, Tls

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """Make a certificate that is its own authority, for the loopback."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")

    def make(name):
        folder = tmp_path_factory.mktemp(name)
        key, certificate = folder / "key.pem", folder / "certificate.pem"
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        return Tls(certificate=certificate, key=key, authority=certificate)

    return make


def test_only_who_shows_a_certificate_of_the_authority_is_let_in(certified, node_at):
    ours, strangers = certified("ours"), certified("strangers")
    node = node_at(tls=ours)
    echo("X", node.model_copy(update={"tls": ours}))
    for tls in (None, strangers):
        with pytest.raises(PeerError, match="cannot be reached"):
            echo("X", node.model_copy(update={"tls": tls}), timeout=5)


def test_a_silent_caller_keeps_nobody_waiting(certified, node_at):
    ours = certified("ours")
    node = node_at(tls=ours)
    with socket.create_connection((node.host, node.port)):
        echo("X", node.model_copy(update={"tls": ours}))


def test_files_that_do_not_belong_together_are_said(certified, node_at, tmp_path):
    ours, others = certified("ours"), certified("others")
    with pytest.raises(NodeSettingsError, match="TLS cannot be set up"):
        node_at(tls=ours.model_copy(update={"key": others.key}))
    with pytest.raises(NodeSettingsError, match="TLS cannot be set up"):
        node_at(tls=ours.model_copy(update={"certificate": tmp_path / "none.pem"}))
