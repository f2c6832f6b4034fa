"""What the fast path is compared with: plain eager PyTorch, one image at a time, in one process.

    python benchmarks/speed_eager.py cascade BUNDLE FOLDER [--count 40] [--threads 2] [--pictures full]
    python benchmarks/speed_eager.py xrv FOLDER [--count 40] [--threads 2]

``cascade``: the same bundle and the same steps (reading, preprocessing, maps, pictures) on torch in float32.
``xrv``: torchxrayvision's DenseNet-121 with its own preprocessing where it is installed, else the same architecture
(18 outputs, one channel, 224 pixels) with that preprocessing; random weights. Prints one JSON object.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from screen_speed import spread

from cxrscreen.batch.pictures import PICTURES, Pictures, write_pictures
from cxrscreen.imaging.read import read
from cxrscreen.nets.densenet import DenseNet121
from cxrscreen.runtime.engine import EngineSettings
from cxrscreen.systems.registry import load_system

XRV_SIDE, XRV_REACH, XRV_OUTPUTS = 224, 1024.0, 18
WARM_UP = 2


def main() -> None:
    """Run one loop and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_subparsers(dest="loop", required=True)
    for name in ("cascade", "xrv"):
        loop = which.add_parser(name)
        if name == "cascade":
            loop.add_argument("bundle")
            loop.add_argument("--pictures", choices=PICTURES, default="full")
        loop.add_argument("folder", type=Path)
        loop.add_argument("--count", type=int, default=40)
        loop.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    files = spread(given.folder, given.count)
    loops = {"cascade": lambda: cascade(files, given.bundle, given.threads, given.pictures), "xrv": lambda: xrv(files)}
    result = loops[given.loop]()
    sys.stdout.write(json.dumps(result) + "\n")


def cascade(files: list[Path], bundle: str, threads: int, pictures: Pictures) -> dict[str, Any]:
    """The whole cascade with all maps and the pictures."""
    system = load_system(bundle, engine=EngineSettings("torch", threads=threads))
    with tempfile.TemporaryDirectory() as out:

        def one(path: Path) -> None:
            radiograph = read(path)
            screening = system.screen(radiograph, force=True, policy="off")
            write_pictures(Path(out) / path.stem, radiograph, screening, pictures)

        return timed(one, files)


def xrv(files: list[Path]) -> dict[str, Any]:
    """One DenseNet-121 and no maps."""
    network, name = xrv_network()

    def one(path: Path) -> None:
        with torch.inference_mode():
            network(torch.from_numpy(xrv_input(read(path).pixels)[None, None])).numpy()

    return timed(one, files) | {"network": name}


def xrv_network() -> tuple[torch.nn.Module, str]:
    """The library's own network, or one of the same architecture."""
    try:
        import torchxrayvision  # noqa: PLC0415 - not among this project's dependencies
    except (ImportError, RuntimeError):
        return DenseNet121(num_outputs=XRV_OUTPUTS).eval(), "DenseNet-121 of the same architecture"
    return torchxrayvision.models.DenseNet(weights=None, num_classes=XRV_OUTPUTS).eval(), "torchxrayvision"


def xrv_input(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Its preprocessing: grey values to [-1024, 1024], the middle square, 224 pixels; float32 (224, 224)."""
    scaled = (2.0 * pixels - 1.0) * XRV_REACH
    side = min(scaled.shape)
    top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
    square = scaled[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (XRV_SIDE, XRV_SIDE), interpolation=cv2.INTER_AREA), np.float32)


def timed(one: Callable[[Path], None], files: list[Path]) -> dict[str, Any]:
    """Seconds an image after a warm-up, by the wall and by the processor."""
    for path in files[:WARM_UP]:
        one(path)
    wall, processor = time.perf_counter(), time.process_time()
    for path in files:
        one(path)
    return {
        "images": len(files),
        "seconds_an_image": round((time.perf_counter() - wall) / len(files), 5),
        "processor_seconds_an_image": round((time.process_time() - processor) / len(files), 5),
    }


if __name__ == "__main__":
    main()
