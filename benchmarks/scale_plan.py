"""What 10 million and 1 billion radiographs take, from measurements: a table in Markdown.

python benchmarks/scale_plan.py docs/scale-measured.json [--days 7] [--price 0.04] [--images 10000000 1000000000]

Every figure of the table follows from the measured file, the wanted number of days and the price of a core-hour.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """What was measured of one image.

    Parameters
    ----------
    core_seconds
        Processor time of one core for reading and screening.
    image_bytes
        Bytes of a file as it is fetched.
    row_bytes
        Bytes of its row in Parquet.
    efficiency
        Throughput of two nodes as a share of twice one, in (0, 1].
    worker_bytes
        Resident memory of one worker.
    listing_bytes
        Memory of one listed file in the process that starts the run.
    """

    core_seconds: float
    image_bytes: float
    row_bytes: float
    efficiency: float
    worker_bytes: float
    listing_bytes: float


@dataclass(frozen=True)
class Plan:
    """What a number of images takes.

    Parameters
    ----------
    images
        How many.
    core_hours
        Of processor time, with what distribution costs.
    cores
        That finish in the wanted time.
    memory_gib
        Of all workers.
    read_tb
        Fetched, in 10^12 bytes.
    gbit_a_second
        Network while it runs, in 10^9 bits a second.
    results_gb
        Parquet, in 10^9 bytes.
    listing_gib
        Memory for the list, were it one run.
    price
        Of the core-hours, in the price's currency.
    """

    images: int
    core_hours: float
    cores: int
    memory_gib: float
    read_tb: float
    gbit_a_second: float
    results_gb: float
    listing_gib: float
    price: float


def plan(images: int, measured: Measured, *, days: float, price: float) -> Plan:
    """Work out what a number of images takes within a number of days."""
    core_hours = images * measured.core_seconds / 3600 / measured.efficiency
    cores = math.ceil(core_hours / (days * 24))
    return Plan(
        images,
        core_hours,
        cores,
        cores * measured.worker_bytes / 2**30,
        images * measured.image_bytes / 1e12,
        images * measured.image_bytes * 8 / (days * 86_400) / 1e9,
        images * measured.row_bytes / 1e9,
        images * measured.listing_bytes / 2**30,
        core_hours * price,
    )


def table(plans: Sequence[Plan]) -> str:
    """Write plans as a table in Markdown, one column each."""
    lines = [
        ("images", [f"{one.images:,}" for one in plans]),
        ("core-hours", [f"{one.core_hours:,.0f}" for one in plans]),
        ("cores", [f"{one.cores:,}" for one in plans]),
        ("memory of the workers, GiB", [f"{one.memory_gib:,.0f}" for one in plans]),
        ("images read, TB", [f"{one.read_tb:,.1f}" for one in plans]),
        ("network while it runs, Gbit/s", [f"{one.gbit_a_second:,.2f}" for one in plans]),
        ("results, GB", [f"{one.results_gb:,.1f}" for one in plans]),
        ("list in one process, GiB", [f"{one.listing_gib:,.1f}" for one in plans]),
        ("price of the core-hours", [f"{one.price:,.0f}" for one in plans]),
    ]
    rows = [f"| {name} | {' | '.join(values)} |" for name, values in lines]
    rows.insert(1, "| --- |" + " ---: |" * len(plans))
    return "\n".join(rows) + "\n"


def measured_in(content: Mapping[str, Mapping[str, float | str]]) -> Measured:
    """Read measurements: each has a ``value``, and the ``command`` that made it."""
    return Measured(**{name: float(content[name]["value"]) for name in Measured.__dataclass_fields__})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--price", type=float, default=0.04, help="Of a core-hour; yours.")
    parser.add_argument("--images", type=int, nargs="+", default=[10_000_000, 1_000_000_000])
    given = parser.parse_args()
    measured = measured_in(json.loads(given.measured.read_text(encoding="utf-8")))
    sys.stdout.write(table([plan(number, measured, days=given.days, price=given.price) for number in given.images]))


if __name__ == "__main__":
    main()
