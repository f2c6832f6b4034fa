"""What can be set: from the environment (``CXRSCREEN_...``), a YAML or TOML file, and the command line."""

import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from cxrscreen.dicom_node.settings import NodeSettings
from cxrscreen.errors import CxrscreenError
from cxrscreen.systems.contract import Policy

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MIB = 2**20


class SettingsError(CxrscreenError):
    """Settings that are malformed, contradict each other or would open the service to everybody."""


RoleName = Literal["viewer", "reader", "admin"]


class IdentityProvider(BaseModel):
    """An identity provider (OpenID Connect) whose people may sign in; its secret is ``Settings.oidc_secret``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(description="Its address, as its tokens name it; https, unless it runs on this machine.")
    client_id: str = Field(description="The name under which it knows this service.")
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = Field("preferred_username", description="What becomes the account's name.")
    groups_claim: str = Field("groups", description="Where it says which groups somebody belongs to.")
    roles: dict[str, RoleName] = Field(description="Role by group; the highest counts, and no group is no access.")


class Webhook(BaseModel):
    """An address that is told when a study has been screened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="Short, for the audit log and the database.")
    url: str = Field(description="https, unless it is on this machine.")
    secret: SecretStr = Field(min_length=16, description="Key of the signature (HMAC-SHA256), 16 characters or more.")


