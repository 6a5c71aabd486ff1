"""Messages for a failed TLS handshake: the server, the reason, and the way out."""

from __future__ import annotations

import ssl

__all__ = ["tls_failure"]

# OpenSSL's names for an answer that is not TLS; they depend on its version.
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
_NOT_NOW = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NOT_THERE = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH

_CHECK_HOST = "check the host and port of the invoke URL"
_TRUST = (
    "if it is the right host, trust its certificate: --ca-file on the command line, "
    "transport=AiohttpTransport(tls=…) in Python"
)


def tls_failure(error: Exception) -> str:
    """Return a message with the server that TLS failed with, the reason, and the way out.

    Args:
        error: The transport's error, with ``host``, ``port`` and ``os_error`` as far as it has them.
    """
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    reason, way_out = _explained(getattr(error, "os_error", None))
    return f"TLS with {'the server' if host is None else f'{host}:{port}'} failed ({reason}); {way_out}"


def _explained(cause: object) -> tuple[str, str]:
    """Return the reason of a failed handshake, and the way out."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = str(cause.verify_message).rstrip(".")
        if cause.verify_code in _NOT_THERE:
            return reason, _CHECK_HOST
        return reason, "check the clock of this machine" if cause.verify_code in _NOT_NOW else _TRUST
    word: object = getattr(cause, "reason", None)
    if word is None:
        return "another certificate than expected" if cause is None else type(cause).__name__, _CHECK_HOST
    return "it does not speak TLS" if word in _NO_TLS else str(word).replace("_", " ").lower(), _CHECK_HOST
