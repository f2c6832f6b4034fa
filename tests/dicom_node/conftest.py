"""Small phantoms as DICOM files, nodes in this process and beside it, Orthanc where it is installed."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from cxrscreen.data.phantoms import Phantom, make_phantom, write_dicom
from cxrscreen.dicom_node.scp import CallingPeer, Node
from cxrscreen.dicom_node.settings import NodeSettings, Peer

from ..peers import Orthanc, free_port, orthanc_program, wait_for

SYNTAXES = {
    "ExplicitVRLittleEndian": "-xe",
    "ImplicitVRLittleEndian": "-xi",
    "DeflatedExplicitVRLittleEndian": "-xd",
    "RLELossless": "-xr",
    "JPEGLSLossless": "-xt",
    "JPEG2000Lossless": "-xv",
}
"""Transfer syntaxes and the option by which storescu offers each."""


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(3, "normal", shape=(131, 129))


@pytest.fixture(scope="session")
def files(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One image in six transfer syntaxes, six instances of one study."""
    folder = tmp_path_factory.mktemp("six")
    for syntax in SYNTAXES:
        write_dicom(phantom, folder / f"{syntax}.dcm", transfer_syntax=syntax)
    return {syntax: folder / f"{syntax}.dcm" for syntax in SYNTAXES}


@pytest.fixture(scope="session")
def image(files: dict[str, Path]) -> Path:
    return files["ExplicitVRLittleEndian"]


@pytest.fixture
def many(phantom: Phantom, tmp_path: Path) -> Callable[[int], list[Path]]:
    """Instances of one patient's study, as many as asked for."""

    def write(count: int) -> list[Path]:
        folder = tmp_path / "many"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{number:03}.dcm" for number in range(1, count + 1)]
        for number, path in enumerate(paths, 1):
            write_dicom(phantom, path, image_number=number)
        return paths

    return write


@dataclass
class Shelf:
    """What a node in this process received."""

    contents: list[bytes] = field(default_factory=list)
    callers: list[CallingPeer] = field(default_factory=list)

    def received(self, content: bytes, caller: CallingPeer) -> None:
        self.contents.append(content)
        self.callers.append(caller)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def node_at(shelf: Shelf) -> Iterator[Callable[..., Peer]]:
    """Start a node in this process and give the peer by which to call it."""
    with contextlib.ExitStack() as running:

        def start(received: Any = None, committed: Any = None, **settings: Any) -> Peer:
            asked = NodeSettings(**{"port": 0, "timeout_seconds": 120, **settings})
            node = running.enter_context(Node(asked, received or shelf.received, committed))
            return Peer(name="node", ae_title=asked.ae_title, host="127.0.0.1", port=node.port)

        yield start


def report(title: str, node: Peer, transaction_uid: str, stored: list[str]) -> int | None:
    """Call a node as an archive that commits itself to instances; give its status, None where it lets nobody in."""
    information = Dataset()
    information.TransactionUID, information.ReferencedSOPSequence = transaction_uid, [reference(uid) for uid in stored]
    entity = AE(title)
    entity.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = entity.associate(node.host, node.port, ae_title=node.ae_title, ext_neg=[role])
    if not association.is_established:
        return None
    status, _ = association.send_n_event_report(
        information, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
    )
    association.release()
    return status.get("Status")


def reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ComprehensiveSRStorage, uid
    return item


class NodeProcess:
    """A node in a process of its own, which can be killed and started again on its folder."""

    def __init__(self, folder: Path, seconds: float, settings: dict[str, Any]) -> None:
        self.folder, self._seconds = folder / "node", seconds
        self._settings = folder / "settings.yaml"
        self.port = free_port()
        plain = {"study_quiet_seconds": 0.5, "timeout_seconds": 120, "port": self.port, **settings}
        self._settings.write_text(yaml.safe_dump(plain))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        ready = Path(f"{self._settings}.port")
        ready.unlink(missing_ok=True)
        script = Path(__file__).with_name("prompt_node.py")
        command = [sys.executable, str(script), str(self.folder), str(self._settings), str(self._seconds)]
        # What it logs of peers that are away belongs to the test, and is read where it fails.
        with self._settings.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(ready.exists)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def names(self, state: str) -> list[str]:
        return sorted(path.name for path in (self.folder / state).glob("*.dcm"))

    @property
    def peer(self) -> Peer:
        return Peer(name="node", ae_title="CXRSCREEN", host="127.0.0.1", port=self.port)


@pytest.fixture
def node_process(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    started: list[NodeProcess] = []

    def start(seconds: float = 0.0, **settings: Any) -> NodeProcess:
        started.append(NodeProcess(tmp_path, seconds, settings))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        if process.alive:
            process.kill()


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Callable[[int], Orthanc]]:
    program = orthanc_program()
    started: list[Orthanc] = []

    def start(caller_port: int = 1) -> Orthanc:
        folder = tmp_path / f"orthanc-{len(started)}"
        folder.mkdir()
        started.append(Orthanc(program, folder, caller_port))
        started[-1].start()
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def dcmtk() -> Callable[[str], str]:
    def tool(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} of DCMTK is not installed")
        return found

    return tool
