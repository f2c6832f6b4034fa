import json

from typer.testing import CliRunner

from cxrscreen.cli.app import app


def test_a_folder_that_is_no_audit_is_one_sentence(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "audit.json").write_text(json.dumps({"bundle": "a@1"}))
    done = CliRunner().invoke(
        app, ["compare-audits", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 2
    assert "one holds no readable audit.json" in " ".join(done.output.split())
    assert "Traceback" not in done.output
