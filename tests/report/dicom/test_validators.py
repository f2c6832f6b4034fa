"""What dicom3tools and DCMTK say of the objects."""

import shutil
import subprocess

import pydicom
import pytest
from pydicom import uid

from cxrscreen.data.phantoms import write_png
from cxrscreen.imaging.read import read
from cxrscreen.report.dicom.objects import dicom_objects, write_objects

pytestmark = pytest.mark.services


def tool(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def paths(objects, refused, partly, radiograph, screening, phantom, tmp_path_factory, made):
    folder = tmp_path_factory.mktemp("validated")
    write_png(phantom, folder / "chest.png")
    picture = dicom_objects(screening, read(folder / "chest.png"), made=made)
    found = list(write_objects(folder / "whole", objects))
    found += write_objects(folder / "refused", dicom_objects(refused, radiograph, made=made))
    found += write_objects(folder / "partly", dicom_objects(partly, radiograph, made=made))
    return found + list(write_objects(folder / "picture", picture))


def test_every_kind_of_object_is_among_them(paths):
    kinds = {pydicom.dcmread(path, stop_before_pixels=True).SOPClassUID for path in paths}
    assert kinds == {
        uid.ComprehensiveSRStorage,
        uid.SegmentationStorage,
        uid.ParametricMapStorage,
        uid.SecondaryCaptureImageStorage,
        uid.GrayscaleSoftcopyPresentationStateStorage,
    }


def test_dciodvfy_finds_no_error(paths):
    verify = tool("dciodvfy")
    for path in paths:
        said = subprocess.run([verify, path], capture_output=True, text=True, check=False).stderr
        errors = [line for line in said.splitlines() if line.startswith("Error")]
        assert not errors, (path.name, errors)


def test_dcmdump_and_dsrdump_read_them(paths):
    dump, report = tool("dcmdump"), tool("dsrdump")
    for path in paths:
        done = subprocess.run([dump, path], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert not done.stderr.strip(), (path.name, done.stderr)
        if path.name == "report.dcm":
            done = subprocess.run([report, path], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert "Statement of use" in done.stdout
