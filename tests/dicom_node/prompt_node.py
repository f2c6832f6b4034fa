"""A node whose system answers at once, as a process of its own: python prompt_node.py FOLDER SETTINGS SECONDS."""

import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from cxrscreen.dicom_node.listen import Screened, listen
from cxrscreen.dicom_node.settings import load_settings
from cxrscreen.imaging.read import read
from cxrscreen.systems.contract import SaliencyMap, Screening, Stage


def prompt_screen(path: Path, seconds: float = 0.0) -> Screened:
    radiograph = read(path)
    time.sleep(seconds)
    mask = np.zeros(radiograph.shape, np.uint8)
    rows, columns = mask.shape
    mask[rows // 4 : rows // 2, : columns // 3], mask[rows // 4 : rows // 2, columns // 2 :] = 1, 2
    heat = np.full(mask.shape, 0.5, np.float32)
    return Screened(
        radiograph,
        Screening(
            (Stage("pneumonia", "Pneumonia against normal", 0.9, 0.5, "youden"),),
            "other_pneumonia",
            0.9,
            mask,
            float((mask > 0).mean()),
            (SaliencyMap("h2", "H2", heat, 0.4),),
            "good",
            (),
            "cascade@test",
            {"total": 0.01},
        ),
    )


def main() -> None:
    folder, settings, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    listen(
        load_settings(settings),
        folder,
        lambda path: prompt_screen(path, seconds),
        stop,
        started=lambda port: Path(f"{settings}.port").write_text(str(port)),
        poll_seconds=0.1,
    )


if __name__ == "__main__":
    main()
