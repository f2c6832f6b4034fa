"""A department on phantoms: two systems that answer at once, a server and a worker in threads."""

import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import uvicorn
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.service.app import create_app
from cxrscreen.service.context import Context, open_context
from cxrscreen.service.intake import Said, Sender, Upload, take_in
from cxrscreen.service.settings import load_settings
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.models import Feedback, Image, Study
from cxrscreen.service.worker import Worker
from cxrscreen.systems.contract import Concern, MapKind, Policy, SaliencyMap, Screening, Stage, Verdict

TOKEN = "a token for tests only"
EXAMPLES = Path(__file__).parents[3] / "examples"
Floats = NDArray[np.float32]


@dataclass
class PhantomSystem:
    """Answers from what it knows of phantoms: opacities in two drawn lungs. Its numbers mean nothing."""

    name: str
    bundle_id: str

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        pixels = radiograph.pixels
        lungs = drawn_lungs(pixels.shape)
        if float(pixels.mean()) < 0.02:
            return _refused(self, lungs, policy)
        # A number between 0 and 1 that differs from image to image, and nothing more.
        score = float(pixels[lungs > 0].mean() * 37 % 1)
        heat = opacity(pixels, lungs) * np.float32(0.3 + 0.7 * score)
        return self._vote(heat, lungs, score) if self.name == "patch_voting" else self._steps(heat, lungs, score)

    def _steps(self, heat: Floats, lungs: NDArray[np.uint8], score: float) -> Screening:
        ill = score >= 0.42
        second = float(np.clip(1.25 * score - 0.1, 0, 1)) if ill else None
        stages = (
            Stage("pneumonia", "Pneumonia (any type) against normal", score, 0.42, "youden"),
            Stage("covid19", "COVID-19 against other pneumonia", second, 0.55, "youden"),
        )
        maps = [_map("h2", "H2: where stage 2 saw pneumonia", heat, lungs)]
        if second is not None:
            maps.append(_map("h3", "H3: what spoke for COVID-19", heat**2, lungs))
            maps.append(_map("guided", "Guided: the detail behind H3", _detail(heat), lungs))
        finding = "normal" if second is None else "covid19" if second >= 0.55 else "other_pneumonia"
        limited = score > 0.9
        warnings = ("One lung is outlined much smaller than the other; check the outline.",) if limited else ()
        return self._screening(stages, finding, second or score / 4, lungs, maps, limited=limited, warnings=warnings)

    def _vote(self, heat: Floats, lungs: NDArray[np.uint8], score: float) -> Screening:
        shares = {"normal": 1 - score, "viral": score * 0.6, "bacterial": score * 0.3, "tuberculosis": score * 0.1}
        finding = max(shares, key=lambda name: shares[name])
        stages = tuple(
            Stage(name, title, share, 0.4, "youden")
            for name, title, share in (
                ("pneumonia", "Pneumonia or tuberculosis, against normal", score),
                ("viral", "Viral pneumonia, COVID-19 included, against the rest", shares["viral"]),
            )
        )
        seen = lungs > 0
        title = "Probabilistic Grad-CAM: what spoke for viral pneumonia, COVID-19 included"
        looks = np.where(seen, 0.25 + 0.75 * cv2.GaussianBlur(heat, (0, 0), 9), 0).astype(np.float32)
        maps = [
            _map("viral", title, np.where(seen, heat, 0).astype(np.float32), lungs, looked_at=seen),
            _map("looked-at", "How often each place was looked at", looks, lungs, "coverage", seen),
        ]
        return self._screening(stages, finding, shares["viral"], lungs, maps, classes=shares)

    def _screening(self, stages, finding, score, lungs, maps, *, limited=False, warnings=(), classes=None):
        return Screening(
            stages,
            finding,
            score,
            lungs,
            float((lungs > 0).mean()),
            tuple(maps),
            "limited" if limited else "good",
            warnings,
            self.bundle_id,
            {"lungs": 0.01, "total": 0.02},
            classes=classes or {},
        )


