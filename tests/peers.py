"""What tests with real peers share: Orthanc as a process, free ports, and waiting for what happens elsewhere."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def wait_for(met: Callable[[], Any], seconds: float = 600.0) -> Any:
    """Wait until something holds, and give it; a busy machine is no fault of the code."""
    end = time.monotonic() + seconds
    while True:
        if found := met():
            return found
        if time.monotonic() > end:
            raise AssertionError(f"it did not happen within {seconds} s")
        time.sleep(0.1)


def orthanc_program() -> str:
    """Where Orthanc is; skips the test where it is not installed."""
    program = shutil.which("Orthanc") or shutil.which("orthanc")
    if program is None:
        pytest.skip("Orthanc is not installed")
    return program


class Orthanc:
    """Orthanc with a storage of its own, on free ports.

    Parameters
    ----------
    program
        From :func:`orthanc_program`.
    folder
        An empty one.
    caller_port
        Where the node CXRSCREEN listens, to which it commits itself.
    title, port
        AE title, and DICOM port; 0: a free one.
    dicomweb
        Whether its DICOMweb plug-in is loaded, where that is installed.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        caller_port: int = 1,
        *,
        title: str = "ORTHANC",
        port: int = 0,
        dicomweb: bool = False,
    ) -> None:
        self._program, self._folder = program, folder
        self.port, http = port or free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        plugins = sorted(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb*.so"))[:1] if dicomweb else []
        self.has_dicomweb = bool(plugins)
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": http,
            "DicomPort": self.port,
            "DicomAet": title,
            "DicomCheckCalledAet": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(plugin) for plugin in plugins],
            "OverwriteInstances": False,
            "DicomModalities": {
                "node": {
                    "AET": "CXRSCREEN",
                    "Host": "127.0.0.1",
                    "Port": caller_port,
                    "AllowStorageCommitment": True,
                }
            },
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))

    def start(self) -> None:
        command = [self._program, str(self._folder / "orthanc.json")]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=60) as answer:
            return json.load(answer)

    def instances(self) -> list[dict[str, str]]:
        """SOP class, SOP instance and study UID of everything it holds."""
        wanted = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")
        tags = [self.get(f"/instances/{name}/simplified-tags") for name in self.get("/instances")]
        return [{keyword: tag[keyword] for keyword in wanted} for tag in tags]

    def _answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except OSError:
            return False
