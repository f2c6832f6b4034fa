"""Many clients upload to the service while it is killed again and again: every image is screened, and once.

The service is started as its own processes, with SQLite in a new folder or on a database that is given. Clients send
synthetic radiographs and send again what got no answer. In between the server and its workers are killed with SIGKILL,
all at once, and started anew. In the end every acknowledged image must have exactly one result, every result's files
must be whole, and nothing may be left in the queue.

    python benchmarks/service_load.py --out runs/service-load
"""

import argparse
import hashlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import cv2
import httpx
import numpy as np
from rich.console import Console
from sqlalchemy import select

from cxrscreen import RESEARCH_USE
from cxrscreen.data.phantoms import make_phantom
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.models import Image, Job, Result, StoredMap

CONSOLE = Console(stderr=True, highlight=False)


def main() -> int:
    """Run the benchmark and write ``service_load.json``; exit code 1 if anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--database", help="URL of an empty PostgreSQL database; default: SQLite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures and the service's log")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cxrscreen-load-") as folder:
        images = radiographs(asked.images, asked.seed)
        service = Service(Path(folder), asked.out / "service.log", asked.workers, asked.database)
        run = Run(service, asked.kills, random.Random(asked.seed))
        begun = time.monotonic()
        figures = run.load(images, asked.clients)
        figures |= {"seconds": round(time.monotonic() - begun, 1), "clients": asked.clients, "workers": asked.workers}
        figures["database"] = "SQLite" if asked.database is None else "PostgreSQL"
        figures |= verified(service, images, run.acknowledged)
    wrong = ("lost", "not_acknowledged", "without_result", "doubled", "set_aside", "jobs_left", "damaged_files")
    figures["sound"] = figures["results"] == asked.images and not any(figures[name] for name in wrong)
    figures["research_use"] = RESEARCH_USE
    (asked.out / "service_load.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        CONSOLE.print(f"{name:>24}  {value}")
    return 0 if figures["sound"] else 1


def radiographs(count: int, seed: int) -> list[bytes]:
    """Draw a few phantoms and vary them by noise, so that each file is another one."""
    rng = np.random.default_rng(seed)
    drawn = [make_phantom(seed + n, ("normal", "bacterial")[n % 2], shape=(512, 512)).pixels for n in range(8)]
    encoded = []
    for n in range(count):
        noisy = drawn[n % len(drawn)] * 255 + rng.normal(0, 1.5, (512, 512))
        encoded.append(cv2.imencode(".png", np.clip(noisy, 0, 255).astype(np.uint8))[1].tobytes())
    return encoded


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Service:
    """The service as processes of their own, which can be killed.

    Parameters
    ----------
    folder
        Its data.
    log
        Where its output goes.
    workers
        Worker processes.
    database
        URL, None for SQLite.
    """

    folder: Path
    log: Path
    workers: int
    database: str | None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What lets a client in."""
        return {"Authorization": f"Bearer {self.token}"}

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        environment = {
            **os.environ,
            "CXRSCREEN_API_TOKEN": self.token,
            "CXRSCREEN_LEASE_SECONDS": "20",
            "CXRSCREEN_RETRY_SECONDS": "1",
            "CXRSCREEN_MAX_ATTEMPTS": "20",
            "CXRSCREEN_THREADS": "1",
        }
        if self.database is not None:
            environment["CXRSCREEN_DATABASE"] = self.database
        command = [sys.executable, "-m", "cxrscreen", "serve", "--folder", str(self.folder), "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--workers", str(self.workers)], stderr=log, env=environment, start_new_session=True
            )

    def kill(self) -> None:
        """Kill the server and its workers at once, without warning."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """Stop it gracefully."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(300)

    def open_database(self) -> Database:
        """Open its database for looking into it."""
        return Database(self.database or f"sqlite:///{self.folder / 'cxrscreen.sqlite'}")


