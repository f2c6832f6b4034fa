"""The shipped cascade asked from several threads gives what it gives from one."""

import json
from pathlib import Path
from typing import Any

from cxrscreen.batch.run import Options, run_batch
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings
from cxrscreen.systems.registry import load_system

EXAMPLES = Path(__file__).parents[2] / "examples"


def probabilities(out: Path) -> list[Any]:
    lines = (out / "screenings.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["probabilities"] for line in lines]


def test_several_at_once_give_what_one_after_the_other_gives(tmp_path: Path) -> None:
    system = load_system("cascade", engine=EngineSettings(threads=1, streams=3))
    files = sorted(path for path in EXAMPLES.iterdir() if path.suffix in {".png", ".dcm"})
    options = Options(force=True, policy="off", pictures="none")
    for jobs in (1, 3):
        assert run_batch(files, system, tmp_path / str(jobs), read=read, options=options, jobs=jobs).failed == 0
    found = probabilities(tmp_path / "1")
    assert found == probabilities(tmp_path / "3")
    assert len({str(item) for item in found}) == len(files) > 3
