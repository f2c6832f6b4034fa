"""COVID-19 Image Data Collection (covid-chestxray-dataset) -> rows."""

from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering
from cxrscreen.data.public_sources.lung_halves import split_file
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import read_published, rows_of

_COLUMNS = ("patientid", "sex", "age", "finding", "view", "modality", "filename")
_HANNOVER_DOI = "10.6084/m9.figshare.12275009"
_KINDS = {
    "viral": "viral",
    "bacterial": "bacterial",
    "fungal": "fungal",
    "tuberculosis": "tuberculosis",
    "sars": "viral",
    "mers-cov": "viral",
    "influenza": "viral",
    "varicella": "viral",
    "streptococcus": "bacterial",
    "klebsiella": "bacterial",
    "legionella": "bacterial",
    "e.coli": "bacterial",
    "mycoplasma bacterial pneumonia": "bacterial",
    "pneumocystis": "fungal",
    "no finding": "normal",
    "pneumonia": "pneumonia",
}
_SAYS_NOTHING = {"", "todo", "unknown"}


def label_of(finding: str) -> str:
    """Label of a finding of the collection, in its tree (``Pneumonia/Viral/COVID-19``) or its older, flat words.

    Parts after a slash are narrower, so the last known one decides; COVID-19 anywhere is COVID-19, and tuberculosis is
    not called bacterial.
    """
    parts = [part.strip().lower() for branch in finding.split(",") for part in branch.split("/")]
    if "covid-19" in parts:
        return "covid19"
    if all(part in _SAYS_NOTHING for part in parts):
        return "unknown"
    if parts[0] == "pneumonia" and {"lipoid", "aspiration"} & set(parts):
        return "other"
    known = [_KINDS[part] for part in parts if part in _KINDS]
    return "tuberculosis" if "tuberculosis" in known else known[-1] if known else "other"


def read(folder: Path, into: Gathering) -> None:
    """Read ``metadata.csv``, with the masks and severity scores of ``annotations`` where they are there."""
    root = into.root_of(folder, "metadata.csv")
    table = read_published(root / "metadata.csv", _COLUMNS)
    scores = _severity(root)
    for row in rows_of(table):
        if row["modality"] != "X-ray":
            into.leave_out("no radiograph (CT or other modality)")
            continue
        if row["view"] in ("Axial", "Coronal"):
            into.leave_out("a CT slice by its view")
            continue
        stem = Path(row["filename"]).stem
        image = root / (row.get("folder") or "images") / row["filename"]
        hannover = _HANNOVER_DOI in row.get("doi", "") or _HANNOVER_DOI in row.get("url", "")
        offset = row.get("offset", "")
        geographic, opacity = scores.get(row["filename"], ("", ""))
        image_id = into.add(
            stem,
            image,
            label_of(row["finding"]),
            patient=row["patientid"],
            finding=row["finding"],
            view=view_of(row["view"]),
            sex=sex_of(row["sex"]),
            **age_columns(row["age"]),
            offset_days=offset if offset.lstrip("-").isdigit() else "",
            offset_reference="symptom onset or admission" if offset.lstrip("-").isdigit() else "",
            license=row.get("license", "") or "not stated",
            url_or_doi=row.get("url", "") or row.get("doi", ""),
            severity_geographic=geographic,
            severity_opacity=opacity,
            copy_of=f"hannover/{stem}" if hannover else "",
        )
        mask = split_file(root / "annotations" / "lungVAE-masks" / f"{stem}_mask.png", image)
        into.lung_mask(image_id, mask, "automatic")
    if not any(row["lung_mask"] for row in into.rows):
        into.say("No lung masks: annotations/lungVAE-masks is not there or fits no image.")


def _severity(root: Path) -> dict[str, tuple[str, str]]:
    file = root / "annotations" / "covid-severity-scores.csv"
    if not file.is_file():
        return {}
    table = read_published(file, ("filename", "geographic_mean", "opacity_mean"), comment="#")
    return {row["filename"]: (row["geographic_mean"], row["opacity_mean"]) for row in rows_of(table)}


COHEN = Source(
    name="cohen",
    title="COVID-19 Image Data Collection",
    home="https://github.com/ieee8023/covid-chestxray-dataset",
    terms="per image, in the column license; metadata CC BY-NC-SA 4.0",
    citation="J. P. Cohen et al. COVID-19 Image Data Collection: Prospective Predictions Are the Future. "
    "arXiv:2006.11988, 2020.",
    size="about 950 rows, radiographs and CT slices of several hundred patients",
    fetch=("git clone https://github.com/ieee8023/covid-chestxray-dataset",),
    layout=("metadata.csv", "images/", "annotations/covid-severity-scores.csv", "annotations/lungVAE-masks/*_mask.png"),
    labels=(
        "Pneumonia/Viral/COVID-19 -> covid19; other Viral -> viral; Bacterial -> bacterial; Fungal -> fungal; "
        "Tuberculosis -> tuberculosis; Pneumonia alone -> pneumonia",
        "No Finding -> normal; todo, Unknown and empty -> unknown; Lipoid, Aspiration and all else -> other",
    ),
    faults=(
        "Figures of articles and case reports: letters, arrows, screenshot frames; severe and unusual cases.",
        "Lateral views are among the radiographs (view L), and CT slices among the rows: these are left out.",
        "The same radiograph was published more than once; search for near-duplicates. Images with the Hannover DOI "
        "are copies of the source hannover (column copy_of).",
        "offset is days since symptoms or since admission, which of them is not said.",
        "A finding of COVID-19 is the case's, not the image's: some radiographs show nothing.",
        "Many images state no licence.",
    ),
    checksums="none; the commit of the git repository stands for its content (git rev-parse HEAD)",
    read=read,
)
