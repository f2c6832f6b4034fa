"""``cxrscreen evaluate --protocol disease-regions``: the diseased region against the known one."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import typer
from rich.console import Console
from rich.markdown import Markdown

from cxrscreen.progress import Bars

HEALTHY = 100
"""Normal images, drawn by the seed, on which is measured how much is called falsely."""


def evaluate_regions(
    bundle: str | None,
    system: str | None,
    manifest: Path,
    out: Path,
    *,
    sources: Sequence[str],
    part: Literal["test", "validation"],
    seed: int,
    limit: int | None,
    replicates: int,
) -> None:
    """Measure and write; the parameters are those of ``cxrscreen evaluate``.

    Normal images are measured beside those with a known region. What taught the bundle by its own split is left out,
    whatever the seed.
    """
    from cxrscreen.batch.run import check_writable
    from cxrscreen.data.disease_masks import disease_masks
    from cxrscreen.data.manifest import load_manifest
    from cxrscreen.data.protocols import make_split
    from cxrscreen.evaluate.disease_regions import RegionProvenance, healthy_rows, region_rows, write_regions
    from cxrscreen.evaluate.run import chosen_images
    from cxrscreen.imaging.read import read
    from cxrscreen.systems.bundle import open_bundle
    from cxrscreen.systems.learned import LEARNED, images_digest, taught_by
    from cxrscreen.systems.registry import bundle_named, load_system

    console, errors = Console(), Console(stderr=True)
    chosen, table = bundle_named(bundle, system), load_manifest(manifest)
    regions, made = disease_masks(table), open_bundle(chosen)
    taught_here = images_digest(table) == made.card.data.images_sha256
    own = dict.fromkeys(name for names in made.card.data.sources.values() for name in names) if taught_here else {}
    among = tuple(sources) or tuple(own)
    split = make_split("comit-images", table, seed, among)
    taught = taught_by(made.file(LEARNED), table, part)
    known = [i for i in split.part(part) if i in regions.image_ids]
    free = [i for i in known if i not in (taught or ())]
    images = chosen_images(free, limit, seed)
    normal = table.table.index[table.table["label"] == "normal"]
    unknown = [i for i in split.part(part) if i in normal and i not in (taught or ()) and i not in regions.image_ids]
    healthy = chosen_images(unknown, min(limit or HEALTHY, HEALTHY), seed)
    check_writable(out)
    loaded = load_system(chosen)
    with Bars(console=errors) as progress:
        task = progress.add_task(f"diseased regions, {part} part", total=len(images))
        rows, failures = region_rows(loaded, table, regions, images, read, advance=lambda: progress.advance(task))
        task = progress.add_task("images without disease", total=len(healthy))
        calm, failed = healthy_rows(loaded, table, healthy, read, advance=lambda: progress.advance(task))
    left_out = None if taught is None else len(known) - len(free)
    about = RegionProvenance(
        loaded.bundle_id, part, seed, among, left_out=left_out, recall=made.card.recipe.get("region_recall")
    )
    failures |= failed
    files = write_regions(out, rows, failures, about, healthy=calm, replicates=replicates)
    console.print(Markdown(files["metrics.md"].read_text(encoding="utf-8")))
    if failures:
        raise typer.Exit(1)
