"""The plan's arithmetic, by hand."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def scale_plan() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "scale_plan.py"
    spec = importlib.util.spec_from_file_location("scale_plan", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for their module there.
    sys.modules["scale_plan"] = module
    spec.loader.exec_module(module)
    return module


def test_ten_million_images_by_hand(scale_plan: ModuleType) -> None:
    measured = scale_plan.Measured(0.36, 10e6, 500, 0.8, 2**30, 512)
    found = scale_plan.plan(10_000_000, measured, days=1, price=0.1)
    # 3.6e6 core-seconds are 1,000 core-hours, and 1,250 where a fifth is lost.
    assert found.core_hours == pytest.approx(1250)
    assert found.cores == 53
    assert found.memory_gib == 53
    assert found.read_tb == pytest.approx(100)
    assert found.gbit_a_second == pytest.approx(8e14 / 86_400 / 1e9)
    assert found.results_gb == pytest.approx(5)
    assert found.listing_gib == pytest.approx(4.768, abs=0.001)
    assert found.price == pytest.approx(125)
    assert "| cores | 53 |" in scale_plan.table([found])


def test_measurements_are_read_with_their_values(scale_plan: ModuleType) -> None:
    names = ["core_seconds", "image_bytes", "row_bytes", "efficiency", "worker_bytes", "listing_bytes"]
    read = scale_plan.measured_in({name: {"value": 2, "command": "..."} for name in names})
    assert read.core_seconds == read.listing_bytes == 2
    with pytest.raises(KeyError, match="efficiency"):
        scale_plan.measured_in({"core_seconds": {"value": 2}, "image_bytes": {"value": 2}, "row_bytes": {"value": 2}})
