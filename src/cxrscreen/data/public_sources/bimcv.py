"""BIMCV-COVID19+ and BIMCV-COVID19- -> rows, labelled by tests where there are tests."""

import re
from datetime import datetime
from pathlib import Path

import pandas as pd

from cxrscreen.data.public_sources.gathering import Gathering, SourceError
from cxrscreen.data.public_sources.patients import age_columns, sex_of, view_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.spanish_reports import COVID, EXCLUDED, findings_of, label_of
from cxrscreen.data.public_sources.tables import read_published, rows_of
from cxrscreen.data.test_history import label_by_tests

RESULTS = {"POSITIVO": "positive", "NEGATIVO": "negative", "INDETERMINADO": "indeterminate"}
_TESTS = "derivatives/EHR/sil_reg_covid_posi.tsv"
_HOME = "https://bimcv.cipf.es/bimcv-projects/bimcv-covid19/"


def tested_label(answer: str, findings: tuple[str, ...], *, all_positive: bool) -> str:
    """Label from the tests around an image and its report.

    Parameters
    ----------
    answer
        ``positive``, ``negative`` or ``unknown``, from the tests.
    findings
        The report's; empty where there is none.
    all_positive
        Whether everybody in the set had a positive test at some time; else nobody had.

    Returns
    -------
    str
        A positive answer is COVID-19, whatever the report calls. Else the report decides; but where the report says
        COVID-19 and the tests, or belonging to a set of people with negative ones, say no, that is unknown, and so is
        all else than COVID-19 where no test can be set to an image of somebody who had a positive one: a pneumonia may
        be COVID-19's, and a normal image that of a case.
    """
    if answer == "positive":
        return "covid19"
    if answer == "unknown" and all_positive:
        return "covid19" if COVID in findings else "unknown"
    return "unknown" if COVID in findings else label_of(findings)


def read_positive(folder: Path, into: Gathering) -> None:
    """Read the PNG radiographs of each session, the reports' labels, and the tests where they are there."""
    _read(folder, into, all_positive=True)


def read_negative(folder: Path, into: Gathering) -> None:
    """Read the PNG radiographs of each session and the reports' labels."""
    _read(folder, into, all_positive=False)


def _read(folder: Path, into: Gathering, *, all_positive: bool) -> None:
    root = into.root_of(folder, "participants.tsv")
    people = read_published(root / "participants.tsv", ("participant", "age", "gender"), sep="\t")
    person = {row["participant"]: row for row in rows_of(people)}
    reports = _reports(root, into)
    images = sorted(root.glob("sub-*/ses-*/mod-rx/*.png"))
    into.leave_out("no radiograph (CT)", len(list(root.glob("sub-*/ses-*/mod-ct/*.nii.gz"))))
    answers = _answers(root, images, into) if all_positive else {}
    for image in images:
        subject, session = image.parts[-4], image.parts[-3]
        if "bp-" in image.name and "_bp-chest" not in image.name:
            into.leave_out("another part of the body than the chest")
            continue
        findings = reports.get(session, ())
        if EXCLUDED in findings:
            into.leave_out("its report's label is exclude")
            continue
        answer, reason = answers.get((subject, session), ("unknown", ""))
        about = person.get(subject, {})
        projection = re.search(r"_vp-([a-z]+)", image.name)
        into.add(
            image.stem,
            image,
            tested_label(answer, findings, all_positive=all_positive),
            patient=subject,
            finding="|".join(findings),
            view=view_of(projection[1] if projection else ""),
            sex=sex_of(about.get("gender", "").strip("['] ")),
            **age_columns(_first(about.get("age", ""))),
            notes=f"tests: {reason}" if reason else "no test could be set to it; label by the report",
        )


def _first(ages: str) -> str:
    """Youngest of ages such as ``['65', '66']``: a person is imaged more than once."""
    numbers = re.findall(r"\d+(?:\.\d+)?", ages)
    return min(numbers, key=float) if numbers else ""


def _reports(root: Path, into: Gathering) -> dict[str, tuple[str, ...]]:
    """Findings by session."""
    files = sorted(file for file in root.glob("derivatives/labels/*.tsv") if "labels_covid" in file.name.lower())
    if not files:
        into.say("There is no derivatives/labels/labels_covid*.tsv: nothing is known of the reports.")
        return {}
    found: dict[str, tuple[str, ...]] = {}
    cut = 0
    for row in rows_of(read_published(files[0], ("ReportID", "Labels"), sep="\t")):
        findings = findings_of(row["Labels"])
        cut += findings is None
        found[row["ReportID"]] = findings or ()
    if cut:
        into.say(f"The labels of {cut} reports are cut in {files[0].name} and count as none.")
    return found


