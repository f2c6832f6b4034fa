import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cxrscreen.cli.app import app
from cxrscreen.errors import BundleError
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.runtime.engine import EngineSettings
from cxrscreen.systems.contract import Concern, Policy, Screening, Stage, Verdict

Cxrscreen = Callable[..., Result]


class PromptSystem:
    bundle_id = "cascade@test"

    def screen(
        self, radiograph: Radiograph, *, force: bool = False, explain: bool = True, policy: Policy = "standard"
    ) -> Screening:
        mask = np.zeros(radiograph.shape, np.uint8)
        mask[10:20, 10:20] = 1
        if radiograph.provenance.path.name.startswith("side") and policy != "off" and not force:
            verdict = Verdict(policy, (Concern("lateral", "This is a lateral view.", "refuse"),))
            stages = (Stage("pneumonia", "Pneumonia", None, 0.5, "youden"),)
            return Screening(
                stages, None, None, mask, 0.1, (), "limited", verdict.sentences, self.bundle_id, {}, verdict
            )
        covid = 0.7 if force else None
        stages = (
            Stage("pneumonia", "Pneumonia", 0.2, 0.5, "youden"),
            Stage("covid19", "COVID-19", covid, 0.5, "youden"),
        )
        return Screening(stages, "normal", 0.2, mask, 0.1, (), "good", (), self.bundle_id, {"total": 0.01})


@pytest.fixture
def settings() -> list[EngineSettings]:
    return []


@pytest.fixture
def cxrscreen(monkeypatch: pytest.MonkeyPatch, settings: list[EngineSettings]) -> Cxrscreen:
    def load_system(bundle: str | Path, *, engine: EngineSettings) -> PromptSystem:
        settings.append(engine)
        if str(bundle) != "cascade":
            raise BundleError(f"There is no bundle {str(bundle)!r}; name a folder that holds a card.yaml.")
        return PromptSystem()

    monkeypatch.setattr("cxrscreen.systems.registry.load_system", load_system)
    return lambda *arguments: CliRunner().invoke(app, ["screen", *map(str, arguments)])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        ramp = np.tile(np.arange(128, dtype=np.uint8), (128, 1))
        Image.fromarray(ramp).save(folder / name)
    return folder


