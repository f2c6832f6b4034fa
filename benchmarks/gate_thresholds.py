"""Fit the scope gate's weights and thresholds, and measure it.

    python benchmarks/gate_thresholds.py DATA [--bundle cascade] [--measures FILE] [--write]

DATA is the folder with ``manifest.csv``. Weights and thresholds come from the training and validation parts of the
split of stage 2 (by cross-validation with patients kept together) and from one half of the constructed pictures; the
figures that are printed, a line each, come from the test part and the other half. Lateral views are in no protocol:
they follow their patient's part, or the hash of their group. ``--measures`` keeps what was measured of each image (no
pixels) for another run; ``--write`` replaces the file that ships with the package.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gate_pictures import Grey, body_slice, crops, cut_off, everyday, real_slice, screen_photograph
from PIL import Image
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cxrscreen.data.manifest import Manifest, load_manifest
from cxrscreen.data.phantoms import draw_spec, render
from cxrscreen.data.protocols import PARTS, make_split
from cxrscreen.evaluate.delong import delong_interval
from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.runtime.engine import Engine, load_engine
from cxrscreen.systems.bundle import open_bundle
from cxrscreen.systems.cascade.pipeline import find_lungs
from cxrscreen.systems.gate.fitted import FARTHEST, Fitted, Logistic, Thresholds
from cxrscreen.systems.gate.judge import POLICIES, codes
from cxrscreen.systems.gate.measures import measure

SEED = 0
ADULTS = {"train": 40, "validation": 25, "test": 90}
"""Frontal images of adults (or of unknown age) drawn from each source, by part."""
CHILDREN = {"train": 100, "validation": 30, "test": 80}
"""Images drawn from Kermany; the few children of other sources are all taken."""
SLICES, PHANTOMS, TEXTS = 40, 60, 20
SIDE = 640

SCOPE = (
    "area", "balance", "solidity", "certainty", "doubt", "stray", "level", "mirrored", "aspect", "gap", "off_centre",
    "chest_likeness", "symmetry", "contrast", "roughness", "black", "black_rim", "middle",
)  # fmt: skip
PHOTOGRAPH = ("grid", "roughness", "letters", "black_rim", "middle")
# Shapes alone: grey values and sharpness would tell the hospital instead of the age.
CHILD = ("aspect", "gap", "apex", "solidity", "mirrored", "level", "height", "width", "balance")
CLASSES: Mapping[str, Mapping[str, str]] = {
    "scope": {
        "adult": "frontal", "child": "frontal", "phantom": "frontal", "lateral": "lateral", "ct": "ct_slice",
        "everyday": "not_a_chest",
    },
    "photograph": {"adult": "other", "child": "other", "phantom": "other", "text": "other", "photo": "photograph"},
    "child": {"adult": "other", "child": "child"},
}  # fmt: skip
"""By regression: what each kind of picture is to it."""
STRENGTHS = (0.1, 0.3, 1.0, 3.0)
MOST = {"out_of_scope": 0.01, "photograph": 0.005, "child": 0.05, "cut_off": 0.025, "letters": 0.005}
"""Share of good adult images, mean of the sources, that a threshold may object to when it is chosen."""
TOO_SMALL = 200
WANTED = {
    "lateral": "lateral", "child": "child", "ct": "ct_slice", "everyday": "not_a_chest", "photo": "photograph",
    "cut": "cut_off", "text": "burned_in_text",
}  # fmt: skip
"""The code that each kind should get."""


def main() -> None:
    """Measure the images, fit, and print the figures of the test part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", default="cascade")
    parser.add_argument("--measures", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.measures is not None and given.measures.exists():
        table = pd.read_csv(given.measures)
    else:
        segmenter = load_engine(open_bundle(given.bundle).file("lungs.onnx"))
        rows = [*real_images(load_manifest(given.data), segmenter), *constructed_images(segmenter)]
        table = pd.DataFrame(rows)
        if given.measures is not None:
            table.to_csv(given.measures, index=False)
    model, held_out = fit(table[table["part"] != "test"])
    if given.write:
        target = Path(str(resources.files("cxrscreen.systems.gate"))) / "fitted.json"
        target.write_text(json.dumps(model.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    result = figures(table[table["part"] == "test"], model) | {"refused_in_cross_validation": held_out}
    for name, figure in result.items():
        sys.stdout.write(f"{name}: {json.dumps(figure)}\n")


def real_images(manifest: Manifest, segmenter: Engine) -> Iterator[dict[str, Any]]:
    """Yield a row for each image drawn from the manifest."""
    table, split = manifest.table, make_split("stage2", manifest, SEED)
    part_of = {split.groups[i]: part for part in PARTS for i in split.part(part)}
    for image_id, kind, part in _drawn(table, {part: list(split.part(part)) for part in PARTS}, part_of):
        row = table.loc[image_id]
        facts = {"id": image_id, "kind": kind, "part": part, "source": row["source"], "group": row["group"]}
        yield facts | {"age": row["age"]} | _row(read(manifest.image_file(image_id)), segmenter)[0]


def _drawn(
    table: pd.DataFrame, parts: Mapping[str, Sequence[str]], part_of: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    rng = np.random.default_rng(SEED)
    drawn: list[tuple[str, str, str]] = []
    for image_id in table.index[table["view"] == "L"]:
        group = str(table.at[image_id, "group"])
        by_hash = "test" if hashlib.sha256(group.encode()).digest()[0] % 10 < 3 else "train"
        drawn.append((image_id, "lateral", part_of.get(group, by_hash)))
    for part, ids in parts.items():
        rows = table.loc[list(ids)]
        children, adults = rows[rows["pediatric"] == "true"], rows[rows["pediatric"] != "true"]
        few = children[children["source"] == "nih"].index
        many = rng.permutation(children[children["source"] == "kermany"].index)[: CHILDREN[part]]
        others = children[~children["source"].isin(("nih", "kermany"))].index
        drawn += [(image_id, "child", part) for image_id in (*few, *others, *many)]
        for _, own in adults.groupby("source"):
            drawn += [(image_id, "adult", part) for image_id in rng.permutation(own.index)[: ADULTS[part]]]
    return drawn


def constructed_images(segmenter: Engine) -> Iterator[dict[str, Any]]:
    """Yield a row for each picture that is no image of a patient, read from a file as any other."""
    rng = np.random.default_rng(SEED + 1)
    with tempfile.TemporaryDirectory() as folder:

        def row(name: str, kind: str, half: int, group: str, grey: Grey) -> tuple[dict[str, Any], Any]:
            path = Path(folder) / "picture.png"
            Image.fromarray((grey * 255 + 0.5).astype(np.uint8)).save(path)
            measured, mask = _row(read(path), segmenter)
            facts = {"id": name, "kind": kind, "part": ("train", "test")[half], "source": kind, "group": group}
            return facts | measured, mask

        for number, (name, picture) in enumerate(everyday()):
            for k, part in enumerate(crops(picture, rng, 5)):
                yield row(f"{name}#{k}", "everyday", number % 2, name, part)[0]
        # The one real slice is kept for the test.
        for k, part in enumerate(crops(real_slice(), rng, 4)):
            yield row(f"real-slice#{k}", "ct", 1, "real-slice", part)[0]
        for k in range(SLICES):
            yield row(f"slice#{k}", "ct", int(k >= SLICES // 2), f"slice{k}", body_slice(rng))[0]
        for k in range(PHANTOMS):
            finding = ("normal", "covid19", "bacterial", "tuberculosis")[k % 4]
            spec = draw_spec(5000 + k, finding, shape=(SIDE, SIDE), view="AP" if k % 3 == 0 else "PA")  # type: ignore[arg-type]
            pixels, half, group = render(spec).pixels, int(k >= PHANTOMS // 2), f"phantom{k}"
            plain, mask = row(f"phantom#{k}", "phantom", half, group, pixels)
            yield plain
            yield row(f"photo#{k}", "photo", half, group, screen_photograph(pixels, rng))[0]
            yield row(f"cut#{k}", "cut", half, group, cut_off(pixels, mask, rng))[0]
        for k in range(TEXTS):
            lines = [f"HOSPITAL {k} CHEST PA ERECT 110 KV {j} MAS" for j in range(3 + k)]
            pixels = render(draw_spec(6000 + k, "normal", shape=(SIDE, SIDE), text=lines)).pixels
            yield row(f"text#{k}", "text", 1 - k % 2, f"text{k}", pixels)[0]


def _row(radiograph: Radiograph, segmenter: Engine) -> tuple[dict[str, Any], Any]:
    lungs = find_lungs(segmenter, radiograph.pixels)
    facts = {"side": min(radiograph.shape), "inverted": radiograph.provenance.polarity_corrected}
    return facts | measure(radiograph.pixels, lungs.probability, lungs.mask), lungs.mask


def fit(table: pd.DataFrame) -> tuple[Fitted, dict[str, list[Any]]]:
    """Fit the three regressions, then choose the thresholds on their cross-validated probabilities.

    Beside them, the share of each kind that is out of scope by the regressions that have not seen its patients.
    """
    adults = table[table["kind"] == "adult"]
    models, scores = {}, {}
    for name, measures in (("scope", SCOPE), ("photograph", PHOTOGRAPH), ("child", CHILD)):
        models[name], scores[name] = _regression(table, name, measures)
    cut = adults[["cut_top", "cut_sides", "cut_bottom"]].max(axis=1)
    steps = np.arange(0.5, 0.96, 0.05).round(2).tolist()

    def chosen(name: str, values: "pd.Series[float]", allowed: Sequence[float]) -> float:
        for threshold in allowed:
            objected = (values.loc[adults.index] >= threshold).groupby(adults["source"]).mean()
            if objected.mean() <= MOST[name]:
                return float(threshold)
        return float(allowed[-1])

    model = Fitted(
        command="python benchmarks/gate_thresholds.py DATA --write",
        **models,
        thresholds=Thresholds(
            out_of_scope=chosen("out_of_scope", 1 - scores["scope"]["frontal"], steps),
            photograph=chosen("photograph", scores["photograph"]["photograph"], steps),
            child=chosen("child", scores["child"]["child"], steps),
            cut_off=chosen("cut_off", cut, np.arange(0.1, 0.61, 0.05).round(2).tolist()),
            letters=int(chosen("letters", adults["letters"], [30, 40, 50, 60, 80, 100])),
            too_small=TOO_SMALL,
        ),
    )
    outside = 1 - scores["scope"]["frontal"] >= model.thresholds.out_of_scope
    return model, {str(kind): _share(own) for kind, own in outside.groupby(table["kind"])}


def _regression(table: pd.DataFrame, name: str, measures: Sequence[str]) -> tuple[Logistic, pd.DataFrame]:
    """One regression, and the cross-validated probabilities of its images."""
    rows = table[table["kind"].isin(CLASSES[name])]
    truth = rows["kind"].map(dict(CLASSES[name])).to_numpy(dtype=str)
    inputs = rows[list(measures)].to_numpy(dtype=np.float64)
    folds = list(StratifiedGroupKFold(5, shuffle=True, random_state=SEED).split(inputs, truth, rows["group"]))
    pipeline = make_pipeline(
        StandardScaler(),
        FunctionTransformer(np.clip, kw_args={"a_min": -FARTHEST, "a_max": FARTHEST}),
        LogisticRegression(class_weight="balanced", max_iter=5000),
    )
    search = GridSearchCV(pipeline, {"logisticregression__C": STRENGTHS}, scoring="neg_log_loss", cv=folds)
    best = search.fit(inputs, truth).best_estimator_
    held_out = cross_val_predict(best, inputs, truth, cv=folds, method="predict_proba")
    scaler, regression = best[0], best[-1]
    weights, bias = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        # Two classes have one row of weights; the other class's is zero.
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.array([0.0, bias[0]])
    model = Logistic(
        measures=tuple(measures),
        mean=_rounded(scaler.mean_),
        scale=_rounded(scaler.scale_),
        classes=tuple(map(str, regression.classes_)),
        weights=tuple(map(_rounded, weights)),
        bias=_rounded(bias),
    )
    return model, pd.DataFrame(held_out, index=rows.index, columns=regression.classes_)


def _rounded(values: Any) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)


def figures(table: pd.DataFrame, model: Fitted) -> dict[str, Any]:
    """Shares with 95 percent Wilson intervals over images: codes found, good adult images objected to."""
    found = table.apply(lambda row: _codes(row, model), axis=1)
    refused = {
        policy: found.map(lambda own, p=policy: bool(POLICIES[p] & set(own))) for policy in ("standard", "strict")
    }
    adults = table["kind"] == "adult"
    result: dict[str, Any] = {
        "thresholds": model.thresholds.model_dump(),
        "false_refusals_of_adults": {policy: _share(flags[adults]) for policy, flags in refused.items()},
        "false_refusals_by_source": {
            str(source): _share(flags) for source, flags in refused["standard"][adults].groupby(table["source"])
        },
        "refused_by_kind": {
            str(kind): _share(flags) for kind, flags in refused["standard"].groupby(table["kind"]) if kind != "adult"
        },
        "wanted_code_found": {
            kind: _share(found[table["kind"] == kind].map(lambda own, c=code: c in own))
            for kind, code in WANTED.items()
        },
        "codes_on_adults": {
            code: _share(found[adults].map(lambda own, c=code: c in own)) for code in (*WANTED.values(), "inverted")
        },
        "real_slice_refused": _share(refused["standard"][table["group"] == "real-slice"]),
    }
    score = table.apply(lambda row: model.child.probabilities(row)["child"], axis=1)
    nih = (table["source"] == "nih") & table["kind"].isin(("adult", "child"))
    young = nih & (table["kind"] == "child")
    auc = delong_interval((table["kind"][nih] == "child").to_numpy(dtype=np.int64), score[nih].to_numpy())
    result["children_of_nih"] = {
        "found": _share(found[young].map(lambda own: "child" in own)),
        "auc_against_adults_of_nih": [round(value, 3) for value in auc],
    }
    return result


def _codes(row: Any, model: Fitted) -> tuple[str, ...]:
    side = int(row["side"])
    provenance = Provenance(Path("measured"), "PNG", polarity_corrected=bool(row["inverted"]))
    return codes(row, Radiograph(np.zeros((side, side), np.float32), provenance), model)


def _share(flags: Any) -> list[Any]:
    """Share, its interval, and the counts behind it."""
    count, total = int(flags.sum()), len(flags)
    if total == 0:
        return [None, None, None, "0/0"]
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return [*(round(float(v), 4) for v in (count / total, interval.low, interval.high)), f"{count}/{total}"]


if __name__ == "__main__":
    main()
