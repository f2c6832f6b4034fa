"""The trainings behind the cascade paper's tables: stages 2 and 3 on chosen images, on lungs that were cut out once."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Part, Split
from cxrscreen.errors import ManifestError
from cxrscreen.imaging.read import read
from cxrscreen.nets.named import classifier_named
from cxrscreen.progress import tracked
from cxrscreen.runtime.engine import load_engine
from cxrscreen.runtime.export import export_classifier
from cxrscreen.systems.bundle import CARD, PROVISIONAL, Bundle, open_bundle, preprocessing_of, sha256_of, write_card
from cxrscreen.systems.cascade.adaptation import DECISIONS, adapt, fine_tune
from cxrscreen.systems.cascade.adaptation_recipe import AdaptRecipe
from cxrscreen.systems.cascade.cohort import Cohort, check_cohort
from cxrscreen.systems.cascade.cutting import cut_cohort
from cxrscreen.systems.cascade.outputs import stage2_outputs, stage3_outputs
from cxrscreen.systems.cascade.pipeline import Preprocessing
from cxrscreen.systems.cascade.recipe import CascadeRecipe, StageRecipe
from cxrscreen.systems.cascade.roi import cut_lungs
from cxrscreen.systems.cascade.roi_table import RoiTable
from cxrscreen.systems.cascade.stamps import stage2_stamp, stage3_stamp, stamp_of
from cxrscreen.systems.cascade.training import h2_maps, train_stage
from cxrscreen.systems.learned import facts_stamp
from cxrscreen.train.augment import grey_quantiles
from cxrscreen.train.steps import once

OUTPUTS = "outputs.csv"
"""What a finished training leaves in its folder: the logits of the held-out images."""
STATE = "final.safetensors"
"""What a finished stage leaves in its own folder."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What all trainings share.

    Parameters
    ----------
    bundle
        Gives stage 1 and the preprocessing.
    recipe
        Of stages 2 and 3, with the bundle's sizes; its seed is set by each training.
    manifest
        All images, with absolute paths.
    images
        Ids of the images whose lungs are cut out.
    work
        Folder for what is cut and trained; a stopped run goes on there, a finished step is not repeated.
    """

    bundle: Bundle
    recipe: CascadeRecipe
    manifest: Manifest
    images: tuple[str, ...]
    work: Path

    @cached_property
    def lungs(self) -> tuple[RoiTable, str]:
        """The cut-out lungs of all images, and a fingerprint."""
        everything = Cohort(self.manifest, {}, frozenset(), self.images, 0, frozenset())
        return cut_cohort(self.bundle, everything, self.work / "cuts")

    @cached_property
    def whole(self) -> tuple[RoiTable, str]:
        """The whole radiographs in the same form, without stage 1: nothing is cut off and nothing is masked."""
        file = self.work / "whole" / "radiographs.npz"
        settings = preprocessing_of(self.bundle, Preprocessing).roi(self.recipe.side)
        nothing = np.zeros((8, 8), np.uint8)

        def look(path: Path) -> None:
            cut = [
                cut_lungs(read(self.manifest.image_file(i)).pixels, nothing, settings)
                for i in tracked(self.images, "Reading whole radiographs")
            ]
            with path.open("wb") as stream:
                np.savez(
                    stream,
                    pixels=np.stack([np.round(each.pixels * 255).astype(np.uint8) for each in cut]),
                    masks=np.stack([each.mask.astype(np.uint8) for each in cut]),
                    quantiles=np.stack([grey_quantiles(each.pixels, each.mask > 0) for each in cut]),
                    image_ids=np.array(self.images),
                )

        images = [[i, str(self.manifest.image_file(i))] for i in self.images]
        made = once(file, {"settings": asdict(settings), "images": images}, look)
        return RoiTable.load(file), made


def train_stages(
    bench: Bench,
    learned: Mapping[str, Split],
    held: Mapping[str, Split],
    folder: Path,
    *,
    seed: int,
    both: bool = True,
    masked: bool = True,
    stage2_in: Path | None = None,
) -> pd.DataFrame:
    """Train stage 2, and stage 3 on its heat maps, and ask them about held-out images.

    Parameters
    ----------
    bench
        Images, stage 1 and settings.
    learned
        Splits by protocol whose training parts are learned from; their validation parts choose the epoch.
    held
        Splits whose validation and test parts are asked about; none of their images is in a training part of
        ``learned``.
    folder
        Of this training; a finished one is read, not repeated. Where ``both``, ``folder/bundle`` is left too.
    seed
        Of the training.
    both
        False: stage 2 alone.
    masked
        False: the whole radiograph, without stage 1.
    stage2_in
        Folder of another training with the same stage 2, which is trained there once for both; None: ``folder``.

    Returns
    -------
    DataFrame
        A row for each held-out image: ``image_id``, ``source``, ``group``, ``label``, ``part``, and the logits
        ``pneumonia`` and ``covid19``, NaN where an image was not asked.

    Raises
    ------
    RecipeError
        If the folder holds another training, or the training diverges.
    ManifestError
        If a part holds one class only, or an image is learned from and held out.
    """
    _check(learned, held, both=both)
    torch.set_float32_matmul_precision("high")
    recipe = bench.recipe.model_copy(update={"seed": seed})
    rois, made = bench.lungs if masked else bench.whole
    split2, split3 = learned["stage2"], learned["stage3"]

    def stage(
        number: str, settings: StageRecipe, split: Split, stage2: dict[str, Tensor], path: Path
    ) -> dict[str, Tensor]:
        weighting = h2_maps(recipe, rois, split, stage2, path) if number == "3" else None
        return train_stage(recipe, settings, bench.manifest, split, rois, weighting, stage2, None, path)

    state2, made2 = _kept(
        (stage2_in or folder) / "stage2",
        stage2_stamp(recipe, bench.manifest, split2, rois=made, tutor=""),
        lambda path: stage("2", recipe.stage2, split2, {}, path),
    )
    states, made3 = {"pneumonia": state2}, ""
    if both:
        states["covid19"], made3 = _kept(
            folder / "stage3",
            stage3_stamp(recipe, bench.manifest, split3, stage2=made2),
            lambda path: stage("3", recipe.stage3, split3, state2, path),
        )
    asked = held["stage2"]
    depends = {
        "stages": [made2, made3],
        "mirrored": recipe.mirrored,
        "held": [asked.digest, held["stage3"].digest],
        "facts": facts_stamp(bench.manifest, [*asked.validation, *asked.test]),
    }

    def look(path: Path) -> None:
        graphs = _exported(recipe, states, folder / "graphs")
        if both:
            _write_bundle(bench.bundle, graphs, folder / "bundle")
        _look(bench, rois, held, graphs).to_csv(path, index=False)

    once(folder / OUTPUTS, depends, look)
    return pd.read_csv(folder / OUTPUTS, dtype={"image_id": str, "group": str})


def adapt_stages(bench: Bench, base: Path, cohort: Cohort, recipe: AdaptRecipe, folder: Path) -> pd.DataFrame:
    """Fine-tune the bundle that :func:`train_stages` left in ``base`` by Eq. 2.

    Parameters
    ----------
    bench
        As for the training of ``base``.
    base
        The folder of that training.
    cohort, recipe
        As for :func:`cxrscreen.systems.cascade.adaptation.adapt`; the cohort's images are those of the bench.
    folder
        Of this run; a finished one is read, not repeated.

    Returns
    -------
    DataFrame
        See :class:`cxrscreen.systems.cascade.adaptation.Adapted`.
    """
    _, made = bench.lungs
    # The lungs are the same for every base; what a base says of the images is kept beside them.
    cuts = base / "cuts"
    cuts.mkdir(exist_ok=True)
    for file in sorted((bench.work / "cuts").glob("lungs-*.npz*")):
        if not (cuts / file.name).exists():
            (cuts / file.name).symlink_to(file.resolve())
    bundle = open_bundle(base / "bundle")
    depends = {
        "images": made,
        "base": [bundle.card.files[f"{decision}.safetensors"] for decision in DECISIONS.values()],
        "preprocessing": dict(bundle.card.preprocessing),
        "recipe": stamp_of(recipe),
        "splits": [split.digest for split in cohort.splits.values()],
        "facts": facts_stamp(cohort.manifest, cohort.images),
        "new": hashlib.sha256("\n".join(sorted(cohort.new)).encode()).hexdigest(),
    }

    def run(path: Path) -> None:
        adapt(bundle, cohort, recipe, folder / "work", cuts=cuts).logits.to_csv(path, index=False)
        shutil.rmtree(folder / "work", ignore_errors=True)

    once(folder / OUTPUTS, depends, run)
    return pd.read_csv(folder / OUTPUTS, dtype={"image_id": str, "group": str})


def tune_stage2(bench: Bench, base: Path, cohort: Cohort, recipe: AdaptRecipe, folder: Path) -> pd.DataFrame:
    """Fine-tune by Eq. 2 the stage 2 of a training that has no stage 3, since the new disease was not there yet.

    Parameters
    ----------
    bench
        As for the training of ``base``.
    base
        The folder of that training.
    cohort
        New and old images; the held-out ones, and the images to learn from, are on the bench.
    recipe
        Of the fine-tuning; its ``stage2`` counts.
    folder
        Of this run; a finished one is read, not repeated.

    Returns
    -------
    DataFrame
        As of :func:`adapt_stages`, without the logits of stage 3.

    Raises
    ------
    ManifestError
        If the cohort lacks a class or a file.
    RecipeError
        If the folder holds another run, or the training diverges.
    """
    check_cohort(cohort, "2", with_old=recipe.with_old)
    torch.set_float32_matmul_precision("high")
    rois, made = bench.lungs
    graph = base / "graphs" / "pneumonia.onnx"
    origin: dict[str, object] = {"images": made, "base": sha256_of(graph.with_suffix(".safetensors"))}

    def look_before(path: Path) -> None:
        found = np.full(len(rois.row), np.nan, np.float32)
        found[rois.rows(cohort.images)] = stage2_outputs(load_engine(graph), rois, cohort.images, bench.recipe.h2)[0]
        with path.open("wb") as stream:
            np.save(stream, found)

    once(base / "before.npy", origin | {"asked": list(cohort.images)}, look_before)
    before: NDArray[np.float32] = np.load(base / "before.npy")
    depends = origin | {
        "recipe": stamp_of(recipe),
        "split": cohort.splits["stage2"].digest,
        "facts": facts_stamp(cohort.manifest, cohort.images),
        "new": hashlib.sha256("\n".join(sorted(cohort.new)).encode()).hexdigest(),
    }

    def run(path: Path) -> None:
        network = classifier_named(bench.recipe.stage2.network, pooling=bench.recipe.pooling)
        network.load_state_dict(load_file(base / "stage2" / STATE))
        state = fine_tune(network.eval(), "2", cohort, recipe, rois, before, None, folder / "run")
        graphs = _exported(bench.recipe, {"pneumonia": state}, folder / "run")
        table = _held_out(bench.manifest, cohort.splits["stage2"])
        ids = table["image_id"].tolist()
        after, _ = stage2_outputs(load_engine(graphs["pneumonia"]), rois, ids, bench.recipe.h2)
        table["new"] = cohort.is_new(ids)
        table["pneumonia_before"] = before[rois.rows(ids)].astype(np.float64)
        table["pneumonia_after"] = after.astype(np.float64)
        table.to_csv(path, index=False)
        shutil.rmtree(folder / "run", ignore_errors=True)

    once(folder / OUTPUTS, depends, run)
    return pd.read_csv(folder / OUTPUTS, dtype={"image_id": str, "group": str})


def _check(learned: Mapping[str, Split], held: Mapping[str, Split], *, both: bool) -> None:
    for name in ("stage2", "stage3") if both else ("stage2",):
        split = learned[name]
        for part in (split.train, split.validation):
            if len({split.truth[i] for i in part}) < 2:
                raise ManifestError(f"Images of one class only are left to train {name}: add images of the other one.")
        asked = {*held[name].validation, *held[name].test}
        if asked & set(split.train):
            raise ManifestError(f"{len(asked & set(split.train))} images are learned from and held out for {name}.")


def _kept(
    folder: Path, depends: Mapping[str, object], train: Callable[[Path], dict[str, Tensor]]
) -> tuple[dict[str, Tensor], str]:
    """A state trained once, and its fingerprint."""
    file = folder / STATE

    def run(path: Path) -> None:
        state = train(folder)
        save_file({name: value.contiguous() for name, value in state.items()}, path)
        # Checkpoints are several times the network, and nothing needs them any more.
        for left in (*folder.glob("phase*"), folder / "engine"):
            shutil.rmtree(left, ignore_errors=True)

    made = once(file, depends, run)
    return load_file(file), made


def _exported(recipe: CascadeRecipe, states: Mapping[str, Mapping[str, Tensor]], folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {}
    for decision, state in states.items():
        stage = recipe.stage2 if decision == "pneumonia" else recipe.stage3
        network = classifier_named(stage.network, pooling=recipe.pooling)
        network.load_state_dict(dict(state))
        graphs[decision] = folder / f"{decision}.onnx"
        export_classifier(network.eval(), recipe.side, folder / f"{decision}.safetensors", graphs[decision])
    return graphs


def _write_bundle(source: Bundle, graphs: Mapping[str, Path], out: Path) -> None:
    """Write a bundle to fine-tune and nothing else: it has the lungs of its source, and no figures of its own."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    files = [source.file(f"lungs{suffix}") for suffix in (".onnx", ".safetensors")]
    files += [graph.with_suffix(suffix) for graph in graphs.values() for suffix in (".onnx", ".safetensors")]
    for file in files:
        shutil.copyfile(file, out / file.name)
    write_card(
        out,
        source.card.model_copy(
            update={
                "stages": dict.fromkeys(graphs, PROVISIONAL),
                "results": {},
                "files": {file.name: sha256_of(file) for file in sorted(out.iterdir()) if file.name != CARD},
            }
        ),
    )


