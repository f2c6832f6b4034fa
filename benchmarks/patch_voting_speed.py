"""How fast each way of asking about patches is, how often it gives the reference's votes, and which one is shipped.

    python benchmarks/patch_voting_speed.py BUNDLE DATA [--part validation] [--count N] [--threads 1] [--fit N]
        [--write]

On images of the bundle's own split, each segmented and preprocessed beforehand: separate eager torch forwards of each
patch (the published code's way), and each mode of the bundle (cxrscreen.systems.patch_voting.modes). Processor seconds,
so that other work on the machine counts little. On the validation part each mode gets the least ask_again with which
the same class wins as in the reference in at least 99 % of the images; on the test part all have the card's. The rule:
of the modes that hold that and are at least 15 times faster than the separate forwards, the one with the highest
agreement of the patches; else the reference. --fit first fits a linear layer for shared maps to that many training
images and puts it into the bundle. --write puts the chosen mode and its agreement into the bundle's card: choose on the
validation part, and measure the test part afterwards. Prints one JSON object.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
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
from cxrscreen.systems.patch_voting.modes import CLASSIFIER, load_mode, modes_of
from cxrscreen.systems.patch_voting.networks import patch_classifier
from cxrscreen.systems.patch_voting.patches import corners_of
from cxrscreen.systems.patch_voting.pipeline import find_organs
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, patch_image
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.shared_head import fitted_head, own_head, write_shared_head
from cxrscreen.systems.patch_voting.splits import CLASS_SPLIT
from cxrscreen.systems.patch_voting.views import centres_of, lungs_of_patch_image, patch_views
from cxrscreen.systems.patch_voting.voting import majority_vote

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]

TIMES, AGREEMENT = 15.0, 0.99
"""Least speed-up over separate eager forwards, and least share of images with the same winner, of a shipped mode."""
EAGER_IMAGES = 3
"""Images on which the separate forwards are timed."""
LEADS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
"""Leads below which a mode may ask the reference."""
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
            bundle = fit_head(bundle, pictures_of(bundle, manifest, chosen, given.threads), given.threads)
        chosen = spread(split.part(given.part), given.count)
        pictures = pictures_of(bundle, manifest, chosen, given.threads)
        groups = [str(manifest.table.at[image_id, "group"]) for image_id in chosen]
        modes = measure(bundle, pictures, groups, given.threads, choose=given.part == "validation")
    best = shipped(modes)
    if given.write:
        write_choice(bundle, best, modes[best])
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


def fit_head(bundle: Bundle, pictures: Sequence[Picture], threads: int) -> Bundle:
    """Fit the linear layer of shared maps to what the reference says of the same patches, and write it."""
    settings = replace(preprocessing_of(bundle, Preprocessing), ask_again=0.0)
    exact, shared = (load_mode(bundle, mode, EngineSettings(threads=threads)) for mode in ("exact", "shared"))
    from_shared, alone = (
        np.concatenate([ask(*picture, settings).pooled for picture in pictures]) for ask in (shared, exact)
    )
    own = own_head(load_engine(bundle.file(CLASSIFIER)))
    return write_shared_head(bundle, fitted_head(own, from_shared, alone, PENALTY))


def measure(
    bundle: Bundle, pictures: Sequence[Picture], groups: Sequence[str], threads: int, *, choose: bool
) -> dict[str, dict[str, Any]]:
    """Time each mode on prepared images, and compare its votes with the reference's; intervals by patient group.

    ``choose``: each mode with the least ask_again that agrees often enough; else all with the card's.
    """
    settings = preprocessing_of(bundle, Preprocessing)
    eager = _eager_seconds(bundle, settings, pictures[:EAGER_IMAGES])
    result: dict[str, dict[str, Any]] = {"eager": {"seconds": round(eager, 3), "times_faster": 1.0}}
    reference: list[NDArray[np.float32]] = []
    for mode in modes_of(bundle.card.files):
        ask = load_mode(bundle, mode, EngineSettings(threads=threads))
        # Once with every patch by itself, so that whatever may be asked is compiled.
        ask(*pictures[0], replace(settings, ask_again=1.0))
        if choose and reference:
            alone = [ask(*picture, replace(settings, ask_again=0.0)).probabilities for picture in pictures]
            settings = replace(settings, ask_again=least_lead(reference, alone))
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


def same_winner(reference: Sequence[NDArray[np.float32]], answers: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
    """Whether the same class wins, for each image."""
    pairs = zip(reference, answers, strict=True)
    return np.array([majority_vote(one).label == majority_vote(other).label for one, other in pairs])


def least_lead(reference: Sequence[NDArray[np.float32]], answers: Sequence[NDArray[np.float32]]) -> float:
    """The least of LEADS with which the same class wins often enough; the greatest, if none suffices."""
    same, leads = same_winner(reference, answers), np.array([majority_vote(answer).lead for answer in answers])
    return next((lead for lead in LEADS if (same | (leads < lead)).mean() >= AGREEMENT), LEADS[-1])


def _same_patches(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float((one.argmax(axis=1) == other.argmax(axis=1)).mean())


def shipped(modes: Mapping[str, Mapping[str, Any]]) -> str:
    """The mode that the rule chooses; ``exact`` where no other one holds."""
    holding = [
        name
        for name, found in modes.items()
        if "same_winner" in found and found["times_faster"] >= TIMES and found["same_winner"]["value"] >= AGREEMENT
    ]
    return max(holding, key=lambda name: modes[name]["same_patch"]["value"], default="exact")


def write_choice(bundle: Bundle, mode: str, found: Mapping[str, Any]) -> None:
    """Put a mode into the card, with what it costs among the limits."""
    said = "Screening asks about patches in the mode "
    limits = [text for text in bundle.card.limits if not text.startswith(said)]
    if mode != "exact":
        same = found["same_winner"]
        limits.append(
            f"{said}{mode}, {found['times_faster']:.0f} times faster than separate forwards; each patch by itself is "
            f"asked where the lead is less than {100 * found['ask_again']:.0f} % of the patches. The same class as "
            f"patch by patch won in {100 * same['value']:.1f} % [{100 * same['ci_low']:.1f}, "
            f"{100 * same['ci_high']:.1f}] of {same['n']} validation images."
        )
    preprocessing = {**bundle.card.preprocessing, "mode": mode, "ask_again": found["ask_again"]}
    write_card(bundle.folder, bundle.card.model_copy(update={"preprocessing": preprocessing, "limits": limits}))


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
