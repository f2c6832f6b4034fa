"""How fast each way of asking about patches is, how often it gives the reference's votes, and which one is shipped.

    python benchmarks/patch_voting_speed.py BUNDLE DATA [--part validation] [--count N] [--threads 1] [--fit N]
        [--write]

On images of the bundle's own split, each segmented and preprocessed beforehand: separate eager torch forwards of each
patch (the published code's way), and each mode of the bundle (cxrscreen.systems.patch_voting.modes). Processor seconds,
so that other work on the machine counts little. On the validation part each mode gets the greatest ask_again with which
it is fast enough; on the test part all have the card's. The rule: of the modes that agree in at least 99 % of the
images and are at least 15 times faster than the separate forwards, the one with the highest agreement of the patches;
else the reference. --fit first fits a linear layer for shared maps to that many training images and puts it into the
bundle, which is asked in exact from then on. --write puts the chosen mode and its agreement into the bundle's card:
choose on the validation part, and measure the test part afterwards. Prints one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cxrscreen import RESEARCH_USE
from cxrscreen.data.manifest import Manifest, load_manifest
from cxrscreen.evaluate.bootstrap import bootstrap, grouped_rate
from cxrscreen.evaluate.patch_voting import splits_of_bundle
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import EngineSettings, load_engine
from cxrscreen.systems.bundle import Bundle, open_bundle, preprocessing_of, write_card
from cxrscreen.systems.patch_voting.mode_choice import asked_in, greatest_lead, same_winner, shipped_mode
from cxrscreen.systems.patch_voting.modes import CLASSIFIER, fit_shared_head, load_modes
from cxrscreen.systems.patch_voting.networks import patch_classifier
from cxrscreen.systems.patch_voting.patches import corners_of
from cxrscreen.systems.patch_voting.pipeline import find_organs
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, patch_image
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.splits import CLASS_SPLIT
from cxrscreen.systems.patch_voting.views import centres_of, lungs_of_patch_image, patch_views

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]

EAGER_IMAGES = 3
"""Images on which the separate forwards are timed."""
PENALTY = 0.1
"""See :func:`cxrscreen.systems.patch_voting.shared_head.fitted_head`."""


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument("--count", type=int, default=None, help="Images, spread evenly over the part. Default: all.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--modes", nargs="*", help="Measure these beside exact. Default: all.")
    parser.add_argument("--fit", type=int, default=0, help="Training images for the linear layer of shared maps.")
    parser.add_argument("--write", action="store_true", help="Put the chosen mode into the card.")
    given = parser.parse_args()
    if given.write and given.part != "validation":
        parser.error("--write chooses a mode: that is done on the validation part")
    if given.fit and given.part != "validation":
        parser.error("--fit changes the bundle: that is done before the test part is measured")
    torch.set_num_threads(given.threads)
    bundle, manifest = open_bundle(given.bundle), load_manifest(given.data)
    with threadpool_limits(given.threads):
        split = splits_of_bundle(bundle, manifest)[CLASS_SPLIT]
        if given.fit:
            chosen = spread(np.random.default_rng(0).permutation(split.train).tolist(), given.fit)
            learned = pictures_of(bundle, manifest, chosen, given.threads)
            bundle = fit_shared_head(bundle, learned, PENALTY, EngineSettings(threads=given.threads))
        chosen = spread(split.part(given.part), given.count)
        pictures = pictures_of(bundle, manifest, chosen, given.threads)
        groups = [str(manifest.table.at[image_id, "group"]) for image_id in chosen]
        modes = measure(bundle, pictures, groups, given.threads, choose=given.part == "validation", only=given.modes)
    best = shipped_mode(modes)
    if given.write:
        write_card(bundle.folder, asked_in(bundle.card, best, modes[best]))
    about = {"notice": RESEARCH_USE, "bundle": bundle.card.bundle_id, "part": given.part, "images": len(chosen)}
    patches = preprocessing_of(bundle, Preprocessing).patches
    content = {**about, "patches": patches, "threads": given.threads, "modes": modes, "shipped": best}
    sys.stdout.write(json.dumps(content, indent=1) + "\n")


def spread(image_ids: Sequence[str], count: int | None) -> list[str]:
    """So many of the images, spread evenly; None: all."""
    count = min(count or len(image_ids), len(image_ids))
    return [image_ids[number * len(image_ids) // count] for number in range(count)]


def pictures_of(bundle: Bundle, manifest: Manifest, image_ids: Sequence[str], threads: int) -> list[Picture]:
    """Segment and preprocess images."""
    settings = preprocessing_of(bundle, Preprocessing)
    organs = load_engine(bundle.file("organs.onnx"), threads=threads)
    pictures = []
    for image_id in image_ids:
        pixels = read(manifest.image_file(image_id)).pixels
        found = find_organs(organs, pixels, settings)
        lungs, _ = lungs_of_patch_image(found.mask, found.probabilities, settings.image_side)
        pictures.append((patch_image(pixels, settings), lungs))
    return pictures


def measure(
    bundle: Bundle,
    pictures: Sequence[Picture],
    groups: Sequence[str],
    threads: int,
    *,
    choose: bool,
    only: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Time each mode on prepared images, and compare its votes with the reference's; intervals by patient group.

    ``choose``: each mode with the greatest ask_again that its speed allows; else all with the card's.
    """
    settings = preprocessing_of(bundle, Preprocessing)
    eager = _eager_seconds(bundle, settings, pictures[:EAGER_IMAGES])
    result: dict[str, dict[str, Any]] = {"eager": {"seconds": round(eager, 3), "times_faster": 1.0}}
    reference: list[NDArray[np.float32]] = []
    loaded = load_modes(bundle, EngineSettings(threads=threads))
    for mode, load in loaded.items():
        if mode not in {"exact", *(only or loaded)}:
            continue
        ask, alone = load(), replace(settings, ask_again=0.0)
        # Once before the clock starts; the reference, which all may ask again, comes first and is compiled by then.
        ask(*pictures[0], alone)
        if choose and reference:
            start = time.process_time()
            unasked = [ask(*picture, alone).probabilities for picture in pictures]
            seconds = (time.process_time() - start) / len(pictures)
            exact = result["exact"]["seconds"]
            settings = replace(settings, ask_again=greatest_lead(unasked, eager=eager, alone=seconds, exact=exact))
        start = time.process_time()
        answers = [ask(*picture, settings).probabilities for picture in pictures]
        seconds = (time.process_time() - start) / len(pictures)
        reference = reference or answers
        patches = np.array([_same_patches(one, other) for one, other in zip(reference, answers, strict=True)])
        winner = same_winner(reference, answers)
        result[mode] = {
            "seconds": round(seconds, 3),
            "times_faster": round(eager / seconds, 1),
            "ask_again": 0.0 if mode == "exact" else settings.ask_again,
            "same_winner": asdict(grouped_rate(winner, np.array(groups))),
            "same_patch": asdict(bootstrap(partial(weighted_mean, patches), list(groups))),
        }
    return result


def _same_patches(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def _eager_seconds(bundle: Bundle, settings: Preprocessing, pictures: Sequence[Picture]) -> float:
    """Processor seconds of an image's patches, one eager forward each."""
    recipe = PatchVotingRecipe.model_validate(bundle.card.recipe)
    network = patch_classifier(recipe.classifier, recipe.pooling).eval()
    weights = load_engine(bundle.file(CLASSIFIER)).weights
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    total = 0.0
    for image, lungs in pictures:
        corners = corners_of(centres_of(image, lungs, settings), settings.field)
        patches = torch.from_numpy(patch_views(image, lungs, corners, settings, recipe.classifier.side))
        with torch.inference_mode():
            network(patches[:1])
            start = time.process_time()
            for patch in patches:
                network(patch[None])
            total += time.process_time() - start
    return total / len(pictures)


if __name__ == "__main__":
    main()
