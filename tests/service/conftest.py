"""A service in a folder of its own, a system that answers at once, and pictures made of numbers."""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from cxrscreen.data.phantoms import dicom_dataset, make_phantom
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.service.app import create_app
from cxrscreen.service.context import Context
from cxrscreen.service.intake import Sender, Upload, take_in
from cxrscreen.service.settings import Settings, load_settings
from cxrscreen.service.store import database
from cxrscreen.service.store.database import Database
from cxrscreen.service.store.files import Files
from cxrscreen.service.store.upgrade import upgrade
from cxrscreen.service.worker import Worker
from cxrscreen.systems.contract import Concern, Policy, SaliencyMap, Screening, Stage, Verdict

TOKEN = "a token for tests only"
SENDER = Sender("tester", "api")


@dataclass
class Clock:
    """A clock that stands still until it is told."""

    at: datetime = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass
class QuickSystem:
    """Answers from the mean grey value: the brighter, the more urgent; a very dark picture is refused."""

    bundle_id: str = "quick@1"
    fails: list[Exception] = field(default_factory=list)
    calls: int = 0

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        self.calls += 1
        if self.fails:
            raise self.fails.pop(0)
        mask = np.zeros(radiograph.shape, np.uint8)
        mask[10:50, 5:25], mask[10:50, 35:55] = 1, 2
        mean = float(radiograph.pixels.mean())
        if mean < 0.05:
            verdict = Verdict(policy, (Concern("not_a_chest", "This is no chest.", "refuse"),))
            stages = (Stage("pneumonia", "Pneumonia", None, 0.5, "youden"),)
            return Screening(
                stages, None, None, mask, 0.2, (), "limited", verdict.sentences, self.bundle_id, {}, verdict
            )
        stages = (
            Stage("pneumonia", "Pneumonia", mean, 0.5, "youden"),
            Stage("covid19", "COVID-19", None, 0.5, "youden"),
        )
        values = np.clip(radiograph.pixels, 0, 1)
        saliency = (SaliencyMap("h2", "Where it looked", values, 0.5),)
        finding = "other_pneumonia" if mean >= 0.5 else "normal"
        return Screening(stages, finding, mean, mask, 0.2, saliency, "good", (), self.bundle_id, {"total": 0.01})


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Durability is for a loss of power, which no test has; waiting for a busy disk would take most of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _handle: None)
        patch.setattr(database, "SQLITE_PRAGMAS", ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON"))
        yield


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Make a grey picture of about one level; another seed gives another content."""

    def make(level: int, *, side: int = 64, seed: int = 0) -> bytes:
        pixels = np.full((side, side), level, np.uint8)
        pixels[:4, :4] = np.random.default_rng(seed).integers(0, 256, (4, 4))
        done, encoded = cv2.imencode(".png", pixels)
        assert done
        return encoded.tobytes()

    return make


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no row, made once."""
    path = tmp_path_factory.mktemp("database") / "empty.sqlite"
    opened = Database(f"sqlite:///{path}")
    upgrade(opened)
    with opened.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.close()
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.delenv("CXRSCREEN_API_TOKEN", raising=False)
    return load_settings(folder=tmp_path / "service", api_token=TOKEN, systems={"quick": None, "second": None})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(settings: Settings, empty_database: Path, clock: Clock) -> Iterator[Context]:
    """An open service on SQLite, without the seconds that its tables take to make."""
    settings.folder.mkdir()
    (settings.folder / "cxrscreen.sqlite").write_bytes(empty_database.read_bytes())
    context = Context(settings, Database(settings.database_url), Files(settings.folder / "files"), clock)
    yield context
    context.close()


@pytest.fixture
def system() -> QuickSystem:
    return QuickSystem()


@pytest.fixture
def worker(context: Context, system: QuickSystem) -> Worker:
    return Worker(context, "worker", lambda _name: system)


@pytest.fixture
def client(context: Context) -> Iterator[TestClient]:
    """A client with the token of the settings."""
    app = create_app(context.settings, context)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def send(context: Context) -> Callable[..., list[str]]:
    """Take pictures in; gives their images' identifiers."""

    def take(*contents: bytes) -> list[str]:
        receipt = take_in(context, [Upload(io.BytesIO(content), "picture.png") for content in contents], SENDER)
        return [str(item.image_id) for item in receipt.taken]

    return take


@pytest.fixture
def work(worker: Worker) -> Callable[[], int]:
    """Work until nothing is due; gives the number of jobs taken."""

    def run() -> int:
        count = 0
        while worker.work_once():
            count += 1
        return count

    return run


@pytest.fixture(scope="session")
def dicom() -> Callable[..., bytes]:
    """Make the bytes of a small phantom's DICOM file."""
    phantom = make_phantom(3, shape=(128, 128))

    def make(**options: object) -> bytes:
        changes = options.pop("changes", {})
        dataset = dicom_dataset(phantom, **options)
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        content = io.BytesIO()
        dataset.save_as(content, enforce_file_format=True)
        return content.getvalue()

    return make
