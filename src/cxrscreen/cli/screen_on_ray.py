"""``cxrscreen screen --on ray``: sources beyond one machine, results as Parquet."""
# ruff: noqa: PLC0415 - imported on use, since Ray is an extra

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.cli.screening_progress import advanced, screening_progress
from cxrscreen.cli.terminal import undisturbed_terminal
from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from cxrscreen.batch.run import Options
    from cxrscreen.runtime.engine import EngineSettings
    from cxrscreen.systems.triage import TriagePolicy


@dataclass(frozen=True)
class Cluster:
    """Where the work is done, and in what pieces.

    Parameters
    ----------
    address
        Of a running cluster; None: one of this machine.
    workers
        Radiographs at the same time; None: one for each core.
    memory
        Bytes that a node must have free for each of them; None: not asked.
    shard
        Files that are handed out and written together; None: by their number.
    """

    address: str | None
    workers: int | None
    memory: int | None
    shard: int | None


def screen_on_ray(
    sources: Sequence[str],
    out: str,
    *,
    bundle: str,
    engine: "EngineSettings",
    options: "Options",
    triage: "TriagePolicy | None",
    cluster: Cluster,
    resume: bool,
) -> None:
    """Screen sources on a Ray cluster, write the results, and end with the exit code of :func:`screen`.

    Raises
    ------
    CxrscreenError
        If the extra is missing, a source cannot be listed, or cluster or output cannot be used.
    typer.Exit
        1 where files failed, 3 where none failed and some were refused.
    """
    try:
        from cxrscreen.batch.cluster.on_ray import Work, connected, on_ray
        from cxrscreen.batch.cluster.one_file import Asked
        from cxrscreen.batch.cluster.rounds import Counts, screen_items
        from cxrscreen.batch.cluster.shards import shard_size
        from cxrscreen.batch.cluster.sources import items_of
        from cxrscreen.batch.cluster.store import ResultStore
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Batches on Ray are not installed ({error.name} is missing): pip install 'cxrscreen[ray]'."
        ) from error
    from cxrscreen.batch.folders import PICTURES
    from cxrscreen.runtime.engine import with_precision
    from cxrscreen.systems.bundle import open_bundle

    store = ResultStore(out)
    pictures = Path(store.root, PICTURES) if options.pictures != "none" else None
    if pictures is not None and not store.local:
        raise CxrscreenError("Pictures need a folder that every node sees as --out; leave them out, or name one.")
    opened = open_bundle(bundle)
    # Workers may have another working directory; a shipped one they find by its name.
    bundle = str(opened.folder.absolute()) if opened.folder == Path(bundle) else bundle
    engine = with_precision(engine, opened.card.results)
    options = replace(options, engine=f"{engine.backend} {engine.precision}")
    asked = Asked(opened.card.bundle_id, __version__, options, triage, pictures)
    head = {"bundle": asked.bundle, "software": asked.software, **asdict(options)}
    head |= {"triage": None if triage is None else triage.model_dump(mode="json")}
    console = Console(stderr=True)
    with undisturbed_terminal() as terminal:
        with terminal.status("Listing the sources"):
            items = items_of(sources)
        if not items:
            raise CxrscreenError("No image was found in the sources; check path, URL, pattern and your rights.")
        with store.opened(head, resume=resume):
            left, kept = store.unfinished(items)
            if len(left) < len(items):
                terminal.print(f"Finished by an earlier run: {len(items) - len(left)} of {len(items)} files.")
            counts = Counts(kept)
            if left:
                work = Work(bundle, engine, asked)
                terminal.print("Starting Ray; each worker loads the model first.")
                with connected(cluster.address, cluster.workers) as workers, screening_progress(terminal) as progress:
                    task = progress.add_task("Screening", total=len(left), rate="")
                    new = screen_items(
                        left,
                        store,
                        lambda shards: on_ray(shards, work, workers=workers, memory=cluster.memory),
                        asked,
                        size=cluster.shard or shard_size(len(left), workers),
                        on_written=lambda written: advanced(progress, task, sum(written.values())),
                    )
                counts.add(new.by_status)
    found = counts.by_status
    line = f"{found['screened']} screened, {found['refused']} refused, {found['failed']} failed"
    console.print(f"{line}. Results: {escape(store.results)}", soft_wrap=True)
    console.print(RESEARCH_USE, soft_wrap=True)
    if found["failed"]:
        raise typer.Exit(1)
    if found["refused"]:
        raise typer.Exit(3)
