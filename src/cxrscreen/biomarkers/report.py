"""What ``cxrscreen biomarkers`` leaves behind: measurements, tables, figures and a page that holds them all."""

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.biomarkers.analysis import Analysis, clean_rows
from cxrscreen.biomarkers.example_figure import example_figure
from cxrscreen.biomarkers.figures import anatomy_figure, markers_figure, patches_figure, write_figure
from cxrscreen.biomarkers.intervals import Interval
from cxrscreen.biomarkers.measure import MARKERS, SIDE
from cxrscreen.biomarkers.paper import CLASS_TITLES, UNDER_SEGMENTED
from cxrscreen.biomarkers.ratio_agreement import CtrAgreement
from cxrscreen.biomarkers.study import Study
from cxrscreen.biomarkers.tables import Separation
from cxrscreen.biomarkers.wording import ABOUT_STARS, DIFFERS, NOT_TO_CONCLUDE

FIGURES: Final = {
    "fig2": "How it is measured, on one radiograph (Fig. 2)",
    "fig4": "Mean and spread of lung grey values, cardiothoracic ratio (Fig. 4)",
    "fig5": "Grey values between and within patches (Fig. 5)",
    "fig11": "Grey values of the organs before and after the preprocessing (Fig. 11)",
}
ENOUGH: Final = 10
"""Patients a group needs to stand in a sentence, where there are such groups."""
EFFECT_MARKERS: Final = (
    "lung_mean",
    "lung_std",
    "inter_patch_std",
    "intra_patch_std",
    "contour_length",
    "solidity",
    "ctr",
)


@dataclass(frozen=True)
class Grid:
    """A table as text: a title, a head and rows of cells."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    about: str = ""


def write_report(
    folder: Path, study: Study, analysis: Analysis, *, command: str, seed: int, replicates: int
) -> dict[str, Path]:
    """Write ``biomarkers.csv``, ``failures.csv``, ``biomarkers.json``, ``.md``, ``.html`` and the figures.

    Parameters
    ----------
    folder
        Made where missing; files of the same names in it are replaced.
    study, analysis
        What was measured and what follows from it.
    command
        What gives these files again, with words such as DATA for files.
    seed
        Of every draw.
    replicates
        Bootstrap resamples behind an interval.

    Returns
    -------
    dict
        Path by name. The files hold no path, no time and no machine: the same run gives the same bytes. Only the two
        CSV files name images; ``fig2`` and the page show one of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ("biomarkers.csv", "failures.csv", "biomarkers.json", "biomarkers.md", "biomarkers.html")
    files = {name: folder / name for name in names}
    study.rows.to_csv(files["biomarkers.csv"], index=False, lineterminator="\n", float_format="%.6g")
    study.failures.to_csv(files["failures.csv"], index=False, lineterminator="\n")
    content = json.dumps(
        json_content(study, analysis, command, seed, replicates), indent=2, allow_nan=False, ensure_ascii=False
    )
    files["biomarkers.json"].write_text(content + "\n", encoding="utf-8")
    pictures = _write_figures(folder, study, analysis, seed)
    files |= {path.name: path for pair in pictures.values() for path in pair}
    files["biomarkers.md"].write_text(markdown(study, analysis, command), encoding="utf-8")
    files["biomarkers.html"].write_text(_page(study, analysis, command, pictures), encoding="utf-8")
    return files


