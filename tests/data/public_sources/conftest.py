"""Miniature data sets in their publishers' layouts, made of one phantom."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrscreen.data.phantoms import make_phantom, write_dicom
from cxrscreen.data.public_sources import build_manifest
from cxrscreen.data.public_sources.chexpert import FINDINGS

SIDE = 128


class Layout:
    """A folder that is filled with small images, masks and tables."""

    def __init__(self, root: Path, phantom) -> None:
        self.root, self.phantom = root, phantom
        self._png = cv2.imencode(".png", (phantom.pixels * 255).astype(np.uint8))[1].tobytes()
        self._jpg = cv2.imencode(".jpg", (phantom.pixels * 255).astype(np.uint8))[1].tobytes()

    def text(self, name: str, *lines: str) -> None:
        self._file(name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def image(self, *names: str) -> None:
        for name in names:
            self._file(name).write_bytes(self._png if name.endswith(".png") else self._jpg)

    def dicom(self, name: str) -> None:
        write_dicom(self.phantom, self._file(name))

    def mask(self, name: str, mask, side: int = SIDE) -> None:
        values = cv2.resize((mask > 0).astype(np.uint8) * 255, (side, side), interpolation=cv2.INTER_NEAREST)
        Image.fromarray(values).save(self._file(name))

    def raw(self, name: str) -> None:
        """JSRT's form: 12 bits in big-endian 16, air bright."""
        grey = cv2.resize(self.phantom.pixels, (2048, 2048)) * 4095
        self._file(name).write_bytes((4095 - grey.astype(np.uint16)).astype(">u2").tobytes())

    def _file(self, name: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def cohen(to: Layout) -> None:
    to.text(
        "metadata.csv",
        "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
        "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,lymphocyte_count,"
        "view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,",
        *(
            f"{patient},{offset},{sex},{age},{finding},,,,,,,,,,,,,,{view},{modality},2020,,images,{name},{doi},u,{of},n,,"
            for patient, offset, sex, age, finding, view, modality, name, doi, of in (
                ("2", "3", "M", "65", "Pneumonia/Viral/COVID-19", "PA", "X-ray", "a-1.jpeg", "", "CC BY"),
                ("2", "5", "M", "65", "Pneumonia/Viral/COVID-19", "L", "X-ray", "a-2.png", "", ""),
                ("17", "9", "M", "54", "Pneumonia/Viral/COVID-19", "Axial", "CT", "ct.jpg", "", ""),
                ("181", "", "F", "8", "Pneumonia/Bacterial/Klebsiella", "AP Supine", "X-ray", "b.jpg", "", ""),
                ("182", "", "", "", "No Finding", "AP Erect", "X-ray", "c.jpg", "", ""),
                ("183", "", "", "", "todo", "", "X-ray", "d.jpg", "", ""),
                ("184", "", "", "", "Tuberculosis", "PA", "X-ray", "gone.jpg", "", ""),
                ("263", "0", "M", "", "Pneumonia/Viral/COVID-19", "PA", "X-ray", "0a7faa2a.jpg",
                 "10.6084/m9.figshare.12275009", "CC BY 3.0"),
            )
        ),
    )  # fmt: skip
    to.image(*(f"images/{name}" for name in ("a-1.jpeg", "a-2.png", "ct.jpg", "b.jpg", "c.jpg", "d.jpg")))
    to.image("images/0a7faa2a.jpg")
    to.text(
        "annotations/covid-severity-scores.csv",
        "## Mean of 3 expert raters",
        "filename,geographic_mean,opacity_mean",
        "a-1.jpeg,2.3,1.3",
    )
    to.mask("annotations/lungVAE-masks/a-1_mask.png", to.phantom.lungs, 64)


def hannover(to: Layout) -> None:
    to.text(
        "data.csv",
        "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,modality,projection",
        "042f06a9,b343e657,m,,,,0,0.0,CR,ap",
        "042f06a9,c9280a30,m,,,,-2,-2.0,CR,ap",
        "0f2b9fbd,0a7faa2a,f,,,,4,,DX,pa",
        "0f2b9fbd,ffffffff,f,,,,4,,CT,pa",
    )
    to.image("png/b343e657.png", "png/c9280a30.png", "png/0a7faa2a.png")


def figure1(to: Layout) -> None:
    to.text(
        "metadata.csv",
        "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,artifacts/distortion,notes",
        "COVID-00001,13,M,33,COVID-19,,,58,AP erect,X-ray,,a",
        "COVID-00002,,M,50+,,,,,AP erect,X-ray,,b",
        "COVID-00031,,,,Pneumonia,,,,,X-ray,,c",
        "COVID-00040a,7,,early 40s,No finding,,,,,X-ray,,d",
        "COVID-00040b,7,,early 40s,,,,,,X-ray,,e",
    )
    to.image("images/COVID-00001.jpg", "images/COVID-00002.png", "images/COVID-00031.jpg")
    to.image("images/COVID-00040a.jpg", "images/COVID-00040b.jpg")


def actualmed(to: Layout) -> None:
    uid = "1.2.840.113564.1722810170.20200313090023421700.1003000225002"
    to.text(
        "metadata.csv",
        "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,imagename,"
        "artifacts/distortion,notes",
        f'ANON196,,,,,,,,PA,X-ray,CR.{uid}.png,,"Inconclusive, date taken (YYYYMMDD): 20200313"',
        f'ANON196,,,,COVID-19,,,,AP,X-ray,CR.{uid}2.png,,", date taken (YYYYMMDD): 20200318"',
        f'ANON56,,,,No finding,,,,PA,X-ray,DX.{uid}.png,,"Negative (covid-19 viral infection is excluded), date"',
    )
    to.image(f"images/CR.{uid}.png", f"images/CR.{uid}2.png", f"images/DX.{uid}.png")


def _bimcv(to: Layout, labels: str) -> None:
    to.text(
        "participants.tsv",
        "participant\tmodality_dicom\tbody_parts\tage\tgender",
        *(f"sub-S0{number}\t['CR', 'DX']\t[['chest']]\t['65', '66']\tM" for number in (1, 2, 3)),
        "derivatives\t\t\t\t",
    )
    for subject, session, day, name in (
        ("sub-S01", "ses-E01", "20200401", "run-1_bp-chest_vp-ap_cr"),
        ("sub-S01", "ses-E02", "20200601", "run-1_bp-chest_vp-pa_dx"),
        ("sub-S02", "ses-E03", "20200402", "run-1_bp-chest_vp-ll_dx"),
        ("sub-S03", "ses-E04", "", "run-1_bp-chest_vp-pa_cr"),
        ("sub-S03", "ses-E05", "20200402", "run-1_bp-abdomen_vp-ap_cr"),
    ):
        to.image(f"{subject}/{session}/mod-rx/{subject}_{session}_{name}.png")
        table = to.root / subject / f"{subject}_sessions.tsv"
        before = table.read_text() if table.is_file() else "session_id\tstudy_date\tmedical_evaluation\n"
        table.write_text(f"{before}{session}\t{day}\tinforme\n")
    to.text("sub-S01/ses-E01/mod-ct/sub-S01_ses-E01_ct.nii.gz")
    to.text(
        f"derivatives/labels/{labels}",
        "\tPatientID\tReportID\tReport\tLabels\tLocalizations",
        "0\tsub-S01\tses-E01\t.\t['normal']\t[]",
        "1\tsub-S01\tses-E02\t.\t['COVID 19', 'pneumonia']\t[]",
        "2\tsub-S02\tses-E03\t.\t['pneumonia', ' unchanged']\t[]",
        "3\tsub-S03\tses-E04\t.\t['COVID 19 unc\t[]",
    )


def bimcv_positive(to: Layout) -> None:
    _bimcv(to, "labels_covid_posi.tsv")
    to.text(
        "derivatives/EHR/sil_reg_covid_posi.tsv",
        "participant\tdate\ttest\tresult",
        "sub-S01\t30.03.2020\tPCR\tPOSITIVO",
        "sub-S01\t28.05.2020\tPCR\tNEGATIVO",
        "sub-S02\t02.04.2020\tPCR\tINDETERMINADO",
        "sub-S02\t\tPCR\tPOSITIVO",
    )


def bimcv_negative(to: Layout) -> None:
    _bimcv(to, "Labels_covid_NEG_JAN21.tsv")


def covidx(to: Layout) -> None:
    rsna = "47c78742-4998-4878-aec4-37b11b1354ac"
    to.text(
        "train_COVIDx_CXR-3A.txt",
        "2 a-1.jpeg COVID-19 cohen",
        f"{rsna} {rsna}.png normal rsna",
        "7 COVID (7).png COVID-19 sirm",
        "9 gone.png pneumonia rsna",
        "half a line",
    )
    to.text(
        "test_COVIDx_CXR-3A.txt",
        "419639-003251 MIDRC-RICORD-1C-419639-003251-46647-0.png negative ricord",
        "old.png pneumonia.png pneumonia",
    )
    to.image("train/a-1.jpeg", f"train/{rsna}.png", "train/COVID (7).png")
    to.image("test/MIDRC-RICORD-1C-419639-003251-46647-0.png", "test/pneumonia.png")


def radiography(to: Layout) -> None:
    for kind, stem in (
        ("COVID", "COVID-1"),
        ("Lung_Opacity", "Lung_Opacity-1"),
        ("Normal", "Normal-8851"),
        ("Normal", "Normal-8852"),
        ("Viral Pneumonia", "Viral Pneumonia-1"),
    ):
        to.image(f"{kind}/images/{stem}.png")
        to.mask(f"{kind}/masks/{stem}.png", to.phantom.lungs, 100)


def coronahack(to: Layout) -> None:
    to.text(
        "Chest_xray_Corona_Metadata.csv",
        ",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,Label_1_Virus_category",
        "0,IM-0128-0001.jpeg,Normal,TRAIN,,",
        "1,person1_virus_6.jpeg,Pnemonia,TEST,,Virus",
        "2,person9_bacteria_38.jpeg,Pnemonia,TRAIN,,bacteria",
        "3,a-1.jpeg,Pnemonia,TRAIN,COVID-19,Virus",
        "4,ARDSSevere.png,Pnemonia,TRAIN,ARDS,Stress-Smoking",
    )
    inner = "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset"
    to.image(*(f"{inner}/train/{name}" for name in ("IM-0128-0001.jpeg", "person9_bacteria_38.jpeg", "a-1.jpeg")))
    to.image(f"{inner}/train/ARDSSevere.png", f"{inner}/test/person1_virus_6.jpeg")


def kermany(to: Layout) -> None:
    to.image(
        "chest_xray/train/NORMAL/IM-0115-0001.jpeg",
        "chest_xray/train/NORMAL/NORMAL2-IM-0383-0001-0001.jpeg",
        "chest_xray/train/NORMAL/person5_virus_1.jpeg",
        "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
        "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg",
        "chest_xray/test/PNEUMONIA/person1_bacteria_1.jpeg",
        "chest_xray/val/PNEUMONIA/BACTERIA-1008087-0001.jpeg",
    )


def nih(to: Layout) -> None:
    to.text(
        "Data_Entry_2017_v2020.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
        "00000001_000.png,Cardiomegaly,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000001_001.png,Nodule|Pneumonia,1,1,58,M,AP,2894,2729,0.143,0.143",
        "00000013_000.png,No Finding,0,13,414,F,PA,2500,2048,0.168,0.168",
        "00000017_000.png,Nodule,0,17,9,F,PA,2500,2048,0.168,0.168",
        "00000018_000.png,Hernia,0,18,9,F,PA,2500,2048,0.168,0.168",
    )
    to.text(
        "BBox_List_2017.csv",
        "Image Index,Finding Label,Bbox [x,y,w,h],,,",
        "00000001_001.png,Pneumonia,10.5,20,30,40.25,,,",
        "00099999_000.png,Mass,1,2,3,4,,,",
    )
    to.image("images_001/images/00000001_000.png", "images_001/images/00000001_001.png")
    to.image("images_002/images/00000013_000.png", "images_002/images/00000017_000.png")


def rsna(to: Layout) -> None:
    to.text(
        "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        "aaaa,10.0,20.0,30.0,40.0,1",
        "aaaa,60.0,20.0,30.0,40.0,1",
        "bbbb,,,,,0",
        "cccc,,,,,0",
        "47c78742-4998-4878-aec4-37b11b1354ac,,,,,0",
    )
    to.text(
        "stage_2_detailed_class_info.csv",
        "patientId,class",
        "aaaa,Lung Opacity",
        "aaaa,Lung Opacity",
        "bbbb,No Lung Opacity / Not Normal",
        "cccc,Normal",
        "47c78742-4998-4878-aec4-37b11b1354ac,Normal",
    )
    for name in ("aaaa", "bbbb", "cccc", "47c78742-4998-4878-aec4-37b11b1354ac"):
        to.dicom(f"stage_2_train_images/{name}.dcm")
    to.dicom("stage_2_test_images/tttt.dcm")
    to.text(
        "pneumonia-challenge-dataset-mappings_2018.json",
        json.dumps(
            [
                {"img_id": "00000001_000.png", "subset_img_id": "aaaa", "orig_labels": ["Cardiomegaly"]},
                {"img_id": "00000001_001.png", "subset_img_id": "bbbb", "orig_labels": ["Pneumonia"]},
                {"img_id": "00000013_000.png", "subset_img_id": "cccc", "orig_labels": ["No Finding"]},
                {"img_id": "00000017_000.png", "subset_img_id": "47c78742-4998-4878-aec4-37b11b1354ac"},
                {"img_id": "00000099_000.png", "subset_img_id": "", "orig_labels": []},
            ]
        ),
    )


def chexpert(to: Layout) -> None:
    header = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(FINDINGS)

    def row(path: str, about: str, **marks: str) -> str:
        values = (marks.get(name.replace(" ", "_"), "") for name in FINDINGS)
        return f"CheXpert-v1.0-small/{path},{about},{','.join(values)}"

    one = "train/patient00001/study1/view1_frontal.jpg"
    two = "train/patient00001/study1/view2_lateral.jpg"
    three = "train/patient00002/study2/view1_frontal.jpg"
    four = "valid/patient64541/study1/view1_frontal.jpg"
    to.text(
        "train.csv",
        header,
        row(one, "Female,68,Frontal,AP", No_Finding="1.0", Support_Devices="1.0"),
        row(two, "Female,68,Lateral,", Pneumonia="1.0", Edema="-1.0"),
        row(three, "Male,0,Frontal,PA", Pneumonia="-1.0", Edema="1.0"),
    )
    to.text("valid.csv", header, row(four, "Male,73,Frontal,AP", Edema="1.0", Pneumonia="0.0"))
    to.image(one, two, three, four)


def padchest(to: Layout) -> None:
    rows = (
        ("a.png", "0", "PA", "No", "Physician", "['normal', ' unchanged']", "p1"),
        ("b.png", "0", "L", "No", "RNN_model", "['pneumonia', 'nodule']", "p1"),
        ("c.png", "1", "AP_horizontal", "PED", "Physician", "['suboptimal study']", "p2"),
        ("d.png", "1", "PA", "No", "Physician", "['tuberculosis sequelae']", "p3"),
        ("e.png", "1", "COSTAL", "No", "Physician", "['normal']", "p3"),
        ("f.png", "1", "PA", "No", "Physician", "['exclude']", "p3"),
        ("g.png", "1", "PA", "No", "Physician", "['atyp", "p3"),
        ("h.png", "1", "PA", "No", "Physician", "", "p4"),
    )
    lines = [
        ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,"
        "Projection,MethodProjection,Pediatric,MethodLabel,Labels",
        *(
            f'{n},{name},{folder},20140101,s,{patient},1950.0,F,,{view},x,{child},{method},"{labels}"'
            for n, (name, folder, view, child, method, labels, patient) in enumerate(rows)
        ),
    ]
    table = to.root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz"
    table.write_bytes(gzip.compress("\n".join(lines).encode()))
    to.image(*(f"{folder}/{name}" for name, folder, *_ in rows))


def jsrt(to: Layout) -> None:
    for name in ("JPCLN001", "JPCNN001"):
        to.raw(f"All247images/{name}.IMG")
        for number, organ in ((1, "left lung"), (2, "right lung")):
            to.mask(f"scratch/fold1/masks/{organ}/{name}.gif", to.phantom.lungs == number, 1024)
        to.mask(f"scratch/fold1/masks/heart/{name}.gif", to.phantom.heart, 1024)
    to.text("All247images/JPCLN009.IMG", "too short")
    to.text(
        "Clinical_Information/CLNDAT_EN.txt",
        "JPCLN001.IMG\t5\t15\t53\tMale\t1634\t692\tmalignant\tl.upper lobe\tlung cancer\t"
        "JPCLN002.IMG\t5\t30\t78\tFemale\t1614\t1090\tbenign\tl.upper lobe(S5)\tpulmonary hematoma",
    )
    to.text("Clinical_Information/CNNDAT_EN.TXT", "JPCNN001.IMG\t?\tfemale\tnon-nodule")


def montgomery(to: Layout) -> None:
    for stem in ("MCUCXR_0001_0", "MCUCXR_0104_1"):
        to.image(f"MontgomerySet/CXR_png/{stem}.png")
    # What is called left is the viewer's: position decides, not the name.
    for side, number in (("leftMask", 1), ("rightMask", 2)):
        to.mask(f"MontgomerySet/ManualMask/{side}/MCUCXR_0001_0.png", to.phantom.lungs == number)
    readings = "MontgomerySet/ClinicalReadings"
    to.text(f"{readings}/MCUCXR_0001_0.txt", "Patient's Sex: F ", "Patient's Age: 027Y", "normal")
    to.text(f"{readings}/MCUCXR_0104_1.txt", "Patient's Sex: M", "Patient's Age: 015Y", "Cavity, right apex.")
    to.text(f"{readings}/MCUCXR_0200_1.txt", "Patient's Sex: M", "Patient's Age: 015Y", "Gone.")


def shenzhen(to: Layout) -> None:
    for stem, reading in (
        ("CHNCXR_0001_0", ("male 45yrs", "normal")),
        ("CHNCXR_0327_1", ("femal 16month", "", "bilateral PTB")),
        ("CHNCXR_0328_1", ("Female, 28yrs", "PTB in the right upper field")),
    ):
        to.image(f"ChinaSet_AllFiles/CXR_png/{stem}.png")
        to.text(f"ChinaSet_AllFiles/ClinicalReadings/{stem}.txt", *reading)
    to.mask("ChinaSet_AllFiles/mask/CHNCXR_0001_0_mask.png", to.phantom.lungs)
    whole = np.ones_like(to.phantom.lungs)
    to.mask("ChinaSet_AllFiles/mask/CHNCXR_0327_1_mask.png", whole)


LAYOUTS: dict[str, Callable[[Layout], None]] = {
    "cohen": cohen,
    "hannover": hannover,
    "figure1": figure1,
    "actualmed": actualmed,
    "bimcv-positive": bimcv_positive,
    "bimcv-negative": bimcv_negative,
    "covidx": covidx,
    "radiography": radiography,
    "coronahack": coronahack,
    "kermany": kermany,
    "nih": nih,
    "rsna": rsna,
    "chexpert": chexpert,
    "padchest": padchest,
    "jsrt": jsrt,
    "montgomery": montgomery,
    "shenzhen": shenzhen,
}


@pytest.fixture(scope="session")
def phantom():
    return make_phantom(3, shape=(SIDE, SIDE))


@pytest.fixture
def lay(tmp_path, phantom):
    """Make a source's folder; give it."""

    def make(name: str) -> Path:
        return _laid(name, tmp_path, phantom)

    return make


@pytest.fixture(scope="session")
def built(tmp_path_factory, phantom):
    """Make a source's folder and its manifest, images verified; give the outcome, the rows by id, and the manifest."""
    done = {}

    def build(name: str):
        if name not in done:
            top = tmp_path_factory.mktemp(name)
            out = top / "out" / "manifest.csv"
            outcome = build_manifest(name, _laid(name, top, phantom), out, verify=True)
            rows = pd.read_csv(out, dtype=str, keep_default_na=False).set_index("image_id")
            done[name] = outcome, rows, out
        return done[name]

    return build


def _laid(name: str, top: Path, phantom) -> Path:
    folder = top / f"downloads {name}"
    folder.mkdir()
    LAYOUTS[name](Layout(folder, phantom))
    return folder