def _answers(root: Path, images: list[Path], into: Gathering) -> dict[tuple[str, str], tuple[str, str]]:
    """What the tests say, and why, by subject and session."""
    file = root / _TESTS
    if not file.is_file():
        into.say(f"There is no {_TESTS}: labels are COVID-19 where the reports call it, else unknown.")
        return {}
    tests = read_published(file, ("participant", "date", "result"), sep="\t")
    tests = pd.DataFrame(
        {
            "patient_id": tests["participant"],
            "date": [_iso(day, "%d.%m.%Y") for day in tests["date"]],
            "result": tests["result"].str.upper().map(RESULTS).fillna(""),
        }
    )
    whole = (tests != "").all(axis=1)
    if not whole.all():
        into.say(f"{int((~whole).sum())} rows of {file.name} have no day or no known result and were passed over.")
    sessions = sorted({(image.parts[-4], image.parts[-3]) for image in images})
    days = {subject: _dates(root, subject) for subject in sorted({subject for subject, _ in sessions})}
    dates = {(subject, session): days[subject].get(session, "") for subject, session in sessions}
    dated = [key for key in sessions if dates[key]]
    if len(dated) < len(sessions):
        into.say(
            f"{len(sessions) - len(dated)} sessions have no date in their *_sessions.tsv: no test can be set to them."
        )
    table = pd.DataFrame(
        [{"image_id": f"{key[0]}/{key[1]}", "patient_id": key[0], "date": dates[key]} for key in dated],
        columns=["image_id", "patient_id", "date"],
    )
    labels = label_by_tests(table, tests[whole].reset_index(drop=True))
    told = zip(dated, labels["covid19"], labels["reason"], strict=True)
    return {key: (str(answer), str(reason)) for key, answer, reason in told}


def _dates(root: Path, subject: str) -> dict[str, str]:
    """Days of a subject's sessions, YYYY-MM-DD or empty."""
    file = root / subject / f"{subject}_sessions.tsv"
    try:
        table = read_published(file, ("session_id", "study_date"), sep="\t")
    except SourceError:
        return {}
    days = (day.removesuffix(".0") for day in table["study_date"])
    return {session: _iso(day, "%Y%m%d") for session, day in zip(table["session_id"], days, strict=True)}


def _iso(text: str, form: str) -> str:
    try:
        return datetime.strptime(text, form).date().isoformat()
    except ValueError:
        return ""


_TERMS = "the licence in LICENSE.md beside the data, accepted by downloading"
_CITATION = (
    "M. de la Iglesia Vaya et al. BIMCV COVID-19+: a large annotated dataset of RX and CT images from COVID-19 "
    "patients. arXiv:2006.01174, 2020."
)
_UNPACK = 'sha1sum -c sha1sums.txt && for archive in *.tar.gz; do tar -xzf "$archive"; done'
_CHECKSUMS = "sha1sums.txt and sha1sums-b.txt beside the archives, SHA-1 of each (sha1sum -c sha1sums.txt)"
_FAULTS = (
    "Reports were labelled by a program; some label lists are cut.",
    "View positions in the names (vp-ap, vp-pa) are wrong for some: lateral images are among them.",
    "PNG of the detector's values: the DICOM header's window, LUT and inversion are not applied (the JSON beside each "
    "image tells them), so many look inverted; reading turns over those it is sure of and says so; some stay wrong.",
    "Hospitals of one region; BIMCV-COVID19+ and - were collected apart, in other months.",
)
BIMCV_POSITIVE = Source(
    name="bimcv-positive",
    title="BIMCV-COVID19+",
    home=_HOME,
    terms=_TERMS,
    citation=_CITATION,
    size="iterations 1 and 2: 81 archives of radiographs and CT (hundreds of GB)",
    fetch=(
        "Open https://b2drop.bsc.es/index.php/s/BIMCV-COVID19-cIter_1_2 and download covid19_posi_head.tar.gz, "
        "covid19_posi_subjects.tar.gz, covid19_posi_sessions_tsv.tar.gz, sha1sums.txt, and the parts with images.",
        _UNPACK,
    ),
    layout=(
        "participants.tsv",
        "sub-S03044/sub-S03044_sessions.tsv",
        "sub-S03044/ses-E06152/mod-rx/sub-S03044_ses-E06152_run-1_bp-chest_vp-ap_cr.png",
        "derivatives/labels/labels_covid_posi.tsv",
        _TESTS,
    ),
    labels=(
        "By tests (RT-PCR, IgM, IgG), after the COMiT-Net paper: covid19 unless a negative test is nearer in time, or "
        "the nearest positive one 14 days away or more",
        "where tests say no, by the report as in padchest, but COVID 19 and COVID 19 uncertain -> unknown",
        "where no test can be set to the image: COVID 19 in the report -> covid19, all else -> unknown, since "
        "everybody had a positive test once",
    ),
    faults=(
        "Everybody in it had a positive test once: it has no controls of its own.",
        "A label by tests does not say that the image shows anything: many of these radiographs are normal.",
        *_FAULTS,
    ),
    checksums=_CHECKSUMS,
    read=read_positive,
)
BIMCV_NEGATIVE = Source(
    name="bimcv-negative",
    title="BIMCV-COVID19-",
    home=_HOME,
    terms=_TERMS,
    citation=_CITATION,
    size="iterations 1 and 2 (hundreds of GB)",
    fetch=(
        "Open https://b2drop.bsc.es/index.php/s/BIMCV-COVID19-cIter_1_2-Negative and download "
        "covid19_neg_derivative.tar.gz, covid19_neg_metadata.tar.gz, covid19_neg_sessions_tsv.tar.gz, and the parts "
        "with images.",
        'for archive in *.tar.gz; do tar -xzf "$archive"; done',
    ),
    layout=(
        "participants.tsv",
        "sub-*/ses-*/mod-rx/*.png",
        "derivatives/labels/Labels_covid_NEG_JAN21.tsv",
    ),
    labels=(
        "By the report alone, as in padchest: no table of tests is published with it; COVID 19, which the tests deny, "
        "and COVID 19 uncertain -> unknown",
    ),
    faults=("Negative means that the patients' tests were; the days of the tests are not told.", *_FAULTS),
    read=read_negative,
)
