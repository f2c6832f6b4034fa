"""A DICOM node between real peers: 100 phantoms in six transfer syntaxes, a kill, a restarted archive, 1,000 attacks.

    python benchmarks/dicom_node.py [--images 100] [--attacks 1000] [--callers 20] [--bundle cascade]

Starts ``cxrscreen dicom listen --screen`` and Orthanc on free ports. DCMTK's storescu sends the phantoms, CALLERS at a
time; the node is killed (SIGKILL) once half of them are acknowledged and started again, and Orthanc is killed and
started again while results arrive. What was not acknowledged is sent again, as a modality does. Then associations and
data sets with changed bytes are sent. Prints one JSON object. Needs Debian's ``orthanc`` and ``dcmtk``.
"""

import argparse
import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
from pydicom import uid

from cxrscreen.data.phantoms import make_phantom, write_dicom
from cxrscreen.dicom_node.scu import PeerError, echo, send
from cxrscreen.dicom_node.settings import Peer

SYNTAXES = {
    "ExplicitVRLittleEndian": "-xe",
    "ImplicitVRLittleEndian": "-xi",
    "DeflatedExplicitVRLittleEndian": "-xd",
    "RLELossless": "-xr",
    "JPEGLSLossless": "-xt",
    "JPEG2000Lossless": "-xv",
}
FINDINGS = ("normal", "bacterial", "tuberculosis", "covid19")
ATTACKERS = 16
ANSWER_SECONDS = 2.0
"""How long an attacker waits; a sound answer on a loaded machine comes within a fraction of it."""
ACCEPTED = b"\x02"
PDU_NAMES = {ACCEPTED: "accepted", b"\x03": "rejected", b"\x04": "answered", b"\x06": "released", b"\x07": "aborted"}
"""Kinds of protocol data unit (DICOM PS3.8 section 9.3) by their first byte."""


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--attacks", type=int, default=1000)
    parser.add_argument("--callers", type=int, default=20)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--bundle", default="cascade")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as running:
        folder = Path(place)
        files = written(folder / "in", given.images, given.side)
        archive = running.enter_context(Program(orthanc_command(folder)))
        node = running.enter_context(Program(node_command(folder, archive.ports[0], given.bundle)))
        result = measured(node, archive, files, folder / "node", given.callers)
        (small,) = written(folder / "small", 1, 128)
        result |= attacked(node, small, given.attacks)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


class Program:
    """A server that can be killed and started again with the same command."""

    def __init__(self, made: tuple[list[str], list[int]]) -> None:
        self.command, self.ports = made
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the program

    def __enter__(self) -> "Program":
        self.process = subprocess.Popen(self.command, stdout=self._log, stderr=self._log)
        until(lambda: all(_accepts(port) for port in self.ports), 600)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Kill it and start it again."""
        self.__exit__()
        self.__enter__()


def measured(node: Program, archive: Program, files: dict[Path, str], out: Path, callers: int) -> dict[str, Any]:
    """Send everything through a kill of the node and one of the archive, and count what came of it."""
    acknowledged: set[Path] = set()
    start = time.perf_counter()

    def deliver(path: Path) -> None:
        while not _stored(path, files[path], node.ports[0]):
            time.sleep(1.0)
        acknowledged.add(path)

    with ThreadPoolExecutor(callers) as pool:
        sending = [pool.submit(deliver, path) for path in files]
        until(lambda: len(acknowledged) >= len(files) // 2, 3600)
        before = set(acknowledged)
        node.process.kill()
        node.process.wait()
        lost = [path for path in before if not _kept(out, path)]
        node.__enter__()
        for one in sending:
            one.result()
    sent = time.perf_counter() - start
    until(lambda: len(list((out / "screened").glob("*.dcm"))) >= len(files) // 2, 36000)
    archive.restart()
    until(lambda: not list((out / "received").glob("*.dcm")) and not list(out.glob("outbox/*/pending/*.dcm")), 36000)
    screened = len(list((out / "screened").glob("*.dcm")))
    held = Counter(tags["SOPClassUID"] for tags in _held(archive.ports[1]))
    studies = {tags["StudyInstanceUID"] for tags in _held(archive.ports[1])}
    records = [json.loads(path.read_text()) for path in out.glob("results/*/record.json")]
    expected = len(list(out.glob("results/*/*.dcm")))
    return {
        "images": len(files),
        "syntaxes": len(SYNTAXES),
        "callers_at_once": callers,
        "acknowledged": len(acknowledged),
        "acknowledged_before_the_kill": len(before),
        "of_these_lost": len(lost),
        "with_result": screened,
        "set_aside": len(list((out / "set-aside").glob("*.dcm"))),
        "statuses": dict(Counter(record["status"] for record in records)),
        "objects_made": expected,
        "objects_in_archive": sum(held.values()),
        "objects_in_archive_by_class": {uid.UID(kind).name: count for kind, count in sorted(held.items())},
        "studies": len({pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID for path in files} & studies),
        "seconds_to_send": round(sent, 1),
        "seconds_in_all": round(time.perf_counter() - start, 1),
    }


def attacked(node: Program, image: Path, attacks: int) -> dict[str, Any]:
    """Send associations and data sets with changed bytes, and ask whether the node still works."""
    association, store = recorded(image)
    started, start = node.process.pid, time.perf_counter()
    with ThreadPoolExecutor(ATTACKERS) as pool:
        answered = Counter(
            pool.map(lambda number: _attack(node.ports[0], *damaged(association, store, number)), range(attacks))
        )
    peer = _node_peer(node.ports[0])

    def answers() -> bool:
        try:
            echo("BENCH", peer)
        except PeerError:
            return False
        return True

    until(answers, 120)
    seconds = time.perf_counter() - start
    (delivery,) = send("BENCH", peer, [image])
    return {
        "attacks": attacks,
        "attacks_answered": dict(sorted(answered.items())),
        "seconds_to_attack": round(seconds, 1),
        "alive_after_attacks": node.process.poll() is None and node.process.pid == started,
        "takes_an_image_after_attacks": delivery.outcome == "stored",
    }


def damaged(association: bytes, store: bytes, number: int) -> tuple[bytes, bytes]:
    """Change, leave out or put in bytes of a sound exchange: of its request (odd numbers), or of what follows.

    Nine of ten changes hit the first 3,000 bytes, where lengths, commands and the header are, not the pixels.
    """
    rng = random.Random(number)
    parts = [bytearray(association), bytearray(store)]
    victim = parts[(number + 1) % 2]
    for _ in range(1 + rng.randrange(30)):
        place = rng.randrange(min(len(victim), 3000) if rng.random() < 0.9 else len(victim))
        kind = rng.random()
        if kind < 0.8:
            victim[place] = rng.choice((0, 255, rng.randrange(256)))
        elif kind < 0.9:
            del victim[place : place + rng.randrange(1, 9)]
        else:
            victim[place:place] = rng.randbytes(rng.randrange(1, 9))
    return bytes(parts[0]), bytes(parts[1])


def _attack(port: int, first: bytes, second: bytes) -> str:
    """Give the kind of the node's last answer; none comes where a length promises more bytes than were sent."""
    last = b""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as caller:
        caller.settimeout(ANSWER_SECONDS)
        for content in (first, second):
            caller.sendall(content)
            last = caller.recv(4096) or last
            if last[:1] != ACCEPTED:
                break
    return PDU_NAMES.get(last[:1], "nothing")


