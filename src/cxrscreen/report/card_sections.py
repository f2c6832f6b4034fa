"""The sections of a bundle's card in plain words, from its identity to its limits."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cxrscreen.report.card_blocks import (
    Block,
    Bullets,
    Cell,
    Facts,
    Heading,
    Paragraph,
    Section,
    Table,
    in_words,
    is_scalar,
    scalar,
)
from cxrscreen.report.card_results import result_blocks
from cxrscreen.report.wording import column_title, printable
from cxrscreen.systems.bundle import Card, StageCard

_TITLES: Final[Mapping[str, str]] = {
    "lungs": "Lung outline",
    "lungs-any": "Lung outline, on all sources whose outlines leave the heart out",
    "lungs-jsrt": "Lung outline, on a collection kept out of training (JSRT)",
    "stage2": "Pneumonia of any type, against normal",
    "stage3": "COVID-19, against other pneumonia",
    "stage2-adults": "Pneumonia of any type, against normal, no patient known to be a child",
    "stage3-adults": "COVID-19, against other pneumonia, no patient known to be a child",
    "patch-organs": "Lung outline, on images of the collection that trained it",
    "patch-classes": "The vote among normal, bacterial, tuberculosis and viral including COVID-19",
    "patch-pneumonia": "Pneumonia or tuberculosis, against normal",
    "patch-bacterial": "Bacterial pneumonia, against all others",
    "patch-tuberculosis": "Tuberculosis, against all others",
    "patch-viral": "Viral pneumonia including COVID-19, against all others",
    "cxnet-classes": "The classes normal, other pneumonia and COVID-19",
    "cxnet-binary": "COVID-19, against normal",
    "cxnet-pneumonia": "Pneumonia but tuberculosis, against normal, no patient known to be a child",
    "cxnet-covid19": "COVID-19, against other pneumonia but tuberculosis, no patient known to be a child",
    "comit-unhealthy": "Any disease of the lungs, against healthy",
    "comit-covid19": "COVID-19, against all others",
    "comit-other": "Other pneumonia, against all others",
}
_READING: Final = (
    "AUC: how often an ill person's radiograph scores above that of one who is not; 0.5 is a coin toss, 1 no error.",
    "Sensitivity: share of the ill that are called. Specificity: share of the others that are not. Both hold at one "
    "operating point only.",
    "Dice: overlap of two outlines, from 0 to 1.",
    "The numbers in brackets are the ends of a 95% interval, made by drawing patients, not images. Where it is wide, "
    "the figure says little.",
    "A source is a hospital or a collection. Where a source holds one class only, a model can look right by "
    "recognising the source; so figures within a source count most.",
)
_EXPECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "Results on a source that was left out of the training": ("leave_one_source_out", "external", "held_out_source"),
    "The control with the lungs blanked out (an honest model falls to chance)": ("black_lung", "lungs_blanked"),
    "How well the model's features tell the source of an image": ("source_prediction", "predicts_the_source"),
    "Results by sex, age and view": ("subgroup",),
    "How well probabilities agree with what happened, on the test part": ("calibration", "ece", "expected_calibration"),
    "Share of the heat maps that lies inside the lungs, on the test part": ("saliency", "lung_share"),
}
"""What a reader may expect of an honest report, with the words by which a result of it is known."""

_SETTINGS: Final[Mapping[str, str]] = {
    "h2": "Heat map of stage 2 (H2)",
    "working_side": "Longest side, reduced to (pixels)",
    "side": "Side of a network's input (pixels)",
    "margin": "Margin around the lungs (share of their box)",
    "dilation": "Growth of the lung outline (share of the input's side)",
    "masks": "Masks that the network has learned",
    "low": "Percentile of the grey values that becomes black",
    "high": "Percentile of the grey values that becomes white",
    "learning_rate": "Learning rate",
    "ema": "Averaging of weights (EMA)",
}
"""Plain words for settings whose names do not speak for themselves."""

_RULES: Final[Mapping[str, str]] = {
    "youden": "largest sum of sensitivity and specificity",
    "sensitivity>=": "highest specificity with a sensitivity of at least ",
    "specificity>=": "highest sensitivity with a specificity of at least ",
}


def card_sections(card: Card) -> tuple[Section, ...]:
    """Lay the card out in sections: what it is, for what, how it was measured, and where it ends."""
    return (
        _identity(card),
        Section(
            "use",
            "What it is for, and what not",
            (Paragraph(printable(card.intended_use)), Heading("Not for"), Bullets(_texts(card.not_for))),
        ),
        Section("limits", "Known limits", (Bullets(_texts(card.limits)),)),
        *_results(card),
        *_decisions(card),
        _data(card),
        _splits(card),
        Section("preprocessing", "How a radiograph is prepared", tuple(_settings(card.preprocessing))),
        *(
            Section(f"further-{key}", in_words(key), result_blocks(value))
            for key, value in (card.model_dump(mode="json").items())
            if key not in _KNOWN and value not in (None, {}, [])
        ),
        Section("recipe", "Recipe of the training", tuple(_settings(card.recipe)), folded=True),
        _files(card),
    )


_KNOWN: Final = frozenset(
    (
        *("format", "name", "version", "system", "created", "licence", "summary", "intended_use", "not_for", "limits"),
        *("preprocessing", "stages", "data", "recipe", "results", "files"),
    )
)


def _identity(card: Card) -> Section:
    facts = {
        "Bundle": card.bundle_id,
        "System": card.system,
        "Made": card.created,
        "Licence": card.licence,
    }
    rows = tuple((name, printable(text)) for name, text in facts.items())
    return Section("identity", "What it is", (Paragraph(printable(card.summary)), Facts(rows)))


def _results(card: Card) -> Iterator[Section]:
    if not card.results:
        yield Section("results", "Measured results", (Paragraph("Nothing was measured yet.", "warning"),))
    else:
        note = "BUNDLE stands for this bundle, DATA for the manifest's folder, DIR for a folder of your choice."
        reading = (Bullets(_READING), Paragraph(note, "quiet"))
        yield Section("results", "Measured results", reading)
    # Decisions before outlines: they are what the reader came for.
    outlines = ("lungs", "patch-organs")
    ordered = sorted(card.results.items(), key=lambda item: item[0].startswith(outlines))
    for place, (name, result) in enumerate(ordered):
        yield Section(f"result-{place}", _TITLES.get(name, in_words(name)), result_blocks(result), level=3)
    missing = _missing(card)
    if missing:
        yield Section("missing", "What this card does not hold", (Bullets(tuple(missing)),), level=3)


def _missing(card: Card) -> list[str]:
    keys = {key.lower().replace("-", "_") for key in _keys(card.results)}
    found = {word for words in _EXPECTED.values() for word in words for key in keys if _names(key, word)}
    return [name for name, words in _EXPECTED.items() if not found.intersection(words)]


def _names(key: str, word: str) -> bool:
    # A short word may stand by chance within another.
    return key == word or (len(word) > 3 and word in key)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)


def _decisions(card: Card) -> Iterator[Section]:
    note = (
        "A score that reaches the threshold is called positive. A threshold belongs to this version of the bundle and "
        "to the images it was chosen on; at another hospital it must be chosen again on that hospital's own images."
    )
    yield Section("decisions", "Operating points and calibration", (Paragraph(note),))
    for place, (name, stage) in enumerate(card.stages.items()):
        yield Section(f"decision-{place}", column_title(name), tuple(_decision(stage)), level=3)


def _decision(stage: StageCard) -> Iterator[Block]:
    points = stage.operating_points
    sites = list(dict.fromkeys(point.site for point in points.values()))
    reached = any(point.sensitivity is not None or point.specificity is not None for point in points.values())
    head = ["Operating point", "Threshold", "Chosen for"]
    head += ["Sensitivity there", "Specificity there"] if reached else []
    head += ["Chosen on"] if len(sites) > 1 else []
    rows: list[tuple[Cell, ...]] = []
    for name, point in points.items():
        row = [printable(name) + (" (in use)" if name == stage.default else ""), f"{point.threshold:.3f}"]
        row.append(_rule(point.rule))
        row += [_share(point.sensitivity), _share(point.specificity)] if reached else []
        row += [printable(point.site)] if len(sites) > 1 else []
        rows.append(tuple(row))
    yield Table(tuple(head), tuple(rows))
    if reached:
        yield Paragraph(
            "Sensitivity and specificity are those on the images of the choice; other images usually show less.",
            "quiet",
        )
    if len(sites) == 1:
        yield Paragraph(f"Chosen on: {printable(sites[0])}.", "quiet")
    yield from _calibration(stage)


def _calibration(stage: StageCard) -> Iterator[Block]:
    unfound = stage.calibration is not None and stage.calibration.method.startswith("none")
    if unfound or (stage.calibration is None and stage.temperature == 1):
        yield Paragraph("Scores are not calibrated (temperature 1): 0.8 does not mean 8 of 10 ill.", "warning")
        return
    text = f"Scores are calibrated with the temperature {stage.temperature:.3g}: logits are divided by it."
    fit = stage.calibration
    if fit is not None:
        text += (
            f" It was found by {printable(fit.method)} ({printable(fit.site)}); the mean log loss there went from "
            f"{fit.loss_before:.3f} to {fit.loss_after:.3f}."
        )
    yield Paragraph(text)
    yield Paragraph(
        "Calibration holds where ill people are as frequent as on those images, and not elsewhere.", "quiet"
    )


def _data(card: Card) -> Section:
    images = card.data.images
    totals = Counter[str]()
    for counts in images.values():
        totals.update(counts)
    labels = [label for label, _ in totals.most_common()]
    rows = [
        (printable(source), *(str(counts.get(label, "–")) for label in labels), str(sum(counts.values())))
        for source, counts in images.items()
    ]
    rows.append(("all", *(str(totals[label]) for label in labels), str(totals.total())))
    head = ("Source", *(in_words(label) for label in labels), "all")
    return Section(
        "data",
        "What it learned from",
        (
            Table(head, tuple(rows), "Training images by source and label, as the sources state them"),
            Heading("Licences that the sources state"),
            Bullets(_texts(card.data.licences)),
        ),
    )


def _splits(card: Card) -> Section:
    text = (
        "No known patient and no known copy of a radiograph is in two of the parts training, validation and test. "
        "Thresholds are chosen on the validation parts. The digests name the exact splits, so that others can "
        "measure on them too."
    )
    rows = tuple((printable(name), _TITLES.get(name, "–"), digest[:16]) for name, digest in card.data.splits.items())
    facts = Facts((("Seed of the splits", str(card.data.seed)), ("Digest of the images", card.data.images_sha256[:16])))
    return Section(
        "splits",
        "How the images were divided",
        (Paragraph(text), Table(("Split", "Serves", "Digest (first 16 digits)"), rows), facts),
    )


def _files(card: Card) -> Section:
    rows = tuple((printable(name), digest) for name, digest in card.files.items())
    text = "Every file had the content of this list when the page was made (SHA-256)."
    return Section("files", "Files", (Paragraph(text), Table(("File", "SHA-256"), rows)), folded=True)


def _settings(settings: Mapping[str, Any]) -> Iterator[Block]:
    """Settings of any depth: single values together, a heading for what holds more, a table for a list of settings."""
    single = [(_setting_name(key), _setting(value)) for key, value in settings.items() if _setting(value) is not None]
    if single:
        yield Facts(tuple((name, text) for name, text in single if text is not None))
    for key, value in settings.items():
        if _setting(value) is not None:
            continue
        yield Heading(_setting_name(key))
        if isinstance(value, Mapping):
            yield from _settings(value)
        elif all(isinstance(item, Mapping) for item in value):
            heads = list(dict.fromkeys(name for item in value for name in item))
            rows = tuple(
                (str(place), *(_setting(item.get(name)) or "–" for name in heads))
                for place, item in enumerate(value, start=1)
            )
            yield Table(("", *(_setting_name(name) for name in heads)), rows)
        else:
            yield Bullets(tuple(scalar(item) for item in value))


def _setting(value: Any) -> str | None:
    """A setting in one line; None where it takes more."""
    if is_scalar(value):
        return scalar(value)
    if isinstance(value, Mapping) and value and all(is_scalar(item) for item in value.values()):
        return ", ".join(f"{in_words(key).lower()} {scalar(item)}" for key, item in value.items())
    return "–" if not value else None


def _setting_name(key: str) -> str:
    return _SETTINGS.get(key, in_words(key))


def _rule(rule: str) -> str:
    for start, words in _RULES.items():
        if rule.startswith(start):
            return words + printable(rule.removeprefix(start))
    return printable(rule)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _texts(texts: list[str]) -> tuple[str, ...]:
    return tuple(printable(text) for text in texts)