def _look(bench: Bench, rois: RoiTable, held: Mapping[str, Split], graphs: Mapping[str, Path]) -> pd.DataFrame:
    table = _held_out(bench.manifest, held["stage2"])
    ids = table["image_id"].tolist()
    logits, maps = stage2_outputs(load_engine(graphs["pneumonia"]), rois, ids, bench.recipe.h2)
    table["pneumonia"] = logits.astype(np.float64)
    table["covid19"] = np.nan
    if "covid19" in graphs:
        asked = [i for i in ids if i in held["stage3"].truth]
        h2: NDArray[np.float32] = np.zeros((len(rois.row), *maps.shape[1:]), np.float32)
        h2[rois.rows(ids)] = maps
        given = stage3_outputs(load_engine(graphs["covid19"]), rois, asked, h2, mirrored=bench.recipe.mirrored)
        table.loc[table["image_id"].isin(asked), "covid19"] = given.astype(np.float64)
    return table


def _held_out(manifest: Manifest, split: Split) -> pd.DataFrame:
    """The images of validation and test, in the order of their ids, with what a table needs to know of them."""
    parts: tuple[Part, ...] = ("validation", "test")
    part_of = {i: part for part in parts for i in split.part(part)}
    table = manifest.table.loc[sorted(part_of), ["image_id", "source", "group", "label"]].reset_index(drop=True)
    table["part"] = [part_of[i] for i in table["image_id"]]
    return table