def json_content(study: Study, analysis: Analysis, command: str, seed: int, replicates: int) -> dict[str, Any]:
    """Gather the content of ``biomarkers.json``: plain values, None where a figure is not defined."""
    tables = {
        table.name: {
            "title": table.title,
            "about": table.about,
            "marker": table.comparison.marker,
            "classes": table.comparison.groups.to_dict("records"),
            "pairs": table.comparison.pairs.to_dict("records"),
            "paper": None
            if table.printed is None
            else {
                "mean": table.printed.mean,
                "std": table.printed.std,
                "stars": [{"first": a, "second": b, "stars": mark} for (a, b), mark in table.printed.stars.items()],
            },
        }
        for table in analysis.tables
    }
    content: dict[str, Any] = _plain(
        {
            "notice": RESEARCH_USE,
            "software": f"cxrscreen {__version__}",
            "command": command,
            "seed": seed,
            "replicates": replicates,
            "side": SIDE,
            "images": {"measured": len(study.rows), "failed": len(study.failures), "left_out": study.left_out},
            "counts": analysis.counts.to_dict("records"),
            "tables": tables,
            "separations": analysis.separations,
            "spread_between_images": analysis.spreads,
            "missing_quarter": {
                "effects": analysis.effects,
                "detection": analysis.detection,
                "missed": [
                    dataclasses.asdict(item) | {"paper": UNDER_SEGMENTED.get(item.label)} for item in analysis.missed
                ],
            },
            "ctr_agreement": analysis.agreement,
            "ctr_agreement_with_the_references_heart": analysis.heart_of_reference,
            "not_compared_since_they_taught_the_bundle": analysis.taught,
            "differs": DIFFERS,
            "not_to_conclude": NOT_TO_CONCLUDE,
        }
    )
    return content


def markdown(study: Study, analysis: Analysis, command: str) -> str:
    """Write the tables as Markdown."""
    lines = ["# Imaging biomarkers", "", f"**{RESEARCH_USE}**", "", f"Command: `{command}`.", ""]
    lines += [sentence + "\n" for sentence in findings(study, analysis)]
    lines += [ABOUT_STARS]
    for grid in (counts_grid(analysis), *marker_grids(analysis), *reliability_grids(analysis)):
        lines += ["", f"## {grid.title}", ""]
        lines += [grid.about, ""] if grid.about else []
        lines += [f"| {' | '.join(cells)} |" for cells in (grid.head, ("---",) * len(grid.head), *grid.rows)]
    for title, sentences in (("What differs from the paper", DIFFERS), ("What must not be concluded", NOT_TO_CONCLUDE)):
        lines += ["", f"## {title}", "", *(f"- {sentence}" for sentence in sentences)]
    return "\n".join([*lines, ""])


def findings(study: Study, analysis: Analysis) -> tuple[str, ...]:
    """Say in sentences what the page comes to."""
    said = [
        f"{len(study.rows)} radiographs of {study.rows['group'].nunique()} patients were measured"
        + (f", {len(study.failures)} could not be." if len(study.failures) else ".")
    ]
    for same_class, words in ((True, "of one class in two sources"), (False, "of two classes in one source")):
        own = [item for item in analysis.separations if item.same_class is same_class]
        own = [item for item in own if item.patients >= ENOUGH] or own
        if own:
            furthest = own[0]
            ends = "" if furthest.low is None else f" [{furthest.low:.2f}, {furthest.high:.2f}]"
            said.append(
                f"Furthest apart {words}: “{furthest.first}” exceeds “{furthest.second}” with a chance of "
                f"{furthest.chance:.2f}{ends} ({MARKERS[furthest.marker].lower()}; {furthest.patients} patients or "
                "more on either side)."
            )
    said += [
        f"COVID-19 against normal within one source, in the spread of lung grey values (Table VII): “{item.first}” "
        f"exceeds “{item.second}” with a chance of {_chance(item.chance, item.low, item.high)}, {item.patients} "
        "patients or more on either side; 0.5 is no difference."
        for item in analysis.separations
        if item.marker == "lung_std" and _is_covid_against_normal(item)
    ]
    detection = analysis.detection
    if detection.found is not None and detection.false_alarms is not None:
        said.append(
            f"Of lungs that lack a quarter, {_percent(detection.found)} are found by comparing the two lungs; of "
            f"complete ones, {_percent(detection.false_alarms)} are called incomplete ({detection.images} held-out "
            "images)."
        )
    if analysis.agreement is not None:
        said.append(_agreement_sentence(analysis.agreement, of_reference=analysis.heart_of_reference))
    if analysis.taught:
        said.append(
            f"{analysis.taught} images with both masks are compared nowhere here: their patients taught the bundle "
            "that predicted, or chose it."
        )
    return tuple(said)


