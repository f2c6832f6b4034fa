"""Damaged and malicious uploads to the service: each is refused, or screened, or set aside with a reason.

The server and its worker are processes of their own, as ``cxrscreen serve`` starts them, under small limits so that
what bursts does so quickly. Afterwards both must be alive, the same processes as at the beginning; their memory,
sampled all the time, must have stayed within a bound; and the log must hold no traceback and nothing of the person that
the images name.

    python benchmarks/service_fuzz.py --count 1000 --out runs/service-fuzz
"""

import argparse
import json
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from mutated_uploads import ADDRESS, FAMILIES, PERSON, Attempt, attempt, samples
from rich.console import Console
from rich.table import Table
from service_process import Service
from sqlalchemy import select

from cxrscreen import RESEARCH_USE
from cxrscreen.service.store.models import Job

CONSOLE = Console(stderr=True, highlight=False)
_MIB: Final = 2**20
LIMITS: Final = {
    "CXRSCREEN_MAX_PIXELS": "25000000",
    "CXRSCREEN_MAX_FILE_BYTES": str(32 * _MIB),
    "CXRSCREEN_MAX_REQUEST_BYTES": str(48 * _MIB),
    "CXRSCREEN_MAX_ARCHIVE_BYTES": str(64 * _MIB),
    "CXRSCREEN_RETRY_SECONDS": "1",
    "CXRSCREEN_MAX_ATTEMPTS": "2",
}
SERVER_MAY_GROW: Final = 300 * _MIB
WORKER_MAY_GROW: Final = 300 * _MIB + 16 * 25_000_000
"""Beyond its memory once warm: room for the arrays of an image as large as the limit allows, 16 bytes a pixel."""
NO_ANSWER: Final = "no answer"
LEFT: Final = "the client left"


