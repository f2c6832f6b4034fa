"""Adapting the cascade to a new disease: stage 2, then stage 3, by Eq. 2 of the cascade paper, all else frozen."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from cxrscreen.errors import BundleError, RecipeError
from cxrscreen.nets.classifier import Classifier, Pooling
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_classifier
from cxrscreen.runtime.export_modules import network_from
from cxrscreen.runtime.weights import Weights
from cxrscreen.systems.bundle import Bundle, preprocessing_of
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.cohort import STAGES, Cohort, check_cohort
from cxrscreen.systems.cascade.cutting import cut_cohort
from cxrscreen.systems.cascade.outputs import Outputs, stage2_outputs
from cxrscreen.systems.cascade.pipeline import Preprocessing
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.systems.cascade.stamps import stamp_of
from cxrscreen.systems.cascade.tutoring import group_of
from cxrscreen.systems.learned import facts_stamp
from cxrscreen.train.batches import EvenBatches, patients_of
from cxrscreen.train.classifier import BinaryTask
from cxrscreen.train.loop import SCORE, fit
from cxrscreen.train.steps import once

DECISIONS: Mapping[str, str] = {"2": "pneumonia", "3": "covid19"}
"""Name of each stage's decision, as its files and the card call it."""
VALIDATION_BATCH = 64


@dataclass(frozen=True, eq=False)
class Adapted:
    """What an adaptation gives.

    Parameters
    ----------
    graphs
        Graph of each adapted network by decision, its weights beside it, named as in a bundle.
    logits
        A row for each held-out image: ``image_id``, ``source``, ``group``, ``label``, ``part`` (``validation`` or
        ``test``), ``new``, and ``pneumonia_before``, ``pneumonia_after``, ``covid19_before``, ``covid19_after``, the
        logits of the bundle and of the adapted one; the latter two are NaN for normal images.
    """

    graphs: Mapping[str, Path]
    logits: pd.DataFrame


def adapt(bundle: Bundle, cohort: Cohort, recipe: AdaptRecipe, work: Path, *, cuts: Path | None = None) -> Adapted:
    """Fine-tune stage 2, then stage 3, on new and old images, and look at the held-out ones before and after.

    Parameters
    ----------
    bundle
        A cascade.
    cohort, recipe
        The images and the settings.
    work
        Folder for intermediate arrays and checkpoints; a stopped run goes on there.
    cuts
        Folder for what depends on the bundle and the images alone, shared by runs that differ in the recipe. None:
        inside ``work``.

    Raises
    ------
    ManifestError
        If the cohort lacks a class or a file; see :func:`cxrscreen.systems.cascade.cohort.check_cohort`.
    RecipeError
        If the training diverges, or the work folder holds steps of another adaptation.
    BundleError
        If the bundle's networks are not a cascade's.
    UnreadableImageError
        If an image is damaged.
    """
    check_cohort(cohort, recipe.stage, with_old=recipe.with_old)
    torch.set_float32_matmul_precision("high")
    settings = preprocessing_of(bundle, Preprocessing)
    rois, made = cut_cohort(bundle, cohort, cuts or work / "cuts")
    before, made = _outputs_before(bundle, cohort, rois, cuts or work / "cuts", made)
    held, held3 = (
        [i for part in ("validation", "test") for i in cohort.splits[name].part(part)] for name in STAGES.values()
    )
    after, graphs = before, {}
    if recipe.stage != "3":
        graphs["pneumonia"], made = _tuned(bundle, "2", cohort, recipe, rois, before.pneumonia, None, work, made)
        asked = sorted({*held, *(cohort.splits["stage3"].train if recipe.stage == "both" else ())})
        after = after.with_stage2(load_engine(graphs["pneumonia"]), rois, asked, settings.h2)
    if recipe.stage != "2":
        graphs["covid19"], _ = _tuned(bundle, "3", cohort, recipe, rois, before.covid19, after.h2, work, made)
    stage3 = load_engine(graphs.get("covid19", bundle.file("covid19.onnx")))
    after = after.with_stage3(stage3, rois, held3, mirrored=settings.mirrored)
    return Adapted(graphs, _table(cohort, held, before, after))


