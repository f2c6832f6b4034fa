"""The benchmarks of the service in small: the real processes, a few uploads, a kill or two."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.services

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name, out, *options):
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--out", str(out), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    figures = out / f"{name}.json"
    assert figures.exists(), ended.stderr[-2000:]
    return json.loads(figures.read_text())


def test_damaged_and_malicious_uploads_end_well(tmp_path):
    found = run("service_fuzz", tmp_path / "out", "--count", "60")
    assert found["sound"], found
    assert found["uploads"] == 60
    assert all(sum(ends.values()) >= 6 for ends in found["ends"].values())
    assert found["memory_mib"]["server"]["samples"] > 20


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_or_doubled_when_all_or_one_worker_is_killed(tmp_path, database):
    chosen = []
    if database == "postgresql":
        if not (shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))):
            pytest.skip("PostgreSQL is not installed")
        chosen = ["--database", "postgresql"]
    sizes = ["--images", "12", "--clients", "4", "--kills", "1", "--worker-kills", "1", "--workers", "2"]
    found = run("service_load", tmp_path / "out", *sizes, *chosen)
    assert found["sound"], found
    assert (found["results"], found["kills"], found["worker_kills"]) == (12, 1, 1)