class FhirServer(BaseModel):
    """A FHIR R4 server that is given reports and observations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="Short, for the audit log and the database.")
    url: str = Field(description="Its base address; https, unless it is on this machine.")
    token: SecretStr | None = Field(None, description="What it is shown as bearer token.")


class Settings(BaseSettings):
    """The settings of one service; those of several processes that share a database must agree.

    Secrets are of a type that never prints itself, and belong in the environment rather than in the file.
    """

    model_config = SettingsConfigDict(env_prefix="CXRSCREEN_", env_ignore_empty=True, frozen=True, extra="forbid")

    folder: Path = Field(Path("cxrscreen-data"), description="Where images and results are kept, and SQLite's file.")
    database: SecretStr | None = Field(
        None, description="URL such as postgresql+psycopg://user:password@host/name; none: SQLite in the folder."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; anything but the machine itself needs a token.")
    port: int = Field(8080, ge=0, le=65535)
    api_token: SecretStr | None = Field(None, description="Lets whoever sends it do everything; 16 characters or more.")
    public_url: str | None = Field(
        None, description="How browsers reach the service; with https:// cookies are bound to TLS, and HSTS is sent."
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1",), description="Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    first_admin: str | None = Field(None, description="Account that is made while there is none at all.")
    first_admin_password: SecretStr | None = Field(None, description="Its password.")
    session_hours: float = Field(12.0, gt=0.0, description="After which everybody signs in again.")
    session_idle_minutes: float = Field(
        60.0, gt=0.0, description="Without use by a person, after which a session ends."
    )
    attempts_per_account: int = Field(10, ge=1, description="Failed sign-ins in 15 minutes before more are refused.")
    attempts_per_address: int = Field(100, ge=1, description="The same from one address, whatever the account.")
    oidc: IdentityProvider | None = Field(None, description="Identity provider whose people may sign in.")
    oidc_secret: SecretStr | None = Field(None, description="What the service is known by there; none: PKCE alone.")
    deidentify: Literal["off", "basic", "basic_keep_intervals"] = Field(
        "off", description="Whether images lose names and numbers on arrival (DICOM PS3.15, basic profile)."
    )
    pseudonym_key: SecretStr | None = Field(
        None, description="Makes the same pseudonym of the same person; 32 characters or more, kept apart from backups."
    )

    workers: int = Field(1, ge=0, le=64, description="Worker processes this server starts; 0: others do the work.")
    threads: int | None = Field(None, ge=1, description="Threads of one worker's networks; none: all cores.")

    systems: dict[str, str | None] = Field(
        {"cascade": None}, description="Systems by name, each with a bundle's folder, or none for the shipped one."
    )
    screen_with: tuple[str, ...] = Field(
        (), description="Systems that screen every image; the first one orders the worklist. None: the first system."
    )
    gate: Policy = Field("standard", description="What is refused as out of scope.")

    max_request_bytes: int = Field(1024 * _MIB, ge=1, description="Largest request.")
    max_file_bytes: int = Field(256 * _MIB, ge=1, description="Largest image, also inside an archive.")
    max_pixels: int = Field(100_000_000, ge=64 * 64, description="Largest rows x columns of an image.")
    max_files: int = Field(1000, ge=1, description="Most files in one request, those inside archives counted.")
    max_archive_bytes: int = Field(4096 * _MIB, ge=1, description="Largest content of an archive, unpacked.")

    lease_seconds: float = Field(60.0, ge=1.0, description="Silence after which a worker's job goes to another one.")
    poll_seconds: float = Field(0.5, gt=0.0, description="How often an idle worker looks for work.")
    max_attempts: int = Field(5, ge=1, description="Tries before an image is set aside.")
    retry_seconds: float = Field(5.0, ge=0.0, description="Wait before the second try; it doubles with each further.")
    retention_days: int | None = Field(None, ge=1, description="Studies older than this are deleted; none: kept.")

    node: NodeSettings | None = Field(None, description="DICOM node that the server runs, and where results go.")
    dicom_objects: Literal["dicom", "all", "off"] = Field(
        "dicom", description="Of which results DICOM objects and FHIR resources are made: of DICOM images, all or none."
    )
    webhooks: tuple[Webhook, ...] = Field((), description="Who is told of each study that has been screened.")
    fhir_servers: tuple[FhirServer, ...] = Field((), description="Who is given its reports and observations.")
    feed_quiet_seconds: float = Field(10.0, ge=0.0, description="Silence of a study before it is told of.")
    feed_days: float = Field(7.0, gt=0.0, le=3650.0, description="How long an address that does not answer is tried.")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "json"

    @model_validator(mode="after")
    def _agrees(self) -> "Settings":
        if not self.systems:
            raise ValueError("at least one system is needed")
        unknown = [name for name in self.screen_with if name not in self.systems]
        if unknown:
            raise ValueError(f"screen_with names {unknown[0]!r}, which is not among the systems")
        if self.api_token is not None and len(self.api_token.get_secret_value()) < 16:
            raise ValueError("api_token must have 16 characters or more")
        if (self.first_admin is None) != (self.first_admin_password is None):
            raise ValueError("first_admin and first_admin_password belong together")
        if self.public_url is not None:
            _check_address("public_url", self.public_url)
        if self.oidc is not None:
            _check_address("oidc.issuer", self.oidc.issuer)
            if self.public_url is None:
                raise ValueError("oidc needs public_url, the address to which its people come back")
        if self.deidentify != "off" and len(_secret(self.pseudonym_key)) < 32:
            raise ValueError("deidentify needs a pseudonym_key of 32 characters or more")
        for kind, receivers in (("webhooks", self.webhooks), ("fhir_servers", self.fhir_servers)):
            names = [receiver.name for receiver in receivers]
            if len(set(names)) < len(names):
                raise ValueError(f"two of the {kind} have the same name")
            for receiver in receivers:
                _check_address(f"{kind}.{receiver.name}.url", receiver.url)
        return self

    @property
    def used_systems(self) -> tuple[str, ...]:
        """The systems that screen every image, the one that orders the worklist first."""
        return self.screen_with or (next(iter(self.systems)),)

    @property
    def speaks_to_others(self) -> bool:
        """Whether there is anybody to listen or send to."""
        return self.node is not None or bool(self.webhooks or self.fhir_servers)

    @property
    def database_url(self) -> str:
        """URL of the database, with its password: not for logs."""
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{self.folder.absolute() / 'cxrscreen.sqlite'}"

    @property
    def behind_tls(self) -> bool:
        """Whether browsers reach the service by TLS."""
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return self.host in LOOPBACK


def load_settings(file: Path | None = None, **given: Any) -> Settings:
    """Put the settings together: what is given, else the environment, else the file, else the default.

    Parameters
    ----------
    file
        YAML or, with the suffix ``.toml``, TOML; keys as the fields of :class:`Settings`. None: no file.
    given
        Fields by name; None stands for not given.

    Raises
    ------
    SettingsError
        If the file cannot be read or a setting is unknown or impossible; its text holds no value.
    """
    try:
        environment = EnvSettingsSource(Settings)()
        chosen = {name: value for name, value in given.items() if value is not None}
        return Settings(**{**_from_file(file), **environment, **chosen})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the settings"
        raise SettingsError(
            f"The setting {where} cannot be used ({first['msg'].removeprefix('Value error, ')}); correct it in the "
            "environment, the settings file or the command."
        ) from None
    except ValueError as error:
        raise SettingsError("A setting in the environment is malformed: give lists and tables as JSON.") from error


def _check_address(name: str, address: str) -> None:
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (parts.scheme == "https" or local):
        raise ValueError(f"{name} must begin with https://, or with http:// and this machine's own name")


def _secret(value: SecretStr | None) -> str:
    return "" if value is None else value.get_secret_value()


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text) if file.suffix == ".toml" else yaml.safe_load(text)
    except OSError as error:
        raise SettingsError(
            f"The settings file {str(file)!r} cannot be read ({error.strerror}); check its name."
        ) from error
    except (ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"The settings file {str(file)!r} is malformed; write it as YAML or TOML.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"The settings file {str(file)!r} is no table of settings; write lines such as 'port: 80'.")
    return content
