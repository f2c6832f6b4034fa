"""An identity provider (OpenID Connect) as the service asks it: discovery, the code's exchange, the identity token."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import httpx2
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cxrscreen.service.problems import NotSignedInError, ServiceError
from cxrscreen.service.settings import IdentityProvider, Settings

BACK: Final = "/sign-in/provider/back"
"""Path to which the provider sends people back."""

SIGNATURES: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those by a key that the provider alone has: never ``none``, never one by the secret that both know."""
_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 30.0
"""For how long a provider that did not answer is not asked about itself again."""
_AT_ONCE: Final = 8
"""People whose codes are exchanged at a time: fewer than the threads that answer requests."""
_REMEMBERED_SECONDS: Final = 3600.0
_LEEWAY_SECONDS: Final = 60


class ProviderError(ServiceError):
    """An identity provider that does not answer, or not as it should."""

    status = HTTPStatus.BAD_GATEWAY


@dataclass(frozen=True)
class Identity:
    """Who somebody is, as the provider vouches.

    Parameters
    ----------
    issuer, subject
        Together they name one person for good.
    name, display_name
        As the person is called now.
    groups
        To which they belong now.
    """

    issuer: str
    subject: str
    name: str
    display_name: str | None
    groups: tuple[str, ...]


def provider_of(settings: Settings) -> "Provider | None":
    """Return the identity provider that the settings name; it is asked nothing yet."""
    if settings.oidc is None or settings.public_url is None:
        return None
    secret = None if settings.oidc_secret is None else settings.oidc_secret.get_secret_value()
    return Provider(settings.oidc, secret, settings.public_url.rstrip("/") + BACK)


