"""An install without the training and runtime extras screens, with every heat map."""

import json
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "covid19-portable.dcm"
PROGRAM = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "lightning", "onnx", "onnxruntime", "onnxscript", "nncf", "torchvision"}:
            raise ModuleNotFoundError(f"{name} is not installed", name=name)
        return None

sys.meta_path.insert(0, Nothing())
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("torch is still there")
from cxrscreen.cli.app import main
main()
"""


def cxrscreen(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_a_dicom_file_gets_its_report_and_all_its_maps(tmp_path: Path) -> None:
    done = cxrscreen("screen", EXAMPLE, "--out", tmp_path, "--force", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "screenings.jsonl").read_text(encoding="utf-8"))
    assert row["status"] == "screened"
    assert all(0 <= value <= 1 for value in row["probabilities"].values())
    pictures = {path.name for path in (tmp_path / EXAMPLE.stem).glob("*.png")}
    assert {"h2.png", "h3.png", "guided.png", "lung_overlay.png"} <= pictures


def test_an_engine_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    done = cxrscreen("screen", EXAMPLE, "--out", tmp_path, "--engine", "torch")
    assert done.returncode == 2
    assert "install cxrscreen[train], or choose openvino" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
