"""Calibrate a cascade's 8-bit lung network, measure what bf16 and int8 change, and write it into the card.

    python benchmarks/precision_agreement.py BUNDLE --manifest DATA [--images 500] [--calibrate 200] [--write]

The lung network alone gets an 8-bit twin: it takes more than half of the processor's time; the classifiers gain nothing
from it. It is calibrated on images of the training parts. The default precision is the fastest of which, on the
validation parts, at most 0.5% of the decisions flip and the AUC changes by at most 0.002; the same figures on the test
parts are only reported. The bundle is changed with --write alone (the card, and the 8-bit twin where it is chosen),
else a copy is measured and thrown away. Prints JSON.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from rich.console import Console
from rich.progress import Progress

from cxrscreen import RESEARCH_USE
from cxrscreen.data.manifest import Manifest, load_manifest
from cxrscreen.data.protocols import Part, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.evaluate.agreement import Agreement, ask_in_each, choose_precision, measure_agreement
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.evaluate.run import Question, chosen_images
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings, Precision, load_engine
from cxrscreen.runtime.export_int8 import export_int8
from cxrscreen.systems.bundle import Bundle, open_bundle, sha256_of, write_card
from cxrscreen.systems.cascade.lungs import segmenter_input
from cxrscreen.systems.registry import load_system

STAGES = {"stage2": "pneumonia", "stage3": "covid19"}
COMMAND = "python benchmarks/precision_agreement.py BUNDLE --manifest DATA --images {images} --calibrate {calibrate}"


def main() -> None:
    """Run the measurement, write the card if asked, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--images", type=int, default=500, help="of each part of each decision; 0: all")
    parser.add_argument("--calibrate", type=int, default=200)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    manifest = load_manifest(given.manifest)
    bundle = open_bundle(given.bundle)
    splits = splits_of(bundle, manifest)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / bundle.folder.name
        shutil.copytree(bundle.folder, copy)
        inputs = calibration_images(manifest, splits, given.calibrate, segmenter_side(copy))
        made = export_int8(copy / "lungs.onnx", inputs)
        measured = measure(copy, manifest, splits, given.images or None, given.threads)
        # A twin that is not used would be a third more to download.
        shipped = made if given.write and measured["default"] == "int8" else ()
        for file in shipped:
            shutil.copy(file, bundle.folder / file.name)
    entry = {
        "command": COMMAND.format(images=given.images, calibrate=given.calibrate),
        "calibration_images": len(inputs),
        **measured,
    }
    if given.write:
        files = dict(bundle.card.files) | {file.name: sha256_of(bundle.folder / file.name) for file in shipped}
        results = dict(bundle.card.results) | {"precision": entry}
        write_card(bundle.folder, bundle.card.model_copy(update={"files": files, "results": results}))
    sys.stdout.write(json.dumps({"notice": RESEARCH_USE, "bundle": bundle.card.bundle_id, **entry}, indent=1) + "\n")


def splits_of(bundle: Bundle, manifest: Manifest) -> dict[str, Split]:
    """The splits of both decisions, which must be those that the bundle was trained on."""
    data, found = bundle.card.data, {}
    for name in STAGES:
        found[name] = make_split(name, manifest, data.seed, data.sources.get(name, ()))
        if found[name].digest != data.splits.get(name):
            raise ManifestError(f"The split {name} of this manifest is not the one that {bundle.card.bundle_id} names.")
    return found


def calibration_images(
    manifest: Manifest, splits: dict[str, Split], count: int, side: int
) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Inputs of the lung network, drawn from the training parts."""
    trained = sorted({image_id for split in splits.values() for image_id in split.train})
    chosen = chosen_images(trained, count)
    return [segmenter_input(read(manifest.image_file(i)).pixels, side)[None, None] for i in chosen]


def segmenter_side(folder: Path) -> int:
    """Side of the lung network's input."""
    return load_engine(folder / "lungs.onnx").image_shape[1]


def measure(
    folder: Path, manifest: Manifest, splits: dict[str, Split], images: int | None, threads: int | None
) -> dict[str, Any]:
    """Agreement of each precision with f32 on both parts, and what is chosen from the validation part."""
    precisions = get_args(Precision)
    systems = {name: load_system(folder, engine=EngineSettings(precision=name, threads=threads)) for name in precisions}
    card = open_bundle(folder).card
    parts: dict[str, dict[Precision, dict[str, Agreement]]] = {}
    content: dict[str, Any] = {}
    names: tuple[Part, Part] = ("validation", "test")
    for part in names:
        questions = [
            Question(split, chosen_images(split.part(part), images), STAGES[name]) for name, split in splits.items()
        ]
        wanted = len({image_id for question in questions for image_id in question.image_ids})
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"Screening the {part} parts", total=wanted)
            tables, overlap = ask_in_each(systems, read, manifest, questions, advance=partial(progress.advance, task))
        parts[part] = {
            name: {
                protocol: measure_agreement(
                    tables["f32"][protocol], table, card.stages[STAGES[protocol]].point().threshold
                )
                for protocol, table in tables[name].items()
            }
            for name in precisions
            if name != "f32"
        }
        content[part] = {
            name: {STAGES[protocol]: plain(agreement) for protocol, agreement in found.items()}
            | {
                "lung_mask_dice": {
                    "mean": round(float(overlap[name].mean()), 5),
                    "smallest": round(float(overlap[name].min()), 4),
                }
            }
            for name, found in parts[part].items()
        }
    chosen = choose_precision(parts["validation"])
    held = chosen == "f32" or all(agreement.holds for agreement in parts["test"][chosen].values())
    return {"default": chosen, "rule_holds_on_test": held, **content}


def plain(agreement: Agreement) -> dict[str, Any]:
    """Rounded values for the card."""
    return {
        "images": agreement.images,
        "largest_probability_difference": round(agreement.largest_difference, 5),
        "flips": _interval(agreement.flips),
        "auc_change": _interval(agreement.auc_change),
        "within_the_rule": agreement.holds,
    }


def _interval(estimate: Estimate) -> dict[str, Any]:
    values = {name: asdict(estimate)[name] for name in ("value", "ci_low", "ci_high")}
    return {name: None if value is None else round(value, 5) for name, value in values.items()}


if __name__ == "__main__":
    main()