class Provider:
    """An identity provider; what it says of itself is asked once an hour.

    Parameters
    ----------
    settings
        Where it is and how it knows the service.
    secret
        What the service shows it; None for a public client, which PKCE protects.
    redirect_uri
        Where it sends people back to.
    """

    def __init__(self, settings: IdentityProvider, secret: str | None, redirect_uri: str) -> None:
        self.settings = settings
        self._secret = secret
        self._redirect_uri = redirect_uri
        # Nobody waits for another one who asks: strangers and a provider that is silent would hold every thread.
        self._asking = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._asked_at = -_REMEMBERED_SECONDS
        self._failed: tuple[float, str] | None = None

    def address(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return where to send a browser.

        Parameters
        ----------
        state, nonce, verifier
            Drawn for this browser; see RFC 6749 section 10.12, OpenID Connect Core section 15.5.2, RFC 7636.

        Raises
        ------
        ProviderError
            If the provider does not answer, or another one waits for its first answer.
        """
        endpoint = self._endpoint("authorization_endpoint")
        with self._client() as client:
            address, _ = client.create_authorization_url(endpoint, state=state, nonce=nonce, code_verifier=verifier)
        return str(address)

    def identity(self, code: str, *, verifier: str, nonce: str) -> Identity:
        """Exchange a code for what the provider knows of somebody.

        Raises
        ------
        NotSignedInError
            If the provider does not take the code, or its token is not good.
        ProviderError
            If it does not answer, or too many wait for its answer already.
        """
        if not self._turns.acquire(blocking=False):
            raise _busy()
        try:
            claims = self._claims(code, verifier, nonce)
        except httpx2.HTTPError as error:
            raise _silent() from error
        except (OAuthError, JoseError, ValueError, KeyError) as error:
            raise NotSignedInError("The identity provider's answer is not valid; try again.") from error
        finally:
            self._turns.release()
        name = claims.get(self.settings.name_claim)
        groups = claims.get(self.settings.groups_claim) or ()
        if not isinstance(name, str):
            raise NotSignedInError(f"The identity provider tells no {self.settings.name_claim}; tell an administrator.")
        display_name = claims.get("name")
        return Identity(
            self.settings.issuer,
            str(claims["sub"]),
            name,
            display_name[:128] if isinstance(display_name, str) else None,
            (groups,) if isinstance(groups, str) else tuple(str(group) for group in groups),
        )

    def _claims(self, code: str, verifier: str, nonce: str) -> dict[str, Any]:
        with self._client() as client:
            token = client.fetch_token(self._endpoint("token_endpoint"), code=code, code_verifier=verifier)
            claims = self._checked(token, nonce)
            if self.settings.groups_claim not in claims or self.settings.name_claim not in claims:
                claims = claims | self._more(client, claims["sub"])
            return claims

    def _checked(self, token: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """Return the identity token's claims, once its signature, issuer, audience, time and nonce are right."""
        text = token["id_token"]
        try:
            decoded = jwt.decode(text, self._key_set(), algorithms=list(SIGNATURES))
        except (JoseError, ValueError):
            # The provider may have taken a new key since it was asked.
            decoded = jwt.decode(text, self._key_set(anew=True), algorithms=list(SIGNATURES))
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": self.settings.issuer},
                "aud": {"essential": True, "value": self.settings.client_id},
                "nonce": {"essential": True, "value": nonce},
            },
            params={"nonce": nonce, "client_id": self.settings.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=int(time.time()), leeway=_LEEWAY_SECONDS)
        return dict(claims)

    def _more(self, client: OAuth2Client, subject: str) -> dict[str, Any]:
        """Ask the userinfo endpoint, where there is one; what it says of somebody else does not count."""
        if "userinfo_endpoint" not in self._known():
            return {}
        answer = client.get(self._endpoint("userinfo_endpoint"))
        answer.raise_for_status()
        said = answer.json()
        return said if isinstance(said, dict) and said.get("sub") == subject else {}

    def _client(self) -> OAuth2Client:
        return OAuth2Client(
            self.settings.client_id,
            self._secret,
            token_endpoint_auth_method="none" if self._secret is None else "client_secret_basic",
            scope=" ".join(self.settings.scopes),
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            timeout=_SECONDS,
        )

    def _endpoint(self, name: str) -> str:
        try:
            return str(self._known()[name])
        except KeyError:
            raise ProviderError(f"The identity provider names no {name}; check the setting oidc.issuer.") from None

    def _known(self) -> dict[str, Any]:
        if self._is_fresh():
            return self._metadata
        if not self._asking.acquire(blocking=False):
            # Somebody asks already; what was said an hour ago serves as well meanwhile.
            if self._metadata:
                return self._metadata
            raise _busy()
        try:
            if not self._is_fresh():
                self._learn()
            return self._metadata
        finally:
            self._asking.release()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._asked_at <= _REMEMBERED_SECONDS

    def _learn(self) -> None:
        """Ask the provider about itself; where that failed a moment ago, fail likewise without asking."""
        if self._failed is not None and time.monotonic() - self._failed[0] < _SILENT_SECONDS:
            raise ProviderError(self._failed[1])
        try:
            metadata = _asked(self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
            if not isinstance(metadata, dict) or metadata.get("issuer") != self.settings.issuer:
                raise ProviderError("The identity provider calls itself otherwise; correct the setting oidc.issuer.")
        except ProviderError as error:
            self._failed = (time.monotonic(), str(error))
            raise
        self._metadata, self._keys, self._failed, self._asked_at = metadata, None, None, time.monotonic()

    def _key_set(self, *, anew: bool = False) -> KeySet:
        address = self._endpoint("jwks_uri")
        keys = self._keys
        if keys is None or anew:
            # Two who ask at once both get the answer; how many can is bounded where codes are exchanged.
            self._keys = keys = KeySet.import_key_set(_asked(address))
        return keys


def _asked(address: str) -> Any:
    try:
        answer = httpx2.get(address, timeout=_SECONDS, follow_redirects=False)
        answer.raise_for_status()
        return answer.json()
    except (httpx2.HTTPError, ValueError) as error:
        raise _silent() from error


def _silent() -> ProviderError:
    return ProviderError("The identity provider does not answer as it should; try again, or tell an administrator.")


def _busy() -> ProviderError:
    return ProviderError("The identity provider has not answered others yet; try again in a moment.")