def main() -> int:
    """Run the benchmark and write ``service_fuzz.json``; exit code 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures and the service's log")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    log = asked.out / "service.log"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="cxrscreen-fuzz-") as folder:
        service = Service(Path(folder), log, settings=LIMITS)
        service.start()
        try:
            figures = measured(service, asked.count, asked.seed, asked.clients)
        finally:
            service.stop()
    figures["log"] = read_log(log.read_text())
    figures["sound"] = sound(figures)
    figures |= {"seed": asked.seed, "limits": LIMITS, "research_use": RESEARCH_USE}
    (asked.out / "service_fuzz.json").write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)
    return 0 if figures["sound"] else 1


def measured(service: Service, count: int, seed: int, clients: int) -> dict[str, Any]:
    """Warm the service up, send everything, wait until all is screened, and count."""
    with httpx.Client(base_url=service.url, headers=service.headers, timeout=600) as client:
        until(lambda: alive(client), 600)
        known = samples()
        for content in known:
            client.post(ADDRESS, files=[("files", ("warm.dcm", content))]).raise_for_status()
        until(lambda: not waiting(service), 1800)
        worker = service.worker_ids[0]
        before = [worker, service.server_id]
        memory = Memory({"server": service.server_id, "worker": worker})
        begun = time.monotonic()
        with memory, ThreadPoolExecutor(clients) as pool:
            ends = list(pool.map(lambda number: sent(client, service, attempt(number, seed, known)), range(count)))
            until(lambda: not waiting(service), 7200)
        seconds = time.monotonic() - begun
        answers = alive(client)
    after = [*service.worker_ids, service.server_id] if service.alive else []
    jobs = jobs_by_image(service)
    table: dict[str, Counter[str]] = {family: Counter() for family in FAMILIES}
    for family, how, images in ends:
        table[family][how] += 1
        for image in images:
            table[family][jobs.get(image, "not in the queue")] += 1
    return {
        "uploads": count,
        "seconds": round(seconds, 1),
        "same_processes_at_the_end": before == after,
        "answers_at_the_end": answers,
        "memory_mib": memory.figures(),
        "ends": {family: dict(sorted(counted.items())) for family, counted in table.items()},
        "jobs": dict(Counter(jobs.values())),
        "reasons": dict(Counter(reasons(service)).most_common()),
    }


def sent(client: httpx.Client, service: Service, upload: Attempt) -> tuple[str, str, list[str]]:
    """Send one upload; give its family, its status, and the images that were accepted."""
    if upload.raw is not None:
        status = sent_raw(service, upload.raw, goes_away=upload.goes_away)
        return upload.family, LEFT if upload.goes_away and status == NO_ANSWER else status, []
    try:
        answer = client.post(ADDRESS, files=[("files", file) for file in upload.files])
    except httpx.HTTPError:
        return upload.family, NO_ANSWER, []
    if answer.status_code != 202:
        return upload.family, str(answer.status_code), []
    items = answer.json()["items"]
    return upload.family, "202", [item["image"] for item in items if item["outcome"] == "accepted"]


def sent_raw(service: Service, raw: bytes, *, goes_away: bool) -> str:
    """Send a request as it is, and where the client goes away end it there; give the status of the answer."""
    start = f"POST {ADDRESS} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head = f"{start}Authorization: Bearer {service.token}\r\n".encode()
    first = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=600) as connection:
        # Refused before all of it was sent, the answer is there all the same.
        with suppress(OSError):
            connection.sendall(head + raw)
            if goes_away:
                connection.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            first = connection.recv(64)
    return first[9:12].decode() or NO_ANSWER


def jobs_by_image(service: Service) -> dict[str, str]:
    """Tell how the screening of each image ended."""
    database = service.open_database()
    with database.reading() as session:
        found = session.execute(select(Job.image_id, Job.state, Job.reason)).all()
    database.close()
    return {image: "screened" if state == "done" else f"{state}: {kind_of(reason)}" for image, state, reason in found}


def kind_of(reason: str | None) -> str:
    """Sort a reason: expected ones say what is wrong with the file."""
    if reason is None:
        return "without a reason"
    if "unexpected fault" in reason or reason.startswith("The worker ended"):
        return "for a fault of the software"
    return "with a reason"


def reasons(service: Service) -> Iterator[str]:
    """List why images were set aside."""
    database = service.open_database()
    with database.reading() as session:
        yield from [reason or "" for reason in session.scalars(select(Job.reason).where(Job.state == "set_aside"))]
    database.close()


def waiting(service: Service) -> int:
    """Count the jobs that have not ended."""
    database = service.open_database()
    with database.reading() as session:
        count = len(session.scalars(select(Job.id).where(Job.state.in_(("waiting", "leased")))).all())
    database.close()
    return count


def alive(client: httpx.Client) -> bool:
    """Tell whether the server answers."""
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False


def until(reached: Any, seconds: float) -> None:
    """Wait."""
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            raise SystemExit("The service did not get there in time; see its log.")
        time.sleep(0.5)


@dataclass
class Memory:
    """Resident memory of processes, sampled from a thread while a block runs."""

    processes: dict[str, int]
    warm: dict[str, int] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> None:
        self.warm = {name: resident(process) for name, process in self.processes.items()}
        self.peak = dict(self.warm)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def figures(self) -> dict[str, dict[str, float]]:
        """Give each process's memory when warm, at its most and at the end, in MiB, and how often it was looked at."""
        return {
            name: {
                "warm": round(self.warm[name] / _MIB),
                "peak": round(self.peak[name] / _MIB),
                "end": round(resident(process) / _MIB),
                "bound": round((self.warm[name] + may_grow) / _MIB),
                "samples": self.samples,
            }
            for (name, process), may_grow in zip(
                self.processes.items(), (SERVER_MAY_GROW, WORKER_MAY_GROW), strict=True
            )
        }

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.samples += 1
            for name, process in self.processes.items():
                self.peak[name] = max(self.peak[name], resident(process))


def resident(process: int) -> int:
    """Return a process's resident memory in bytes; 0 where it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)


def read_log(text: str) -> dict[str, Any]:
    """Look for what must not be in the log."""
    return {
        "lines": text.count("\n"),
        "tracebacks": text.count("Traceback (most recent call last)"),
        "requests_failed": text.count("request failed"),
        "workers_ended": text.count("worker ended"),
        "faults_while_screening": text.count("screening failed"),
        "patient_data": sum(text.count(part) for part in PERSON),
    }


def sound(figures: dict[str, Any]) -> bool:
    """Tell whether everything was as it must be."""
    ends = {*figures["jobs"], *(end for counted in figures["ends"].values() for end in counted)}
    good = all(end.startswith("4") or end in ("202", "screened", LEFT, "set_aside: with a reason") for end in ends)
    log = {name: count for name, count in figures["log"].items() if name != "lines"}
    bounded = all(max(of["peak"], of["end"]) <= of["bound"] and of["end"] > 0 for of in figures["memory_mib"].values())
    there = figures["same_processes_at_the_end"] and figures["answers_at_the_end"]
    return bool(good and bounded and there and not any(log.values()))


def show(figures: dict[str, Any]) -> None:
    """Print what was found."""
    table = Table("Done to the upload", "How it ended")
    for family, ends in figures["ends"].items():
        table.add_row(family, ", ".join(f"{end}: {count}" for end, count in ends.items()))
    CONSOLE.print(table)
    for name in ("uploads", "seconds", "same_processes_at_the_end", "memory_mib", "log", "sound"):
        CONSOLE.print(f"{name:>26}  {figures[name]}")
    CONSOLE.print(RESEARCH_USE)


if __name__ == "__main__":
    sys.exit(main())
