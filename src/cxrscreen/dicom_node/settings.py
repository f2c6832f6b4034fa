"""What can be set of the node: its name and place, who may call, where results go, TLS and limits."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cxrscreen.errors import CxrscreenError

Title = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[^\\\x00-\x1f]+$")]
"""An application entity title: 1 to 16 characters, no backslash (DICOM PS3.5, VR AE)."""
Port = Annotated[int, Field(ge=1, le=65535)]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class NodeSettingsError(CxrscreenError):
    """Settings of the node that are malformed or would open it to everybody."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Caller(_Part):
    """Who may send.

    Attributes
    ----------
    ae_title
        The calling title.
    networks
        Addresses or networks it may call from, for example ``10.1.0.0/16``; empty: any.
    """

    ae_title: Title
    networks: tuple[str, ...] = ()

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    def admits(self, ae_title: str, address: str) -> bool:
        """Whether this is the caller, calling from where it may."""
        if ae_title.strip() != self.ae_title:
            return False
        if not self.networks:
            return True
        # IPv4 callers of a socket that listens on both come as ::ffff:a.b.c.d
        caller = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(caller, "ipv4_mapped", None) or caller
        return any(mapped in ipaddress.ip_network(network) for network in self.networks)


class Tls(_Part):
    """Certificates for TLS.

    Attributes
    ----------
    certificate, key
        PEM files of this node.
    authority
        PEM file of the authority that must have signed the other side's certificate.
    """

    certificate: Path
    key: Path
    authority: Path


class Peer(_Part):
    """Where results are sent.

    Attributes
    ----------
    name
        Short, for folders and messages.
    ae_title, host, port
        Of the peer.
    tls
        None: in the clear.
    commitment
        Ask the peer for storage commitment, and send again what it does not commit to. It may call the node with its
        answers, also where it is none of the callers.
    commitment_seconds
        Silence after which what was asked for is sent again; doubled with each silence, to a day at most.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    ae_title: Title
    host: str = Field(min_length=1)
    port: Port
    tls: Tls | None = None
    commitment: bool = False
    commitment_seconds: float = Field(default=3600.0, gt=0)


class NodeSettings(_Part):
    """The settings of a node.

    Attributes
    ----------
    ae_title, host, port
        What it is called and where it listens; port 0 takes a free one.
    callers
        Who may send; empty: everybody, which is taken on the machine's own address only unless ``open`` says so.
    open
        Let everybody send, also from other machines.
    tls
        None: in the clear. Callers must then show a certificate of the authority.
    peers
        Where results go.
    max_associations
        At the same time; more are refused for the moment.
    max_instance_bytes
        Larger instances are refused.
    timeout_seconds
        Of a silent connection.
    study_quiet_seconds
        A study counts as complete once nothing of it has come for this long.
    """

    ae_title: Title = "CXRSCREEN"
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)
    callers: tuple[Caller, ...] = ()
    open: bool = False
    tls: Tls | None = None
    peers: tuple[Peer, ...] = ()
    max_associations: int = Field(default=20, ge=1, le=1000)
    max_instance_bytes: int = Field(default=256 * 2**20, ge=1)
    timeout_seconds: float = Field(default=30.0, gt=0)
    study_quiet_seconds: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _is_safe_and_clear(self) -> Self:
        if not self.callers and not self.open and self.host not in LOOPBACK:
            raise ValueError("name the callers that may send, or set open to let everybody in the network send")
        names = [peer.name for peer in self.peers]
        if len(set(names)) < len(names):
            raise ValueError("two peers have the same name")
        return self

    def admits(self, ae_title: str, address: str) -> bool:
        """Whether somebody may send."""
        return not self.callers or any(caller.admits(ae_title, address) for caller in self.callers)

    def asks_to_commit(self, ae_title: str) -> bool:
        """Whether somebody is asked for storage commitment, so that it may call with its answer."""
        # By its title alone: an archive may call from another address than that at which it is called.
        return any(peer.commitment and peer.ae_title.strip() == ae_title.strip() for peer in self.peers)


def load_settings(path: Path) -> NodeSettings:
    """Read the settings from YAML.

    Raises
    ------
    NodeSettingsError
        If the file cannot be read, is no mapping, or a setting is unknown or impossible.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NodeSettingsError(f"The settings {path.name} cannot be read: give a YAML file in UTF-8.") from error
    # PyYAML lets an impossible date through as a plain ValueError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NodeSettingsError(f"The settings {path.name} are not valid YAML: correct the file.") from error
    if not isinstance(content, dict):
        raise NodeSettingsError(f"The settings {path.name} are no mapping: see docs/dicom-conformance.md.")
    return checked_settings(path.name, **content)


def checked_settings(name: str, **content: object) -> NodeSettings:
    """Make settings of plain values; ``name`` stands for their source in messages. Errors as `load_settings`."""
    try:
        return NodeSettings.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        said = first["msg"].removeprefix("Value error, ")
        raise NodeSettingsError(f"The settings {name} are wrong at {place}: {said}; correct it there.") from error
