import pytest

from cxrscreen.service.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CXRSCREEN_{name.upper()}", raising=False)


def test_what_is_given_outranks_the_environment_which_outranks_the_file(tmp_path, monkeypatch):
    file = tmp_path / "service.yaml"
    file.write_text("port: 1000\nworkers: 3\nthreads: 1\n")
    monkeypatch.setenv("CXRSCREEN_PORT", "2000")
    monkeypatch.setenv("CXRSCREEN_WORKERS", "5")
    settings = load_settings(file, port=3000, host=None)
    assert (settings.port, settings.workers, settings.threads, settings.host) == (3000, 5, 1, "127.0.0.1")


def test_toml_and_nested_values(tmp_path, monkeypatch):
    file = tmp_path / "service.toml"
    file.write_text('screen_with = ["b"]\n[systems]\na = "here"\nb = "there"\n')
    assert load_settings(file).used_systems == ("b",)
    monkeypatch.setenv("CXRSCREEN_SYSTEMS", '{"c": null}')
    monkeypatch.setenv("CXRSCREEN_SCREEN_WITH", "[]")
    assert load_settings(file).used_systems == ("c",)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"port": 70000}, "port"),
        ({"nonsense": 1}, "nonsense"),
        ({"systems": {}}, "at least one system"),
        ({"screen_with": ("other",)}, "not among the systems"),
        ({"api_token": "short"}, "16 characters"),
    ],
)
def test_impossible_settings_are_named(given, named):
    with pytest.raises(SettingsError, match=named):
        load_settings(**given)


def test_secrets_are_in_no_text(tmp_path, monkeypatch):
    monkeypatch.setenv("CXRSCREEN_DATABASE", "postgresql+psycopg://user:hidden-word@host/name")
    settings = load_settings(api_token="hidden-word-of-the-api")
    assert "hidden-word" not in repr(settings) + str(settings.model_dump())
    assert "hidden-word" in settings.database_url
    with pytest.raises(SettingsError) as raised:
        load_settings(api_token="hidden-word")
    assert "hidden-word" not in str(raised.value)


@pytest.mark.parametrize("content", ["- a list", "a: [", "\x00"])
def test_malformed_files_are_one_sentence(tmp_path, content):
    file = tmp_path / "service.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=r"service\.yaml"):
        load_settings(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml")


def test_malformed_environment_is_one_sentence(monkeypatch):
    monkeypatch.setenv("CXRSCREEN_SYSTEMS", "cascade")
    with pytest.raises(SettingsError, match="as JSON"):
        load_settings()
