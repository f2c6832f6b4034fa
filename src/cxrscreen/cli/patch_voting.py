"""``cxrscreen patch-voting``: measure a patch-voting bundle, alone or against its global baseline."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape

from cxrscreen.progress import Bars

if TYPE_CHECKING:
    import pandas as pd

    from cxrscreen.evaluate.patch_voting import Voter
    from cxrscreen.systems.bundle import Bundle


def patch_voting(
    bundle: Annotated[str, typer.Argument(help="Patch-voting bundle: a folder, or a name shipped with cxrscreen.")],
    *,
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV of the images, or the folder that holds it.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the lists, patch-voting.json and patch-voting.md.")],
    against: Annotated[
        str | None, typer.Option("--against", help="A second bundle of the same splits, for example the global one.")
    ] = None,
    elsewhere: Annotated[
        str | None,
        typer.Option(
            "--elsewhere",
            help="Source that trained no organ network, for the lungs. Default: montgomery, where the manifest has it.",
        ),
    ] = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Work folder of the bundle's training: draws its curves too.")
    ] = None,
    part: Annotated[Literal["test", "validation"], typer.Option("--part", help="Part of the splits.")] = "test",
    replicates: Annotated[int, typer.Option("--replicates", min=100, help="Bootstrap resamples.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Measure votes and organs with intervals by patient: accuracy, macro F1, sensitivities, Jaccard.

    Writes DIR/classes.csv (for `cxrscreen metrics`), DIR/lungs.csv, DIR/lungs-elsewhere.csv, DIR/heart.csv,
    DIR/ratios.csv (cardiothoracic), DIR/modes.csv (ways to ask about patches) and a page;
    with --work also the training's curves as PNG and SVG.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.errors import ManifestError
    from cxrscreen.evaluate.patch_voting import (
        class_scores,
        mode_agreement,
        organ_overlaps,
        organ_ratios,
        splits_of_bundle,
    )
    from cxrscreen.evaluate.patch_voting_page import Measured, write_page
    from cxrscreen.evaluate.training_curves import write_curves
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.registry import load_system

    table = load_manifest(manifest)
    own = table.table
    opened = open_bundle(bundle)
    splits = splits_of_bundle(opened, table)
    classes, organs = splits["patch-classes"], splits["patch-organs"]
    names = [bundle] if against is None else [bundle, against]
    for name in names[1:]:
        if splits_of_bundle(open_bundle(name), table)["patch-classes"].digest != classes.digest:
            raise ManifestError(f"{name} was trained on other images: give a bundle of the same splits for --against.")
    masked = _elsewhere(own, elsewhere, {str(own.at[i, "source"]) for i in (*organs.train, *organs.validation)})
    check_writable(out)
    if work is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_curves(work, f"Training of {_named(opened)}", out)
    with Bars() as progress:
        task = progress.add_task("Measuring", total=len(names) * len(classes.part(part)))

        def advance() -> None:
            progress.advance(task)

        voters = [cast("Voter", load_system(name)) for name in names]
        votes = [class_scores(voter, table, classes.part(part), classes.truth, read, advance) for voter in voters]
        progress.update(task, description="Organs", completed=0, total=3 * len(organs.part(part)) + len(masked))
        overlaps = {
            "lungs": organ_overlaps(voters[0], table, organs.part(part), "lungs", read, advance),
            "heart": organ_overlaps(voters[0], table, organs.part(part), "heart", read, advance),
        }
        ratios = organ_ratios(voters[0], table, organs.part(part), read, advance)
        if len(masked):
            ids = [str(image_id) for image_id in masked.index]
            rows = organ_overlaps(voters[0], table, ids, "lungs", read, advance)
            overlaps["lungs-elsewhere"] = rows
            normal = rows["image_id"].isin(masked.index[masked["label"] == "normal"])
            if normal.any():
                overlaps["lungs-elsewhere-normal"] = rows[normal]
        progress.update(task, description="Ways to ask", completed=0, total=len(classes.part(part)))
        modes = mode_agreement(voters[0], table, classes.part(part), read, advance)
    measured = Measured(
        bundle=_named(opened),
        against=None if against is None else _named(open_bundle(against)),
        part=part,
        votes=votes[0],
        other=votes[1] if against is not None else None,
        overlaps=overlaps,
        modes=modes,
        ratios=ratios,
    )
    page = write_page(out, measured, replicates=replicates, seed=seed)
    Console().print(Markdown(page.read_text(encoding="utf-8")))
    Console(stderr=True).print(f"Written to {escape(str(out))}.", soft_wrap=True, highlight=False)


def _named(bundle: "Bundle") -> str:
    """Id of a bundle with its approach, since a baseline carries the name and version of the system."""
    return f"{bundle.card.bundle_id} ({bundle.card.preprocessing['approach']})"


def _elsewhere(table: "pd.DataFrame", source: str | None, taught: set[str]) -> "pd.DataFrame":
    """Images with lungs drawn by people, of a source that did not teach the organ network."""
    from cxrscreen.data.masks import HEART_INCLUDED_SOURCES
    from cxrscreen.errors import ManifestError

    if source in HEART_INCLUDED_SOURCES:
        raise ManifestError(f"The lungs of {source} were drawn with the heart: give another source for --elsewhere.")
    if source in taught:
        raise ManifestError(f"Images of {source} taught the organ network: give another source for --elsewhere.")
    masked = table[(table["source"] == (source or "montgomery")) & (table["lung_mask_origin"] == "human")]
    masked = masked[(masked["duplicate_of"] == "") & ~masked["source"].isin(taught)]
    if source is not None and masked.empty:
        raise ManifestError(
            f"The manifest has no image of the source {source} with lungs drawn by people: give another --elsewhere."
        )
    return masked
