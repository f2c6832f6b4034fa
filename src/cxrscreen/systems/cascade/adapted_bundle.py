"""From an adaptation to a new bundle, whose card says what it was adapted from, on which images and how."""

import hashlib
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxrscreen.data.protocols import PROTOCOLS
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_guided
from cxrscreen.systems.bundle import (
    Bundle,
    Card,
    DataCard,
    StageCard,
    check_out,
    open_bundle,
    preprocessing_of,
    sha256_of,
    write_card,
)
from cxrscreen.systems.cascade.adaptation import Adapted, network_of
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.cohort import NEW_DISEASE, Cohort
from cxrscreen.systems.cascade.pipeline import Preprocessing

PROTOCOL_OF: Mapping[str, str] = {"pneumonia": "stage2", "covid19": "stage3"}
"""Protocol that measures a decision."""


def write_adapted(
    bundle: Bundle,
    cohort: Cohort,
    recipe: AdaptRecipe,
    adapted: Adapted,
    stages: Mapping[str, StageCard],
    results: Mapping[str, Any],
    out: Path,
) -> Bundle:
    """Write the adapted bundle.

    What was not adapted is copied. Of the old card's results those of the lungs stay, and those of a decision that was
    neither adapted nor given other heat maps; all others were measured on networks that are not these.

    Parameters
    ----------
    bundle
        What was adapted.
    cohort, recipe, adapted
        The images, the settings and what came of them.
    stages
        Operating points and temperature of the decisions that changed.
    results
        The figures before and after, for the card's ``results.adaptation``.
    out
        A new or empty folder.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder.
    """
    check_out(out)
    part = out.with_name(f"part-{out.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in bundle.card.files:
        shutil.copyfile(bundle.file(name), part / name)
    for decision, graph in adapted.graphs.items():
        for file in (graph, graph.with_suffix(".safetensors")):
            shutil.copyfile(file, part / file.name)
        if decision == "covid19":
            network = network_of(part / f"{decision}.safetensors", preprocessing_of(bundle, Preprocessing).pooling)
            side = _side_of(bundle)
            export_guided(network, side, part / f"{decision}.safetensors", part / f"{decision}-guided.onnx")
    names = {}
    for protocol, split in cohort.splits.items():
        names[protocol] = _free_name(bundle.card, protocol)
        split.save(part / f"split-{names[protocol]}.json.gz")
    files = {file.name: sha256_of(file) for file in sorted(part.iterdir())}
    write_card(part, _card(bundle.card, cohort, recipe, adapted, stages, results, names, files))
    if out.is_dir():
        out.rmdir()
    return open_bundle(part.rename(out))


def adapted_version(version: str, digest: str) -> str:
    """The next minor version, with the beginning of the weights' digest: two adaptations are never taken for one.

    ``"1.2.0"`` and ``"ab12cd34..."`` give ``"1.3.0+adapted.ab12cd34"``; so does ``"1.2.0+adapted.99999999"``.
    """
    found = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version.partition("+")[0])
    base = f"{found[1]}.{int(found[2]) + 1}.0" if found else version.partition("+")[0]
    return f"{base}+adapted.{digest[:8]}"


def _card(
    card: Card,
    cohort: Cohort,
    recipe: AdaptRecipe,
    adapted: Adapted,
    stages: Mapping[str, StageCard],
    results: Mapping[str, Any],
    names: Mapping[str, str],
    files: Mapping[str, str],
) -> Card:
    weights = "".join(files[f"{decision}.safetensors"] for decision in PROTOCOL_OF)
    how = f"lambda {recipe.distillation:g}" if recipe.with_old else "on the new images alone"
    record = {
        "from": card.bundle_id,
        "from_files": {name: card.files[name] for name in sorted(card.files) if name.endswith(".safetensors")},
        "new_disease": NEW_DISEASE,
        "cases": cohort.cases,
        "images": cohort.counts(),
        "splits": dict(names),
        "recipe": recipe.model_dump(mode="json"),
    }
    kept = {
        name: result
        for name, result in card.results.items()
        if (name in PROTOCOLS and PROTOCOLS[name].lungs) or (name == "stage2" and "pneumonia" not in adapted.graphs)
    }
    return card.model_copy(
        update={
            "version": adapted_version(card.version, hashlib.sha256(weights.encode()).hexdigest()),
            "created": datetime.now(UTC).date().isoformat(),
            "limits": [
                *card.limits,
                f"Adapted from {card.bundle_id} on {cohort.cases} case(s) labelled {NEW_DISEASE} ({how}); so few cases "
                "show neither how well it finds the disease elsewhere nor that it has not learned the new hospital.",
            ],
            "stages": {**card.stages, **stages},
            "data": _data(card.data, cohort, recipe, names),
            "recipe": card.recipe | {"adaptations": [*card.recipe.get("adaptations", []), record]},
            "results": kept | {"adaptation": dict(results)},
            "files": dict(files),
        }
    )


def _data(data: DataCard, cohort: Cohort, recipe: AdaptRecipe, names: Mapping[str, str]) -> DataCard:
    """The images that the bundle had learned from, and those that the adaptation adds."""
    learned = {i for split in cohort.splits.values() for i in cohort.used(split.train, with_old=recipe.with_old)}
    table = cohort.manifest.table.loc[sorted(learned)]
    images = {source: dict(labels) for source, labels in data.images.items()}
    for (source, label), rows in table[~table["image_id"].isin(cohort.seen)].groupby(["source", "label"]):
        counts = images.setdefault(str(source), {})
        counts[str(label)] = counts.get(str(label), 0) + len(rows)
    return data.model_copy(
        update={
            "splits": data.splits | {name: cohort.splits[protocol].digest for protocol, name in names.items()},
            "images": images,
            "licences": sorted({*data.licences, *(text for text in table["license"] if text)}),
        }
    )


def _free_name(card: Card, protocol: str) -> str:
    """Name of the adaptation's split: a bundle adapted again keeps those of the adaptations before."""
    number = len(card.recipe.get("adaptations", [])) + 1
    return f"adaptation{number}-{protocol}"


def _side_of(bundle: Bundle) -> int:
    return load_engine(bundle.file("covid19.onnx")).image_shape[1]