class Run:
    """One run: clients, the one that kills, and what was acknowledged.

    Parameters
    ----------
    service
        What is loaded.
    kills
        How often it is killed.
    chance
        Where randomness comes from.
    """

    def __init__(self, service: Service, kills: int, chance: random.Random) -> None:
        self.acknowledged: dict[str, str] = {}
        self._service = service
        self._kills = kills
        self._chance = chance
        self._outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def load(self, images: list[bytes], clients: int) -> dict[str, object]:
        """Send all images and wait until all are screened; return what was counted."""
        waiting: Queue[bytes] = Queue()
        for image in images:
            waiting.put(image)
        self._service.start()
        threads = [threading.Thread(target=self._client, args=(waiting,), daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        killed = self._kill_in_between(len(images))
        for thread in threads:
            thread.join()
        self._until(lambda: self._done() >= len(images))
        self._service.stop()
        return {"images": len(images), "kills": killed, "requests_without_answer": self._outcomes["no answer"]}

    def _client(self, waiting: "Queue[bytes]") -> None:
        with httpx.Client(base_url=self._service.url, headers=self._service.headers, timeout=60) as client:
            while True:
                try:
                    image = waiting.get_nowait()
                except Empty:
                    return
                while not self._sent(client, image):
                    time.sleep(0.5)

    def _sent(self, client: httpx.Client, image: bytes) -> bool:
        try:
            answer = client.post("/api/v1/submissions", files=[("files", ("image.png", image, "image/png"))])
        except httpx.HTTPError:
            answer = None
        with self._lock:
            if answer is None or answer.status_code != 202:
                self._outcomes["no answer"] += 1
                return False
            (item,) = answer.json()["items"]
            self._outcomes[item["outcome"]] += 1
            self.acknowledged[hashlib.sha256(image).hexdigest()] = item["image"]
            return True

    def _kill_in_between(self, images: int) -> int:
        """Kill while images come in, and while they are screened: at equal steps of each."""
        while_sending = self._kills // 2
        for step in range(1, self._kills + 1):
            if step <= while_sending:
                share = step / (while_sending + 1)
                self._until(lambda share=share: len(self.acknowledged) >= share * images)
            else:
                share = (step - while_sending) / (self._kills - while_sending + 1)
                self._until(lambda share=share: self._done() >= share * images)
            time.sleep(self._chance.uniform(0, 2))
            self._service.kill()
            CONSOLE.print(f"killed {step}: {len(self.acknowledged)} acknowledged, {self._done()} screened")
            self._service.start()
        return self._kills

    def _done(self) -> int:
        database = self._service.open_database()
        try:
            with database.reading() as session:
                return len(session.scalars(select(Job.id).where(Job.state.in_(("done", "set_aside")))).all())
        except Exception:
            # Its tables are not there yet.
            return 0
        finally:
            database.close()

    def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            time.sleep(0.5)


def verified(service: Service, images: list[bytes], acknowledged: dict[str, str]) -> dict[str, int]:
    """Count what is in the database and on disk, and what is missing, doubled or damaged there."""
    database, files = service.open_database(), Files(service.folder / "files")
    with database.reading() as session:
        stored = {image.id: image for image in session.scalars(select(Image))}
        results = Counter(session.scalars(select(Result.image_id)).all())
        named = [*session.scalars(select(Image.sha256)), *session.scalars(select(StoredMap.sha256))]
        jobs = session.scalars(select(Job)).all()
    database.close()
    sent = {hashlib.sha256(image).hexdigest() for image in images}
    whole = sum(hashlib.sha256(files.read(name)).hexdigest() == name for name in named)
    return {
        "acknowledged": len(acknowledged),
        "stored": len(stored),
        "lost": sum(stored[image].sha256 != name if image in stored else 1 for name, image in acknowledged.items()),
        "not_acknowledged": len(sent - acknowledged.keys()),
        "results": sum(results.values()),
        "without_result": sum(results[image] == 0 for image in stored),
        "doubled": sum(n - 1 for n in results.values()),
        "set_aside": sum(job.state == "set_aside" for job in jobs),
        "jobs_left": sum(job.state in ("waiting", "leased") for job in jobs),
        "interrupted_jobs": sum(job.attempts > 1 for job in jobs),
        "damaged_files": len(named) - whole,
    }


if __name__ == "__main__":
    sys.exit(main())