def recorded(image: Path) -> tuple[bytes, bytes]:
    """Listen in on a sound association with one image: the bytes of its request, and of what follows."""
    from cxrscreen.dicom_node.scp import Node  # noqa: PLC0415 - only here is the node in this process
    from cxrscreen.dicom_node.settings import NodeSettings  # noqa: PLC0415

    parts: list[bytes] = []
    with (
        Node(NodeSettings(port=0), lambda _content, _caller: None) as node,
        socket.create_server(("127.0.0.1", 0)) as tap,
    ):

        def relay() -> None:
            caller, _ = tap.accept()
            with caller, socket.create_connection(("127.0.0.1", node.port)) as inner:
                back = threading.Thread(target=_copy, args=(inner, caller, None), daemon=True)
                back.start()
                _copy(caller, inner, parts)

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        list(send("BENCH", _node_peer(tap.getsockname()[1]), [image]))
        thread.join(10)
    whole = b"".join(parts)
    first = 6 + int.from_bytes(whole[2:6], "big")
    return whole[:first], whole[first:]


def written(folder: Path, count: int, side: int) -> dict[Path, str]:
    """Write phantoms in turn in each syntax, and give each with storescu's option for it."""
    folder.mkdir()
    found = {}
    for number in range(count):
        syntax = list(SYNTAXES)[number % len(SYNTAXES)]
        phantom = make_phantom(number, FINDINGS[number % len(FINDINGS)], shape=(side, side))
        path = folder / f"{number:04}.dcm"
        write_dicom(phantom, path, transfer_syntax=syntax)
        found[path] = SYNTAXES[syntax]
    return found


def orthanc_command(folder: Path) -> tuple[list[str], list[int]]:
    """Write Orthanc's settings, and give its command and its ports (DICOM, HTTP)."""
    program = shutil.which("Orthanc") or shutil.which("orthanc")
    if program is None or shutil.which("storescu") is None:
        raise SystemExit("Orthanc and DCMTK are needed: install Debian's orthanc and dcmtk.")
    ports = [_free_port(), _free_port()]
    settings = {
        "StorageDirectory": str(folder / "orthanc"),
        "IndexDirectory": str(folder / "orthanc"),
        "DicomPort": ports[0],
        "HttpPort": ports[1],
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    return [program, str(folder / "orthanc.json")], ports


def node_command(folder: Path, archive_port: int, bundle: str) -> tuple[list[str], list[int]]:
    """Give the node's command and its port."""
    port = _free_port()
    options = ["--out", str(folder / "node"), "--screen", "--port", str(port), "--quiet", "5", "--bundle", bundle]
    options += ["--to", f"ORTHANC@127.0.0.1:{archive_port}"]
    return [sys.executable, "-m", "cxrscreen", "dicom", "listen", *options], [port]


def until(met: Any, seconds: float) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise SystemExit(f"It did not happen within {seconds} seconds.")
        time.sleep(0.2)


def _stored(path: Path, option: str, port: int) -> bool:
    command = ["storescu", option, "-aet", "BENCH", "-aec", "CXRSCREEN", "127.0.0.1", str(port), str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _kept(out: Path, path: Path) -> bool:
    header = pydicom.dcmread(path, stop_before_pixels=True)
    name = f"{header.StudyInstanceUID}_{header.SOPInstanceUID}.dcm"
    return any((out / state / name).exists() for state in ("received", "screened"))


def _held(port: int) -> list[dict[str, str]]:
    return [_get(port, f"/instances/{name}/simplified-tags") for name in _get(port, "/instances")]


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return json.load(answer)


def _copy(source: socket.socket, target: socket.socket, kept: list[bytes] | None) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            if kept is not None:
                kept.append(content)
            target.sendall(content)
        target.shutdown(socket.SHUT_WR)


def _node_peer(port: int) -> Peer:
    return Peer(name="node", ae_title="CXRSCREEN", host="127.0.0.1", port=port)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


if __name__ == "__main__":
    main()
