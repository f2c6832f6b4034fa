"""TLS contexts of the node and of its calls."""

import socket
import ssl
from typing import Any

from cxrscreen.dicom_node.settings import NodeSettingsError, Tls


class _PatientServerContext(ssl.SSLContext):
    """Leaves the handshake to the connection's own thread.

    pynetdicom wraps a socket where it accepts connections; a caller that connects and stays silent would keep all
    others waiting there.
    """

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *args, **{**options, "do_handshake_on_connect": False})


def server_context(tls: Tls) -> ssl.SSLContext:
    """Make the context for those who call: TLS 1.2 or later, and a certificate of the authority asked of them.

    Raises
    ------
    NodeSettingsError
        If a file is missing or no certificate or key, or they do not belong together.
    """
    context = _PatientServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    return _with_files(context, tls)


def client_context(tls: Tls) -> ssl.SSLContext:
    """Make the context for calls: the peer's certificate must be of the authority and name its host.

    Raises
    ------
    NodeSettingsError
        As :func:`server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return _with_files(context, tls)


def _with_files(context: ssl.SSLContext, tls: Tls) -> ssl.SSLContext:
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.authority)
    except (OSError, ssl.SSLError) as error:
        raise NodeSettingsError(
            f"TLS cannot be set up with {tls.certificate.name}, {tls.key.name} and {tls.authority.name}: check that "
            "they are PEM files that belong together."
        ) from error
    return context