@dataclass
class Department:
    """A running service.

    Parameters
    ----------
    context
        Its store and settings.
    address
        Where it answers.
    """

    context: Context
    address: str
    stopping: threading.Event = field(default_factory=threading.Event)
    server: uvicorn.Server | None = None
    threads: list[threading.Thread] = field(default_factory=list)

    def take(self, content: bytes, name: str = "image.dcm", said: Said = Said()) -> str:  # noqa: B008
        """Take one file in; give its study."""
        receipt = take_in(self.context, [Upload(io.BytesIO(content), name)], Sender("tester", "api"), said)
        return str(receipt.taken[0].study_id)

    def worker(self) -> Worker:
        return Worker(self.context, "worker", lambda name: SYSTEMS[name])

    def wait(self) -> None:
        """Wait until nothing waits to be screened."""
        for _ in range(3000):
            with self.context.database.reading() as session:
                if not session.query(Study).filter(Study.state == "waiting").count():
                    return
            self.stopping.wait(0.05)
        raise RuntimeError("the work did not end")

    def say(self, study_id: str, **said: object) -> None:
        """Enter a reader's answer."""
        with self.context.database.writing() as session:
            study = session.get_one(Study, study_id)
            now = self.context.now()
            session.add(Feedback(id=new_id(), study_id=study_id, author="dr. test", given_at=now, **said))
            study.reviewed_at = now

    def stop(self) -> None:
        self.stopping.set()
        if self.server is not None:
            self.server.should_exit = True
        for thread in self.threads:
            thread.join(20)
        self.context.close()


SYSTEMS = {
    "cascade": PhantomSystem("cascade", "cascade@0.1"),
    "patch_voting": PhantomSystem("patch_voting", "patch-voting@0.1"),
}


def phantom_file(
    name: str, *, person: str = "", number: str = "", day: date | None = None, shade: float = 1.0, side: int = 256
) -> bytes:
    """Make the DICOM file of one of the repository's example phantoms, with a made-up person.

    ``shade`` changes the exposure, so that one example gives several different files.
    """
    dataset = pydicom.dcmread(EXAMPLES / "covid19-portable.dcm")
    pixels = np.clip(_example(name, side) * shade, 0, 1)
    dataset.Rows = dataset.Columns = side
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = (pixels * 4095 + 0.5).astype("<u2").tobytes()
    for keyword in ("WindowCenter", "WindowWidth", "VOILUTSequence", "ImagerPixelSpacing", "PixelSpacing"):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PatientName = person or f"Phantom^{name.title()}"
    dataset.PatientID = number or f"T-{name}-{shade}"
    if day is not None:
        dataset.StudyDate = day.strftime("%Y%m%d")
    seeds = [name, number, str(day), str(shade), str(side)]
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[*seeds, "study"])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=seeds)
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


def phantom_png(name: str, side: int = 256, shade: float = 1.0) -> bytes:
    """Make the picture of one of the example phantoms."""
    done, png = cv2.imencode(".png", (np.clip(_example(name, side) * shade, 0, 1) * 255).astype(np.uint8))
    assert done
    return png.tobytes()


