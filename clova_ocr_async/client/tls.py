"""What it means that TLS with a server failed: with which, why, and what to do about it."""

from __future__ import annotations

import ssl

__all__ = ["tls_failure"]

# What OpenSSL calls an answer that is no TLS, by its version.
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
_NOT_NOW = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_NOT_THERE = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH

_CHECK_HOST = "check the host and port of the invoke URL"
_TRUST = (
    "if it is the right host, trust its certificate: --ca-file on the command line, "
    "session= with an aiohttp session of your own in Python"
)


def tls_failure(error: Exception) -> str:
    """Return with whom TLS failed, why, and what to do about it.

    Args:
        error: The transport's error, with ``host``, ``port`` and ``os_error`` as far as it has them.
    """
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    reason, way_out = _explained(getattr(error, "os_error", None))
    return f"TLS with {'the server' if host is None else f'{host}:{port}'} failed ({reason}); {way_out}"


def _explained(cause: object) -> tuple[str, str]:
    """Return why a handshake failed, and what to do about it."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = str(cause.verify_message).rstrip(".")
        if cause.verify_code in _NOT_THERE:
            return reason, _CHECK_HOST
        return reason, "check the clock of this machine" if cause.verify_code in _NOT_NOW else _TRUST
    word: object = getattr(cause, "reason", None)
    if word is None:
        return "another certificate than expected" if cause is None else type(cause).__name__, _CHECK_HOST
    return "it does not speak TLS" if word in _NO_TLS else str(word).replace("_", " ").lower(), _CHECK_HOST
