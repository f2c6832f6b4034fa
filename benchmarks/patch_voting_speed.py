"""How long a patch-voting bundle's classifier takes for the patches of an image, three ways, and how often they agree.

    python benchmarks/patch_voting_speed.py BUNDLE FOLDER [--count 20] [--threads 1]

Of COUNT radiographs of FOLDER (spread evenly over it), each segmented and preprocessed beforehand: separate eager torch
forwards of each patch (the published code's way, timed on the first image), the compiled network on batches of patches,
and shared feature maps. Processor seconds, so that other work on the machine counts little; prints one JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cxrscreen.imaging.find import find_images
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import load_engine
from cxrscreen.systems.bundle import Bundle, open_bundle
from cxrscreen.systems.patch_voting.networks import patch_classifier
from cxrscreen.systems.patch_voting.patches import corners_of
from cxrscreen.systems.patch_voting.pipeline import SHARED, ask_patches, find_organs
from cxrscreen.systems.patch_voting.preprocessing import Preprocessing, patch_image
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.shared import ask_shared
from cxrscreen.systems.patch_voting.views import centres_of, lungs_of_patch_image, patch_views
from cxrscreen.systems.patch_voting.voting import majority_vote

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def main() -> None:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    bundle = open_bundle(given.bundle)
    settings = Preprocessing(**bundle.card.preprocessing)
    organs = load_engine(bundle.file("organs.onnx"), threads=given.threads)
    files = find_images([str(given.folder)])
    wanted = min(given.count, len(files))
    pictures = []
    for number in range(wanted):
        pixels = read(files[number * len(files) // wanted]).pixels
        found = find_organs(organs, pixels, settings)
        lungs, _ = lungs_of_patch_image(found.mask, found.probabilities, settings.image_side)
        pictures.append((patch_image(pixels, settings), lungs))
    sys.stdout.write(json.dumps(measure(bundle, settings, pictures, given.threads), indent=1) + "\n")


def measure(bundle: Bundle, settings: Preprocessing, pictures: list[Picture], threads: int) -> dict[str, float]:
    """Time the three ways on prepared images."""
    eager = _eager_seconds(bundle, settings, pictures[0])
    result: dict[str, float] = {
        "images": len(pictures),
        "patches": settings.patches,
        "eager_one_by_one": round(eager, 3),
    }
    classifier = load_engine(bundle.file("classifier.onnx"), threads=threads)
    ask_patches(classifier, *pictures[0], settings)
    start = time.process_time()
    exact = [ask_patches(classifier, image, lungs, settings).probabilities for image, lungs in pictures]
    batched = (time.process_time() - start) / len(pictures)
    result |= {"batched": round(batched, 3), "batched_times_faster": round(eager / batched, 1)}
    for precision in ("f32", "bf16"):
        network = load_engine(bundle.file(SHARED), threads=threads, precision=precision)
        ask_shared(network, *pictures[0], settings)
        start = time.process_time()
        shared = [ask_shared(network, image, lungs, settings) for image, lungs in pictures]
        seconds = (time.process_time() - start) / len(pictures)
        pairs = list(zip(exact, shared, strict=True))
        result |= {
            f"shared_{precision}": round(seconds, 3),
            f"shared_{precision}_times_faster": round(eager / seconds, 1),
            f"shared_{precision}_same_winner": float(
                np.mean([majority_vote(one).label == majority_vote(other).label for one, other in pairs])
            ),
            f"shared_{precision}_same_patch": float(
                np.mean([(one.argmax(axis=1) == other.argmax(axis=1)).mean() for one, other in pairs])
            ),
        }
    return result


def _eager_seconds(bundle: Bundle, settings: Preprocessing, picture: Picture) -> float:
    recipe = PatchVotingRecipe.model_validate(bundle.card.recipe)
    network = patch_classifier(recipe.classifier, recipe.pooling).eval()
    weights = load_engine(bundle.file("classifier.onnx")).weights
    network.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()}, strict=False)
    image, lungs = picture
    corners = corners_of(centres_of(image, lungs, settings), settings.field)
    patches = torch.from_numpy(patch_views(image, lungs, corners, settings, recipe.classifier.side))
    with torch.inference_mode():
        network(patches[:1])
        start = time.process_time()
        for patch in patches:
            network(patch[None])
        return time.process_time() - start


if __name__ == "__main__":
    main()
