"""``cxrscreen label-by-tests``: COVID-19 labels of radiographs from the diagnostic tests around them."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


def label_by_tests(
    images: Annotated[Path, typer.Argument(metavar="IMAGES.csv", help="CSV with image_id, patient_id and date.")],
    tests: Annotated[
        Path,
        typer.Argument(
            metavar="TESTS.csv", help="CSV with patient_id, date and result (positive, negative, indeterminate)."
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file for the labels.")],
    days: Annotated[
        float, typer.Option("--days", min=0.01, help="A positive test this far away no longer speaks for an image.")
    ] = 14.0,
) -> None:
    """Label radiographs by tests: positive, unless a negative test is nearer or the nearest positive one too far away.

    Dates are YYYY-MM-DD or YYYY-MM-DD HH:MM; where any date of a patient has no time, all of this patient's count by
    calendar day. Writes a row for each image: covid19 (positive, negative, unknown), the
    reason, and the days to the nearest positive and negative test. A label by tests does not say that the image shows
    anything.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.public_sources.build import write_table
    from cxrscreen.data.test_history import IMAGE_COLUMNS, TEST_COLUMNS, read_table
    from cxrscreen.data.test_history import label_by_tests as label

    labels = label(read_table(images, IMAGE_COLUMNS), read_table(tests, TEST_COLUMNS), limit_days=days)
    check_writable(out.parent)
    write_table(labels, out)
    counts = labels["covid19"].value_counts()
    said = ", ".join(f"{counts.get(answer, 0)} {answer}" for answer in ("positive", "negative", "unknown"))
    Console(stderr=True).print(
        f"{len(labels)} images: {said}. Written to {escape(str(out))}.", soft_wrap=True, highlight=False
    )