@lru_cache(maxsize=16)
def _example(name: str, side: int) -> Floats:
    pixels = cv2.imread(str(EXAMPLES / f"{name}.png"), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    scaled = grey.astype(np.float32) / np.iinfo(grey.dtype).max
    return np.asarray(cv2.resize(scaled, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def fill(department: Department, *, side: int = 128) -> dict[str, str]:
    """Fill it with studies of every state, a person with four of them and a reader's answers; give them by name."""
    day = date(2020, 3, 12)
    person = {"person": "Muster^Maria", "number": "P-10023", "side": side}
    found = {}
    for name, example, offset, shade in (
        ("first", "normal", -9, 1.0),
        ("second", "covid19", -3, 0.95),
        ("current", "covid19", 1, 1.0),
        ("later", "normal", 20, 0.9),
    ):
        file = phantom_file(example, day=day + timedelta(days=offset), shade=shade, **person)
        found[name] = department.take(file)
    for example, shade in (("normal", 0.8), ("bacterial-16bit", 1.0)):
        found[f"{example} {shade}"] = department.take(phantom_file(example, day=day, shade=shade, side=side))
    found["picture"] = department.take(phantom_png("bacterial-16bit", side, 0.8), "portable ward 3.png")
    black = np.zeros((128, 128), np.uint8)
    black[:3, :3] = np.arange(9, dtype=np.uint8).reshape(3, 3)
    found["refused"] = department.take(cv2.imencode(".png", black)[1].tobytes(), "dark.png")
    cut = phantom_png("normal")
    found["failed"] = department.take(cut[: len(cut) // 3], "cut.png")
    department.wait()
    department.say(found["second"], rt_pcr_result="negative", rt_pcr_on=day - timedelta(days=2))
    department.say(
        found["second"], rt_pcr_result="positive", rt_pcr_on=day, symptom_onset=day - timedelta(days=6), agrees=None
    )
    with department.context.database.reading() as session:
        image = session.query(Image).filter(Image.study_id == found["second"]).one()
        result_id = next(result.id for result in image.results if result.system == "cascade")
    department.say(found["second"], agrees=True, result_id=result_id, final_diagnosis="covid19", comment="Peripheral.")
    return found


def open_department(
    folder: Path, *, port: int = 0, works: bool = False, clock: Callable[[], datetime] | None = None
) -> Department:
    """Open a service and serve it from a thread; ``works``: with a worker beside it."""
    settings = load_settings(
        folder=folder,
        api_token=TOKEN,
        systems={"cascade": None, "patch_voting": None},
        screen_with=("cascade", "patch_voting"),
    )
    folder.mkdir(parents=True, exist_ok=True)
    context = open_context(settings)
    if clock is not None:
        context = Context(settings, context.database, context.files, clock)
    app = create_app(settings, context)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    department = Department(context, "", server=server)
    department.threads.append(threading.Thread(target=server.run, daemon=True))
    department.threads[0].start()
    while not server.started:
        if not department.threads[0].is_alive():
            raise RuntimeError("the server did not start")
        department.stopping.wait(0.02)
    department.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    if works:
        department.threads.append(threading.Thread(target=_keep_working, args=(department,), daemon=True))
        department.threads[-1].start()
    return department


def drawn_lungs(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Draw two ellipses about where a phantom's lungs are."""
    rows, columns = shape[0], shape[1]
    mask = np.zeros((rows, columns), np.uint8)
    for label, x in ((1, 0.30), (2, 0.70)):
        centre, axes = (int(x * columns), int(0.46 * rows)), (int(0.145 * columns), int(0.29 * rows))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, label, -1)
    return mask


def opacity(pixels: Floats, lungs: NDArray[np.uint8]) -> Floats:
    """Tell where the lungs are denser than most of them."""
    smooth = cv2.GaussianBlur(np.asarray(pixels, np.float32), (0, 0), max(pixels.shape) / 40)
    inside = smooth[lungs > 0]
    low, high = np.quantile(inside, (0.55, 0.995))
    heat = np.clip((smooth - low) / max(high - low, 1e-3), 0, 1) * (lungs > 0)
    return np.asarray(cv2.GaussianBlur(heat.astype(np.float32), (0, 0), max(pixels.shape) / 60), np.float32)


def _map(
    name: str,
    title: str,
    values: Floats,
    lungs: NDArray[np.uint8],
    kind: MapKind = "saliency",
    looked_at: NDArray[np.bool_] | None = None,
) -> SaliencyMap:
    total = float(values.sum())
    share = float(values[lungs > 0].sum()) / total if total else None
    return SaliencyMap(name, title, np.clip(values, 0, 1).astype(np.float32), share, kind, looked_at)


def _detail(heat: Floats) -> Floats:
    edges = np.abs(cv2.Laplacian(heat, cv2.CV_32F, ksize=5))
    return np.asarray(edges / max(float(edges.max()), 1e-6), np.float32)


def _refused(system: PhantomSystem, lungs: NDArray[np.uint8], policy: Policy) -> Screening:
    verdict = Verdict(
        policy, (Concern("not_a_chest", "This does not look like a frontal chest radiograph.", "refuse"),)
    )
    stages = (Stage("pneumonia", "Pneumonia (any type) against normal", None, 0.42, "youden"),)
    return Screening(
        stages, None, None, lungs * 0, 0.0, (), "limited", verdict.sentences, system.bundle_id, {}, verdict
    )


def _keep_working(department: Department) -> None:
    worker = department.worker()
    while not department.stopping.is_set():
        if not worker.work_once():
            department.stopping.wait(0.1)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Department, dict[str, str]]]:
    """A department with studies of every state, served, with a worker that goes on; and the studies by name."""
    department = open_department(tmp_path_factory.mktemp("department") / "service", works=True)
    try:
        yield department, fill(department)
    finally:
        department.stop()


@pytest.fixture(scope="session")
def examples() -> dict[str, bytes]:
    """Two pictures and a file that is none, by name."""
    return {
        "one.png": phantom_png("covid19", 128, 0.7),
        "two.png": phantom_png("normal", 128, 0.7),
        "notes.txt": b"no picture at all",
    }


@pytest.fixture(scope="session")
def ward() -> dict[str, bytes]:
    """Three pictures that nobody has sent, by name."""
    return {f"ward {n}.png": phantom_png("bacterial-16bit", 128, 0.5 + n / 10) for n in range(3)}