def test_all_screened_is_exit_code_0(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    result = cxrscreen(images, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 screened, 0 refused, 0 failed" in result.stderr
    lines = (tmp_path / "out" / "screenings.jsonl").read_text(encoding="utf-8").splitlines()
    assert [Path(json.loads(line)["file"]).name for line in lines] == ["a.png", "b.png"]
    assert (tmp_path / "out" / "report.html").exists()


def test_some_failed_is_exit_code_1_and_each_is_named(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"no image")
    result = cxrscreen(images / "*.png", images / "missing.png", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 screened, 0 refused, 2 failed" in result.stderr
    assert "broken.png" in result.stderr
    assert "missing.png" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("named", ["nothing.png", "*.dcm", "empty"])
def test_no_file_found_is_exit_code_2(cxrscreen: Cxrscreen, tmp_path: Path, named: str) -> None:
    (tmp_path / "empty").mkdir()
    result = cxrscreen(tmp_path / named, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "No image was found" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_path_is_not_the_current_folder(cxrscreen: Cxrscreen, tmp_path: Path) -> None:
    result = cxrscreen("", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "A PATH is empty" in result.stderr


def test_an_output_that_cannot_be_written_is_exit_code_2(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    result = cxrscreen(images, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "choose another with --out" in result.stderr.replace("\n", " ")


def test_a_missing_bundle_is_one_sentence(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    result = cxrscreen(images, "--out", tmp_path / "out", "--bundle", "other")
    assert result.exit_code == 2
    assert "There is no bundle 'other'" in result.stderr
    assert "Traceback" not in result.output


def test_a_system_stands_for_the_bundle_that_ships_for_it(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cxrscreen(images, "--out", tmp_path / "out", "--system", "cascade").exit_code == 0
    monkeypatch.setattr("cxrscreen.systems.registry.shipped_bundles", dict)
    none = cxrscreen(images, "--out", tmp_path / "none", "--system", "patch_voting")
    assert none.exit_code == 2
    assert "No bundle of the system patch_voting ships with this version" in none.stderr.replace("\n", " ")
    unknown = cxrscreen(images, "--out", tmp_path / "none", "--system", "oracle")
    assert unknown.exit_code == 2
    assert "There is no system 'oracle'" in unknown.stderr
    assert not (tmp_path / "none" / "screenings.jsonl").exists()


def test_a_triage_policy_of_ones_own_makes_the_suggestions(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    own = tmp_path / "ward.yaml"
    own.write_text("name: ward\nrules:\n  - {suggestion: tb_work_up, findings: [normal]}\n", encoding="utf-8")
    assert cxrscreen(images / "a.png", "--out", tmp_path / "out", "--triage", own).exit_code == 0
    row = json.loads((tmp_path / "out" / "screenings.jsonl").read_text(encoding="utf-8"))
    assert (row["triage"]["action"], row["triage"]["policy"]) == ("tb_work_up", "ward")
    assert "Policy “ward”" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    own.write_text("name: ward\n", encoding="utf-8")
    wrong = cxrscreen(images, "--out", tmp_path / "none", "--triage", own)
    assert wrong.exit_code == 2
    assert "The triage policy ward.yaml is wrong at rules" in wrong.stderr.replace("\n", " ")
    assert not (tmp_path / "none").exists()


def test_results_of_an_earlier_run_are_not_screened(cxrscreen: Cxrscreen, images: Path) -> None:
    for _ in range(2):
        result = cxrscreen(images, "--out", images / "out")
        assert "2 screened, 0 refused, 0 failed" in result.stderr


def test_results_beside_the_images_are_not_screened_either(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert "2 screened, 0 refused, 0 failed" in cxrscreen(images, "--out", images).stderr
    assert "2 screened, 0 refused, 0 failed" in cxrscreen(images, "--out", tmp_path / "other").stderr
    everything = cxrscreen(*images.iterdir(), "--out", images)
    assert "2 screened, 0 refused, 0 failed" in everything.stderr
    assert "Left out as results of an earlier run: 9 files." in everything.stderr


def test_dicom_results_are_not_screened(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    (images / "res" / "a").mkdir(parents=True)
    for name in ("report.dcm", "capture-1.dcm", "fhir.json"):
        (images / "res" / "a" / name).write_bytes(b"x")
    result = cxrscreen(images, "--out", tmp_path / "out")
    assert "2 screened, 0 refused, 0 failed" in result.stderr
    assert "Left out as results of an earlier run: 3 files." in result.stderr


def test_results_alone_are_nothing_to_screen(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    cxrscreen(images, "--out", tmp_path / "out")
    result = cxrscreen(tmp_path / "out", "--out", tmp_path / "more")
    assert result.exit_code == 2
    assert "Only results of an earlier run were found" in result.stderr


def test_a_link_to_itself_is_a_failed_file(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    (images / "self.png").symlink_to("self.png")
    result = cxrscreen(images, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 screened, 0 refused, 1 failed" in result.stderr
    assert "Too many levels of symbolic links" in result.stderr


def test_force_asks_every_decision(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    cxrscreen(images / "a.png", "--out", tmp_path / "out", "--force")
    row = json.loads((tmp_path / "out" / "screenings.jsonl").read_text(encoding="utf-8"))
    assert row["probabilities"]["covid19"] == 0.7


def test_refused_images_are_counted_named_and_exit_code_3(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    (images / "b.png").rename(images / "side.png")
    result = cxrscreen(images, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "1 screened, 1 refused, 0 failed" in result.stderr
    assert "refused side.png (lateral)" in result.stderr
    (images / "broken.png").write_bytes(b"no image")
    assert cxrscreen(images, "--out", tmp_path / "out").exit_code == 1


@pytest.mark.parametrize("options", [("--force",), ("--gate", "off")])
def test_a_refusal_can_be_overridden(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (images / "b.png").rename(images / "side.png")
    result = cxrscreen(images, "--out", tmp_path / "out", *options)
    assert result.exit_code == 0
    assert "2 screened, 0 refused" in result.stderr


def test_a_markup_in_a_file_name_is_shown_as_it_is(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    (images / "[bold]x[!bold].png").write_bytes(b"no image")
    result = cxrscreen(images, "--out", tmp_path / "out")
    assert "[bold]x[!bold].png" in result.stderr.replace("\n", "")


def test_a_stopped_run_goes_on(cxrscreen: Cxrscreen, images: Path, tmp_path: Path) -> None:
    assert cxrscreen(images / "a.png", "--out", tmp_path / "out").exit_code == 0
    result = cxrscreen(images, "--out", tmp_path / "out", "--resume")
    assert result.exit_code == 0, result.output
    assert "Finished by an earlier run: 1 of 2 files." in result.stderr
    assert "2 screened, 0 refused, 0 failed" in result.stderr
    other = cxrscreen(images, "--out", tmp_path / "out", "--resume", "--force")
    assert other.exit_code == 2
    assert "of another bundle or other options" in other.stderr.replace("\n", " ")


def test_engine_and_jobs_reach_the_system(
    cxrscreen: Cxrscreen, images: Path, tmp_path: Path, settings: list[EngineSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cxrscreen.batch.cores.available_cores", lambda: 4)
    options = ("--engine", "onnxruntime", "--precision", "f32", "--memory", "100", "--pictures", "small")
    assert cxrscreen(images, "--out", tmp_path / "out", *options).exit_code == 0
    assert cxrscreen(images, "--out", tmp_path / "out", "--jobs", "1").exit_code == 0
    # Two files: two at the same time, with two threads each.
    assert settings == [
        EngineSettings("onnxruntime", "f32", threads=2, streams=2),
        EngineSettings("openvino", None, threads=4, streams=1),
    ]
    assert (tmp_path / "out" / "a").is_dir()


def test_an_8_bit_arithmetic_that_the_bundle_has_not_is_one_sentence(images: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["screen", str(images), "--out", str(tmp_path / "out"), "--precision", "int8"])
    assert result.exit_code == 2
    assert "has no 8-bit network: choose another precision" in result.stderr.replace("\n", " ")