def counts_grid(analysis: Analysis) -> Grid:
    """What was measured, and with whose masks."""
    rows = tuple(
        (
            CLASS_TITLES[str(row["label"])],
            str(row["source"]),
            str(row["mask_origin"]),
            "yes" if row["heart_in_lungs"] else "no",
            str(row["images"]),
            str(row["patients"]),
        )
        for row in analysis.counts.to_dict("records")
    )
    head = ("Class", "Source", "Lung masks by", "Lungs reach behind the heart", "Images", "Patients")
    return Grid("What was measured", head, rows)


def marker_grids(analysis: Analysis) -> tuple[Grid, ...]:
    """All markers by class and by source."""
    grids = []
    for table in analysis.tables:
        shown = table.shown()
        rows = tuple(tuple(map(str, row)) for row in shown.itertuples(index=False))
        grids.append(Grid(table.title, tuple(map(str, shown.columns)), rows, table.about))
    return tuple(grids)


def reliability_grids(analysis: Analysis) -> tuple[Grid, ...]:
    """Sources, spreads and missing quarters: how far the other tables can be believed."""
    apart = tuple(
        (item.first, item.second, MARKERS[item.marker], _chance(item.chance, item.low, item.high), str(item.patients))
        for item in analysis.separations
    )
    spreads = tuple(
        (CLASS_TITLES[label], _value(states["original"]), _value(states["preprocessed"]))
        for label, states in analysis.spreads.items()
    )
    effects = tuple(
        (MARKERS[item.marker], item.place, _value(item.change, signed=True), _signed(item.in_spreads))
        for item in analysis.effects
        if item.marker in EFFECT_MARKERS
    )
    normal = tuple(
        (
            table.title,
            table.classes[str(row["class"])],
            str(row["patients"]),
            _p(row["normality_p"]),
        )
        for table in analysis.main
        for row in table.comparison.groups.to_dict("records")
        if row["images"]
    )
    smirnov = tuple(
        (
            table.title,
            table.classes[str(row["first"])],
            table.classes[str(row["second"])],
            f"{row['ks']:.2f}",
            _p(row["ks_p"]),
        )
        for table in analysis.main
        for row in table.comparison.pairs.to_dict("records")
    )
    detection = analysis.detection
    flagged = tuple((CLASS_TITLES[label], str(rate.n), _percent(rate)) for label, rate in detection.flagged.items())
    bare = tuple(
        (f"{CLASS_TITLES[label]}, not measured: the mask has no lung", str(count), "-")
        for label, count in detection.without_lungs.items()
    )
    missed = tuple(
        (
            CLASS_TITLES[item.label],
            item.reference,
            f"{item.lost} of {item.images} ({_percent(item.share)})",
            UNDER_SEGMENTED.get(item.label, "-"),
        )
        for item in analysis.missed
    )
    return tuple(
        grid
        for grid in (
            Grid(
                "One class in two sources, two classes in one source",
                ("Larger", "Smaller", "Marker", "Chance that it is larger", "Patients of the smaller group"),
                apart,
                "0.5: not at all apart; 1: apart in every pair of images. The furthest apart first.",
            ),
            Grid(
                "Whether a marker is normally distributed",
                ("Table", "Class", "Patients", "p"),
                normal,
                "Kolmogorov-Smirnov against the normal distribution of the same mean and spread (Lilliefors), over "
                "means of patients; a small p speaks against it, and for tests by rank.",
            ),
            Grid(
                "Whether two classes have one distribution",
                ("Table", "One class", "Other class", "Greatest distance", "p"),
                smirnov,
                "Two-sample Kolmogorov-Smirnov test over means of patients, not corrected for the number of pairs: it "
                "also answers to another spread or form.",
            ),
            Grid(
                "Spread between images of the mean grey value of the lungs",
                ("Class", "Original", "Preprocessed"),
                spreads,
                "Standard deviation over images (Fig. 11), grey values in [0, 1].",
            ),
            Grid(
                "What it does to a marker when the mask lacks a quarter of one lung",
                ("Marker", "Quarter taken at the", "Mean change", "In standard deviations between images"),
                effects,
                "Normal lungs drawn by people; the quarter is taken from the right and from the left lung in turn.",
            ),
            Grid(
                "Masks in which one lung is too small for the other",
                ("Class", "Images", "Share with one lung too small"),
                (*flagged, *bare),
                "A lung that is missing altogether counts; lungs that reach behind the heart are left out. A lung may "
                "also be small for a reason of its own; see the rate of false alarms above.",
            ),
            Grid(
                "Predicted lungs that lack a quarter of the reference's",
                ("Class", "Reference masks by", "Images", "The paper, its own images"),
                missed,
                "0.25 or more of both lungs' area in the reference; those that reach behind the heart are left out. "
                "An automatic reference is another network's, which may lack the same quarter.",
            ),
        )
        if grid.rows
    )


