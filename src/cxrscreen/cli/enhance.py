"""``cxrscreen enhance``: contrast enhancements of radiographs, side by side with their histograms."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen.progress import Bars

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Method(Enum):
    """The enhancements, for the command line."""

    he = "he"
    ahe = "ahe"
    clahe = "clahe"
    beasf = "beasf"
    match = "match"


DEFAULT_METHODS = [Method.he, Method.ahe, Method.clahe, Method.beasf]


def enhance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Radiographs.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the pictures; made if missing.")],
    method: Annotated[
        list[Method], typer.Option("--method", "-m", help="Enhancement; may be given more than once.")
    ] = DEFAULT_METHODS,
    gamma: Annotated[
        list[float] | None, typer.Option("--gamma", help="Slope of BEASF; more than one gives as many pictures. [1.5]")
    ] = None,
    clip: Annotated[float, typer.Option("--clip", min=0.01, help="Limit of CLAHE, in mean bins of a tile.")] = 2.0,
    tiles: Annotated[int, typer.Option("--tiles", min=1, max=64, help="Tiles of AHE and CLAHE in a row.")] = 8,
    reference: Annotated[
        Path | None,
        typer.Option("--reference", help="Radiograph whose histogram --method match takes over, and --stack before."),
    ] = None,
    stack: Annotated[
        bool,
        typer.Option(
            "--stack", help="Also the three channels of COVID-CXNet as one: original red, CLAHE green, BEASF blue."
        ),
    ] = False,
) -> None:
    """Enhance the contrast of radiographs.

    Writes DIR/NAME-METHOD.png (8 bits) for each file and method, and DIR/NAME-comparison.png and .svg: the original and
    all of them over their histograms; with --stack DIR/NAME-stack.png as well. Enhancement adds no information. Exit
    code: 0 all done, 1 some files failed.
    """
    from cxrscreen.batch.folders import check_stems_differ, safe_stem
    from cxrscreen.batch.run import check_writable
    from cxrscreen.errors import CxrscreenError, UnreadableImageError
    from cxrscreen.evaluate.figures import write_figure
    from cxrscreen.imaging.encode import encode_png
    from cxrscreen.imaging.enhancement import grey_quantiles
    from cxrscreen.imaging.enhancement.beasf import GREATEST_GAMMA, LEAST_GAMMA
    from cxrscreen.imaging.enhancement.comparison import comparison_figure
    from cxrscreen.imaging.enhancement.levels import to_levels
    from cxrscreen.imaging.read import read
    from cxrscreen.report.wording import printable, shown_name, without_folders

    slopes = gamma or [1.5]
    if not all(LEAST_GAMMA <= slope <= GREATEST_GAMMA for slope in slopes):
        raise CxrscreenError(
            f"A slope --gamma of BEASF lies between {LEAST_GAMMA:g} and {GREATEST_GAMMA:g}: give for example 1.5."
        )
    if (Method.match in method and reference is None) or (reference and not stack and Method.match not in method):
        raise CxrscreenError("--method match (or --stack) and --reference FILE belong together: give both, or neither.")
    check_stems_differ(files)
    target = None if reference is None else grey_quantiles(read(reference).pixels)
    check_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    console, failed = Console(stderr=True), 0
    with Bars(console=console) as progress:
        for file in progress.track(files, description="Enhancing"):
            try:
                pixels = read(file).pixels
            except UnreadableImageError as error:
                failed += 1
                reason = without_folders(str(error), file)
                console.print(f"[red]failed[/red] {escape(reason)}", soft_wrap=True, highlight=False)
                continue
            made = _enhanced(pixels, method, slopes, clip, tiles, target)
            pictures = {"Original": pixels} | {title: enhanced for (_, title), enhanced in made.items()}
            stem = safe_stem(file)
            try:
                for (name, _), enhanced in made.items():
                    (out / f"{stem}-{name}.png").write_bytes(encode_png(to_levels(enhanced)))
                if stack:
                    (out / f"{stem}-stack.png").write_bytes(encode_png(_stack(pixels, slopes[0], clip, tiles, target)))
                write_figure(comparison_figure(pictures, "Contrast enhancement"), out, f"{stem}-comparison")
            except OSError as error:
                failed += 1
                reason = f"The pictures of {shown_name(file)} could not be written ({error.strerror})"
                said = f"[red]failed[/red] {escape(reason)}; check space and rights."
                console.print(said, soft_wrap=True, highlight=False)
    place = escape(printable(str(out)))
    console.print(f"{len(files) - failed} of {len(files)} enhanced, in {place}.", soft_wrap=True, highlight=False)
    if failed:
        raise typer.Exit(1)


def _stack(
    pixels: "NDArray[np.float32]", slope: float, clip: float, tiles: int, reference: tuple[float, ...] | None
) -> "NDArray[np.uint8]":
    """The three channels of COVID-CXNet as a colour picture, uint8 (H, W, 3)."""
    import numpy as np

    from cxrscreen.imaging.enhancement import Enhancement, match_histogram, three_channels
    from cxrscreen.imaging.enhancement.levels import to_levels

    matched = pixels if reference is None else match_histogram(pixels, reference)
    settings = Enhancement(clip_limit=clip, tiles=tiles, gamma=slope)
    return np.moveaxis(to_levels(three_channels(matched, settings)), 0, -1)


def _enhanced(
    pixels: "NDArray[np.float32]",
    methods: list[Method],
    slopes: list[float],
    clip: float,
    tiles: int,
    reference: tuple[float, ...] | None,
) -> Mapping[tuple[str, str], "NDArray[np.float32]"]:
    """Enhanced images by file-safe name and title."""
    from cxrscreen.imaging.enhancement import METHODS, Enhancement
    from cxrscreen.imaging.enhancement import enhance as enhance_pixels

    made = {}
    for method in dict.fromkeys(methods):
        for slope in slopes if method is Method.beasf else slopes[:1]:
            name, title = method.value, METHODS[method.value]
            if method is Method.beasf:
                name, title = f"beasf-{slope:g}", f"BEASF, gamma {slope:g}"
            settings = Enhancement(clip_limit=clip, tiles=tiles, gamma=slope)
            made[name, title] = enhance_pixels(pixels, method.value, settings, reference)
    return made
