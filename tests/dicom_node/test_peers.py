"""The node between real peers: DCMTK sends, Orthanc keeps the results."""

import subprocess
import threading
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pydicom import uid

from cxrscreen.dicom_node.scu import echo, send

from .conftest import SYNTAXES, free_port, wait_for

pytestmark = pytest.mark.services

RESULTS = Counter(
    {
        uid.SegmentationStorage: 1,
        uid.ParametricMapStorage: 1,
        uid.SecondaryCaptureImageStorage: 2,
        uid.GrayscaleSoftcopyPresentationStateStorage: 1,
        uid.ComprehensiveSRStorage: 1,
    }
)
"""Objects of one image by SOP class."""


def peer_settings(orthanc, **more):
    return {"name": "pacs", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.port, **more}


def store(storescu, path, port, *options):
    command = [storescu, *options, "-aet", "MODALITY", "-aec", "CXRSCREEN", "127.0.0.1", str(port), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_six_transfer_syntaxes_in_and_their_results_out_once_each(dcmtk, orthanc, node_process, files):
    archive = orthanc()
    node = node_process(peers=[peer_settings(archive)])
    for syntax, option in SYNTAXES.items():
        done = store(dcmtk("storescu"), files[syntax], node.port, option)
        assert done.returncode == 0, (syntax, done.stderr)
    store(dcmtk("storescu"), files["RLELossless"], node.port, "-xr")
    expected = RESULTS.total() * len(files)
    wait_for(lambda: len(archive.get("/instances")) >= expected)
    wait_for(lambda: len(node.names("screened")) == len(files))
    held = archive.instances()
    assert Counter(instance["SOPClassUID"] for instance in held) == {
        kind: count * len(files) for kind, count in RESULTS.items()
    }
    study = str(pydicom.dcmread(files["RLELossless"], stop_before_pixels=True).StudyInstanceUID)
    assert {instance["StudyInstanceUID"] for instance in held} == {study}
    for syntax, path in files.items():
        sop = pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
        kept = pydicom.dcmread(node.folder / "screened" / f"{study}_{sop}.dcm")
        assert kept.file_meta.TransferSyntaxUID.keyword == syntax
        assert kept.PixelData == pydicom.dcmread(path).PixelData


def test_killed_in_the_middle_and_the_archive_too(orthanc, node_process, many):
    archive = orthanc()
    node = node_process(0.2, peers=[peer_settings(archive)])
    paths = many(7)
    acknowledged: list[Path] = []
    _send_what_goes(node.peer, paths[:3], acknowledged)
    wait_for(lambda: node.names("screened"))
    sending = threading.Thread(target=_send_what_goes, args=(node.peer, paths[3:], acknowledged))
    sending.start()
    wait_for(lambda: len(acknowledged) > 4 or not sending.is_alive())
    node.kill()
    sending.join()
    names = {_name(path) for path in acknowledged}
    assert names <= set(node.names("received") + node.names("screened"))
    archive.kill()
    node.start()
    # One more than was acknowledged may have been received: killed between the two.
    wait_for(lambda: not node.names("received") and len(node.names("screened")) >= len(names))
    archive.start()
    expected = RESULTS.total() * len(node.names("screened"))
    wait_for(lambda: len(archive.get("/instances")) >= expected)
    assert Counter(instance["SOPClassUID"] for instance in archive.instances()) == {
        kind: count * len(node.names("screened")) for kind, count in RESULTS.items()
    }
    assert not node.names("set-aside")


def test_storage_commitment_of_orthanc(orthanc, node_process, image):
    port = free_port()
    archive = orthanc(port)
    node = node_process(port=port, peers=[peer_settings(archive, commitment=True)])
    node.port = port
    assert [delivery.outcome for delivery in send("MODALITY", node.peer, [image])] == ["stored"]
    wait_for(lambda: len(list((node.folder / "outbox/pacs/sent").glob("*.dcm"))) == RESULTS.total())
    assert len(archive.get("/instances")) == RESULTS.total()


def test_echoscu_and_what_it_may_not(dcmtk, node_at):
    node = node_at(callers=[{"ae_title": "MODALITY"}])
    command = [dcmtk("echoscu"), "-aec", "CXRSCREEN", "127.0.0.1", str(node.port)]
    assert subprocess.run([*command, "-aet", "MODALITY"], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*command, "-aet", "STRANGER"], capture_output=True, check=False).returncode != 0
    wrong = [dcmtk("echoscu"), "-aet", "MODALITY", "-aec", "OTHER", "127.0.0.1", str(node.port)]
    assert subprocess.run(wrong, capture_output=True, check=False).returncode != 0
    echo("MODALITY", node)


def _send_what_goes(peer, paths, acknowledged):
    for path in paths:
        try:
            acknowledged.extend(delivery.path for delivery in send("M", peer, [path]) if delivery.outcome == "stored")
        except Exception:
            return


def _name(path: Path) -> str:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return f"{header.StudyInstanceUID}_{header.SOPInstanceUID}.dcm"
