"""Many clients upload to the service while it is killed again and again: every image is screened, and once.

The service is started as its own processes, with SQLite in a new folder, on a PostgreSQL that is started for it, or on
an empty database that is given. Clients send synthetic radiographs and send again what got no answer. In between the
server and its workers are killed with SIGKILL, all at once, and started anew; and single workers are killed, which the
server starts anew itself. In the end every acknowledged image must have exactly one result, every result's files must
be whole, and nothing may be left in the queue.

    python benchmarks/service_load.py --out runs/service-load
    python benchmarks/service_load.py --database postgresql --workers 2 --worker-kills 10 --out runs/service-load-2
"""

import argparse
import hashlib
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

import cv2
import httpx
import numpy as np
from rich.console import Console
from service_process import Service, postgresql
from sqlalchemy import select

from cxrscreen import RESEARCH_USE
from cxrscreen.data.phantoms import make_phantom
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.models import Image, Job, Result, StoredMap

CONSOLE = Console(stderr=True, highlight=False)
PATIENT = {
    "CXRSCREEN_LEASE_SECONDS": "20",
    "CXRSCREEN_RETRY_SECONDS": "1",
    "CXRSCREEN_MAX_ATTEMPTS": "20",
}
"""Settings under which a worker that is killed again and again does not end in an image being set aside."""


def main() -> int:
    """Run the benchmark and write ``service_load.json``; exit code 1 if anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--worker-kills", type=int, default=0, help="further kills, each of one worker alone")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--database", help="'postgresql': one is started; or the URL of an empty PostgreSQL database; default: SQLite"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures and the service's log")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cxrscreen-load-") as folder, database_for(asked.database) as url:
        images = radiographs(asked.images, asked.seed)
        service = Service(Path(folder), asked.out / "service.log", asked.workers, url, PATIENT)
        run = Run(service, asked.kills, asked.worker_kills, random.Random(asked.seed))
        begun = time.monotonic()
        figures = run.load(images, asked.clients)
        figures |= {"seconds": round(time.monotonic() - begun, 1), "clients": asked.clients, "workers": asked.workers}
        figures["database"] = "SQLite" if url is None else "PostgreSQL"
        figures |= verified(service, images, run.acknowledged)
    wrong = ("lost", "not_acknowledged", "without_result", "doubled", "set_aside", "jobs_left", "damaged_files")
    figures["sound"] = figures["results"] == asked.images and not any(figures[name] for name in wrong)
    figures["research_use"] = RESEARCH_USE
    (asked.out / "service_load.json").write_text(json.dumps(figures, indent=2) + "\n")
    for name, value in figures.items():
        CONSOLE.print(f"{name:>24}  {value}")
    return 0 if figures["sound"] else 1


@contextmanager
def database_for(asked: str | None) -> Iterator[str | None]:
    """Give the URL of the database that was asked for, None for SQLite."""
    if asked == "postgresql":
        with postgresql() as url:
            yield url
    else:
        yield asked


def radiographs(count: int, seed: int) -> list[bytes]:
    """Draw a few phantoms and vary them by noise, so that each file is another one."""
    rng = np.random.default_rng(seed)
    drawn = [make_phantom(seed + n, ("normal", "bacterial")[n % 2], shape=(512, 512)).pixels for n in range(8)]
    encoded = []
    for n in range(count):
        noisy = drawn[n % len(drawn)] * 255 + rng.normal(0, 1.5, (512, 512))
        encoded.append(cv2.imencode(".png", np.clip(noisy, 0, 255).astype(np.uint8))[1].tobytes())
    return encoded


class Run:
    """One run: clients, the one that kills, and what was acknowledged.

    Parameters
    ----------
    service
        What is loaded.
    kills, worker_kills
        How often all of it is killed, and how often one worker.
    chance
        Where randomness comes from.
    """

    def __init__(self, service: Service, kills: int, worker_kills: int, chance: random.Random) -> None:
        self.acknowledged: dict[str, str] = {}
        self._service = service
        self._kills = kills
        self._worker_kills = worker_kills
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
        self._kill_in_between(len(images))
        for thread in threads:
            thread.join()
        self._until(lambda: self._done() >= len(images))
        self._service.stop()
        return {
            "images": len(images),
            "kills": self._kills,
            "worker_kills": self._worker_kills,
            "requests_without_answer": self._outcomes["no answer"],
        }

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

    def _kill_in_between(self, images: int) -> None:
        """Kill while images come in, and while they are screened: at equal steps of each."""
        while_sending = self._kills // 2
        moments = [(step / (while_sending + 1), "sent", "all") for step in range(1, while_sending + 1)]
        for count, what in ((self._kills - while_sending, "all"), (self._worker_kills, "worker")):
            moments += [(step / (count + 1), "screened", what) for step in range(1, count + 1)]
        # What is sent is ahead of what is screened, so those moments come first.
        for share, of, what in sorted(moments, key=lambda moment: (moment[1] == "screened", moment[0])):
            self._until(lambda share=share, of=of: self._reached(of) >= share * images)
            time.sleep(self._chance.uniform(0, 2))
            if what == "all":
                self._service.kill()
                self._service.start()
            else:
                self._until(lambda: bool(self._service.worker_ids))
                self._service.kill_a_worker()
            CONSOLE.print(f"killed {what}: {len(self.acknowledged)} acknowledged, {self._done()} screened")

    def _reached(self, of: str) -> int:
        return len(self.acknowledged) if of == "sent" else self._done()

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