def network_of(weights: Path, pooling: Pooling) -> Classifier:
    """A classifier from a bundle's weights (float16 kernels become float32), its normalisation statistics at rest.

    Raises
    ------
    BundleError
        If the file does not hold one of its networks with one output.
    """
    another = f"{weights.name} holds another network than the cascade's: give one of its bundles."
    try:
        network = network_from(Weights(weights))
    except BundleError as error:
        raise BundleError(another) from error
    if not isinstance(network, Classifier) or network.classifier.out_features != 1:
        raise BundleError(another)
    network.pooling = pooling
    return network.eval()


def fine_tune(
    network: Classifier,
    number: str,
    cohort: Cohort,
    recipe: AdaptRecipe,
    rois: RoiTable,
    outputs: NDArray[np.float32],
    h2: NDArray[np.float32] | None,
    folder: Path,
) -> dict[str, Tensor]:
    """Minimise Eq. 2 from a network's present weights, its normalisation statistics left as they are.

    Parameters
    ----------
    network
        Changed in place; in evaluation mode, so that new images do not shift the statistics under the old ones.
    number
        ``"2"`` or ``"3"``.
    cohort, recipe, rois
        Images, settings and cut-out lungs.
    outputs
        float32 (N,): logits of the frozen pre-trained network by the table's rows; those on D_o are held to.
    h2
        float32 (N, h, w) for stage 3 (Eq. 3), None for stage 2.
    folder
        For checkpoints.

    Returns
    -------
    dict
        The state with the smallest cross-entropy on the validation images, all drawn groups counting the same.
    """
    lightning.seed_everything(recipe.seed, verbose=False)
    split, phase = cohort.splits[STAGES[number]], recipe.stage2 if number == "2" else recipe.stage3
    learned, seen = (cohort.used(ids, with_old=recipe.with_old) for ids in (split.train, split.validation))
    batches = phase.batches or -(-len(learned) // phase.batch)
    sampler = EvenBatches(
        # Normal, other pneumonia and the new disease are drawn evenly (section 3).
        _groups(cohort, learned),
        ["new" if i in cohort.new else "old" for i in learned],
        weights={} if recipe.new_share is None else {"new": recipe.new_share, "old": 1 - recipe.new_share},
        batch=phase.batch,
        batches=batches,
        seed=recipe.seed,
        patients=patients_of(cohort.manifest.table.loc[learned], phase),
    )
    task = IncrementalTask(
        network,
        phase,
        phase.epochs * batches,
        recipe.seed,
        sources=_groups(cohort, seen),
        smoothing=recipe.smoothing,
        # With lambda 0, Eq. 2 is plain training on D.
        teacher=teacher_of(cohort, learned, outputs[rois.rows(learned)]) if recipe.distillation else None,
        distillation=recipe.distillation,
    )
    side = rois.pixels.shape[1]
    training = rois.images(learned, [split.truth[i] for i in learned], side, recipe.augment, h2)
    validation = rois.images(seen, [split.truth[i] for i in seen], side, None, h2)
    return fit(
        task,
        DataLoader(training, batch_sampler=sampler),
        DataLoader(validation, batch_size=VALIDATION_BATCH),
        phase,
        recipe.compute,
        folder,
    )


def teacher_of(cohort: Cohort, image_ids: Sequence[str], outputs: NDArray[np.float32]) -> Tensor:
    """Outputs to hold to, (N,): the pre-trained network's on D_o, NaN on all other images."""
    return torch.from_numpy(np.where(cohort.in_old_set(image_ids), outputs, np.float32(np.nan)))


class IncrementalTask(BinaryTask):
    """Eq. 2, scored by cross-entropy on validation images: few cases, or one class alone, have no AUC to go by.

    ``sources`` are the groups of the validation images, which count the same.
    """

    def on_validation_epoch_end(self) -> None:
        """Log the score: minus the mean of the groups' mean cross-entropies."""
        logits, truth, index = (torch.cat(column) for column in zip(*self._seen, strict=True))
        self._seen.clear()
        if not torch.isfinite(logits).all():
            raise RecipeError("The training diverged (its outputs are no numbers): lower the learning rate.")
        loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").numpy()
        groups = self.sources[index.numpy()]
        each = {str(group): float(loss[groups == group].mean()) for group in np.unique(groups)}
        for group, value in each.items():
            self.log(f"loss_{group}", value)
        self.log(SCORE, -float(np.mean(list(each.values()))), prog_bar=True)


def _tuned(
    bundle: Bundle,
    number: str,
    cohort: Cohort,
    recipe: AdaptRecipe,
    rois: RoiTable,
    outputs: NDArray[np.float32],
    h2: NDArray[np.float32] | None,
    work: Path,
    made: str,
) -> tuple[Path, str]:
    """Fine-tune and export one stage unless that is done; its graph and a fingerprint."""
    folder, decision = work / f"stage{number}", DECISIONS[number]
    phase = recipe.stage2 if number == "2" else recipe.stage3
    split = cohort.splits[STAGES[number]]
    depends = {
        "from": made,
        "recipe": stamp_of(recipe, exclude={"stage", "stage2", "stage3"}),
        "phase": phase.model_dump(mode="json"),
        "split": split.digest,
        "facts": facts_stamp(cohort.manifest, [*split.train, *split.validation]),
        "new": hashlib.sha256(json.dumps(sorted(cohort.new)).encode()).hexdigest(),
    }

    def tune(graph: Path) -> None:
        network = network_of(bundle.file(f"{decision}.safetensors"), preprocessing_of(bundle, Preprocessing).pooling)
        network.load_state_dict(fine_tune(network, number, cohort, recipe, rois, outputs, h2, folder / "run"))
        export_classifier(network.eval(), rois.pixels.shape[1], folder / f"{decision}.safetensors", graph)
        # Checkpoints are several times the network, and nothing needs them any more.
        shutil.rmtree(folder / "run", ignore_errors=True)

    made = once(folder / f"{decision}.onnx", depends, tune)
    return folder / f"{decision}.onnx", made


def _outputs_before(bundle: Bundle, cohort: Cohort, rois: RoiTable, folder: Path, made: str) -> tuple[Outputs, str]:
    """What the bundle says of all images, kept: the outputs to hold to, and the figures before."""
    truth3 = cohort.splits["stage3"].truth
    pneumonia, settings = [i for i in cohort.images if i in truth3], preprocessing_of(bundle, Preprocessing)

    def look(path: Path) -> None:
        logits, h2 = stage2_outputs(load_engine(bundle.file("pneumonia.onnx")), rois, cohort.images, settings.h2)
        nothing = np.full(len(cohort.images), np.nan, np.float32)
        outputs = Outputs(rois.row, logits, nothing, h2)
        stage3 = load_engine(bundle.file("covid19.onnx"))
        outputs = outputs.with_stage3(stage3, rois, pneumonia, mirrored=settings.mirrored)
        with path.open("wb") as file:
            np.savez(file, pneumonia=outputs.pneumonia, covid19=outputs.covid19, h2=outputs.h2)

    weights = [bundle.card.files[f"{decision}.safetensors"] for decision in DECISIONS.values()]
    depends = {"from": made, "weights": weights, "settings": asdict(settings), "stage3": pneumonia}
    if settings.mirrored:
        # Beside the settings, which say so too: stage 3 was once asked about one view whatever they said.
        depends["views"] = "both"
    made = once(folder / "before.npz", depends, look)
    with np.load(folder / "before.npz") as stored:
        return Outputs(rois.row, stored["pneumonia"], stored["covid19"], stored["h2"]), made


def _table(cohort: Cohort, held: Sequence[str], before: Outputs, after: Outputs) -> pd.DataFrame:
    table = cohort.manifest.table.loc[list(held), ["image_id", "source", "group", "label"]].reset_index(drop=True)
    validation = set(cohort.splits["stage2"].validation)
    table["part"] = ["validation" if i in validation else "test" for i in held]
    table["new"] = cohort.is_new(held)
    rows = before.rows(held)
    for when, outputs in (("before", before), ("after", after)):
        table[f"pneumonia_{when}"] = outputs.pneumonia[rows].astype(np.float64)
        table[f"covid19_{when}"] = outputs.covid19[rows].astype(np.float64)
    return table


def _groups(cohort: Cohort, image_ids: Sequence[str]) -> list[str]:
    return [group_of(str(cohort.manifest.table.at[i, "label"])) for i in image_ids]
