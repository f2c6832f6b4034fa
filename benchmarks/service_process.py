"""The service as processes of its own, which a benchmark can load, measure and kill; and a PostgreSQL for it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cxrscreen.service.store.database import Database


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Service:
    """The service as ``cxrscreen serve`` starts it.

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
    settings
        Further ones, by the names that the environment has for them.
    """

    folder: Path
    log: Path
    workers: int = 1
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
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

    @property
    def server_id(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def worker_ids(self) -> list[int]:
        """Its workers' processes."""
        # Each thread's children stand apart, and a thread of the server starts them.
        threads = Path(f"/proc/{self.server_id}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
        return [int(child) for child in children if b"spawn_main" in _command(child)]

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        environment = {**os.environ, "CXRSCREEN_API_TOKEN": self.token, "CXRSCREEN_THREADS": "1", **self.settings}
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

    def kill_a_worker(self) -> None:
        """Kill one worker, if one runs; the server starts another one."""
        for worker in self.worker_ids[:1]:
            os.kill(worker, signal.SIGKILL)

    def stop(self) -> None:
        """Stop it gracefully."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(300)

    def open_database(self) -> Database:
        """Open its database for looking into it."""
        return Database(self.database or f"sqlite:///{self.folder / 'cxrscreen.sqlite'}")


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a PostgreSQL server of its own, with the durability that it has by default; give its database's URL."""
    programs = _postgresql_programs()
    prefix = _as_postgres()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="cxrscreen-postgresql-") as place:
        if prefix:
            shutil.chown(place, "postgres")
        begin = [str(programs / "initdb"), "-D", f"{place}/data", "-U", "cxr", "--auth=trust", "--no-sync"]
        subprocess.run([*prefix, *begin, "-E", "UTF8", "--locale=C.UTF-8"], check=True, capture_output=True, cwd="/")
        options = ["-p", str(port), "-k", place, "-c", "listen_addresses=127.0.0.1"]
        with Path(place, "log").open("wb") as log:
            server = subprocess.Popen(
                [*prefix, str(programs / "postgres"), "-D", f"{place}/data", *options],
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        url = f"postgresql+psycopg://cxr@127.0.0.1:{port}/postgres"
        try:
            end = time.monotonic() + 300
            while not Database(url).ready():
                if server.poll() is not None or time.monotonic() > end:
                    raise SystemExit("PostgreSQL did not start.")
                time.sleep(0.2)
            yield url
        finally:
            stop = [str(programs / "pg_ctl"), "stop", "-m", "fast", "-w", "-D", f"{place}/data"]
            subprocess.run([*prefix, *stop], check=True, capture_output=True, cwd="/")
            server.wait(120)


def _command(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    if not found and on_path is None:
        raise SystemExit("PostgreSQL is not installed (Debian: apt-get install postgresql).")
    return found[-1].parent if found else Path(str(on_path)).resolve().parent


def _as_postgres() -> list[str]:
    """Give what goes before a command so that it does not run as root, which PostgreSQL refuses."""
    return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