def _is_covid_against_normal(item: Separation) -> bool:
    classes = {title.partition(",")[0] for title in (item.first, item.second)}
    return item.patients >= ENOUGH and classes == {CLASS_TITLES["covid19"], CLASS_TITLES["normal"]}


def _agreement_sentence(agreement: CtrAgreement, *, of_reference: bool) -> str:
    hearts = " (predicted lungs, the reference's heart)" if of_reference else ""
    low, high = agreement.limits
    return (
        f"Cardiothoracic ratio against the reference masks{hearts}: mean absolute error "
        f"{_value(agreement.mean_absolute_error)}, bias {_value(agreement.bias, signed=True)}, limits of agreement "
        f"{low:.3f} to {high:.3f}, {agreement.n} images, {agreement.without_prediction} without a predicted ratio."
    )


def _write_figures(folder: Path, study: Study, analysis: Analysis, seed: int) -> dict[str, tuple[Path, Path]]:
    tables = {table.name: table for table in analysis.tables}
    clean = clean_rows(study.rows)
    drawn = {
        "fig4": markers_figure(clean, [tables[name] for name in ("table6", "table7", "table9")], seed),
        "fig5": patches_figure(
            study.patches,
            tables["fig5-inter-patch-mean"].comparison,
            tables["fig5-intra-patch-std"].comparison,
            seed,
        ),
        "fig11": anatomy_figure(clean, study.histograms),
    }
    if study.example is not None:
        drawn = {"fig2": example_figure(study.example), **drawn}
    return {name: write_figure(figure, folder, name) for name, figure in drawn.items()}


def _page(study: Study, analysis: Analysis, command: str, pictures: Mapping[str, tuple[Path, Path]]) -> str:
    figures = [{"name": name, "title": FIGURES[name], "uri": _data_uri(png)} for name, (png, _) in pictures.items()]
    return _ENVIRONMENT.get_template("biomarkers.html.j2").render(
        research_use=RESEARCH_USE,
        version=__version__,
        command=command,
        findings=findings(study, analysis),
        left_out=study.left_out,
        failed=len(study.failures),
        figures=figures,
        counts=counts_grid(analysis),
        markers=marker_grids(analysis),
        reliability=reliability_grids(analysis),
        about_stars=ABOUT_STARS,
        differs=DIFFERS,
        not_to_conclude=NOT_TO_CONCLUDE,
    )


def _plain(value: Any) -> Any:
    """Plain values for JSON: dataclasses as dicts, numbers that are none as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool):
        return value
    if pd.isna(value):
        return None
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def _value(interval: Interval, *, signed: bool = False) -> str:
    if interval.value is None:
        return "-"
    form = "+.3f" if signed else ".3f"
    ends = "" if interval.ci_low is None else f" [{interval.ci_low:{form}}, {interval.ci_high:{form}}]"
    return f"{interval.value:{form}}{ends}"


def _percent(interval: Interval) -> str:
    if interval.value is None:
        return "-"
    ends = "" if interval.ci_low is None else f" [{100 * interval.ci_low:.0f}, {100 * (interval.ci_high or 0):.0f}]"
    return f"{100 * interval.value:.0f} %{ends}"


def _chance(chance: float, low: float | None, high: float | None) -> str:
    return f"{chance:.2f}" if low is None else f"{chance:.2f} [{low:.2f}, {high:.2f}]"


def _p(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _data_uri(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


_ENVIRONMENT: Final = Environment(
    loader=PackageLoader("cxrscreen.biomarkers"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
