"""``cxrscreen learning-curves``: the curves of a COVID-CXNet training as pictures, finished or still running."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape


def learning_curves(
    work: Annotated[Path, typer.Argument(help="Work folder of the training: BUNDLE.work, or what --work named.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures; made if missing.")],
) -> None:
    """Draw loss, accuracy, AUC and the share of Grad-CAM inside the lungs, epoch by epoch (paper, Figs. 11, 12, 16).

    Writes DIR/curves-classifier.png and .svg and, where the network was pre-trained here, DIR/curves-findings.png and
    .svg. Validation images chose the epoch that was kept, so that their figures are no measurement.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.evaluate.reproduce.covid_cxnet.curves import write_curves

    check_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    files = write_curves(work, work.name.removesuffix(".work"), out)
    names = ", ".join(path.name for paths in files.values() for path in paths)
    Console(stderr=True).print(f"Written to {escape(str(out))}: {names}.", soft_wrap=True, highlight=False)
