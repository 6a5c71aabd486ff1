"""Domains from the environment, or from the file that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.config_values import env_flag, env_path, env_value
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.domains.domain import Domain, Secret
from clova_ocr_async.domains.file import domains_from_file, read_secret_file
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.secret import hide_arguments

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from clova_ocr_async.documents import Document

__all__ = ["config_path", "configured_domains", "domains_from_env"]

_PREFIX = "CLOVA_OCR_"
_CONFIG = f"{_PREFIX}CONFIG"
_ALLOW_HTTP = f"{_PREFIX}ALLOW_HTTP"


def config_path(
    environ: Mapping[str, str], path: str | os.PathLike[str] | None = None
) -> str | os.PathLike[str] | None:
    """Return the path of the file of domains; None if the environment itself names the domains.

    Args:
        environ: The environment; ``CLOVA_OCR_CONFIG`` names the file.
        path: The path to use instead.

    Raises:
        ConfigurationError: The variable's path begins with ~, and there is no such home folder.
    """
    return path if path is not None else env_path(environ, _CONFIG) or None


def configured_domains(environ: Mapping[str, str], path: str | os.PathLike[str] | None = None) -> list[Domain]:
    """Return the domains of a file if one is given, else those that the environment names.

    Args:
        environ: The environment.
        path: The file, as ``domains_from_file`` takes it.

    Raises:
        ConfigurationError: There are none, or one cannot work; the message names the place.
    """
    return domains_from_env(environ) if path is None else domains_from_file(path, environ)


@hide_arguments
def domains_from_env(environ: Mapping[str, str]) -> list[Domain]:
    """Return the domains that the environment names.

    ``CLOVA_OCR_CONFIG`` names a file of domains; then only the file counts, whatever other variables are set. Else
    ``CLOVA_OCR_INVOKE_URL`` and ``CLOVA_OCR_SECRET`` (or ``CLOVA_OCR_SECRET_FILE``) name a domain for any document;
    ``CLOVA_OCR_RECEIPT_INVOKE_URL``, ``CLOVA_OCR_RECEIPT_SECRET`` and so on name a domain for one document each. A
    document's own secret wins over the common one. An empty variable counts as not set. ``CLOVA_OCR_ALLOW_HTTP=true``
    accepts ``http://`` to a private host in any of the URLs.

    Quotes, blanks, line ends and a byte order mark around a value do not belong to it, nor does the variable's name
    before it; a path may begin with ``~``.

    Args:
        environ: The environment.

    Raises:
        ConfigurationError: No domain is named, or one cannot work. The message names the variable.
    """
    if file := config_path(environ):
        try:
            return domains_from_file(file, environ)
        except ConfigurationError as error:  # the user may not know that the variable is set
            raise ConfigurationError(f"{_CONFIG}: {error}") from None
    domains = [
        domain
        for infix, document in [*((_infix(cls), cls) for cls in DOCUMENTS.values()), ("", None)]
        if (domain := _domain_from_env(environ, infix, document)) is not None
    ]
    if not domains:
        raise ConfigurationError(
            f"the environment names no domain; set {_PREFIX}INVOKE_URL and {_PREFIX}SECRET, "
            f"or for one document {_PREFIX}RECEIPT_INVOKE_URL and {_PREFIX}RECEIPT_SECRET, "
            f"or {_CONFIG} to a file of domains"
        )
    return domains


def _infix(document: type[Document]) -> str:
    return document.path_word.upper().replace("-", "_") + "_"


def _domain_from_env(environ: Mapping[str, str], infix: str, document: type[Document] | None) -> Domain | None:
    """Return the domain in a document's variables, or in the common ones; None if there is none."""
    name = f"{_PREFIX}{infix}INVOKE_URL"
    if not (url := env_value(environ, name)):
        return None  # a secret alone is not an error: it may be the common one of several URLs
    source, secret = _secret_from_env(environ, infix)
    allow_http = env_flag(environ, _ALLOW_HTTP)
    try:
        return Domain(url, secret, document=document, allow_http=allow_http, source=source, url_source=name)
    except ConfigurationError as error:
        what = str(error)
    # The messages name arguments of Python; here the same is set by variables.
    what = what.replace("pass allow_http=True", f"set {_ALLOW_HTTP}=true")
    what = what.replace("leave one of the two out", f"use {_PREFIX}INVOKE_URL, or the variable of the URL's document")
    raise ConfigurationError(f"{name}: {what}")


def _secret_from_env(environ: Mapping[str, str], infix: str) -> tuple[str, Secret]:
    """Return a secret, and the variable that holds it or names its file."""
    # The document's own secret first; dict.fromkeys, as both prefixes may be the same.
    for prefix in dict.fromkeys((f"{_PREFIX}{infix}", _PREFIX)):
        name = f"{prefix}SECRET"
        for variable, found, read in (
            (name, env_value(environ, name), str),
            (f"{name}_FILE", env_path(environ, f"{name}_FILE"), read_secret_file),
        ):
            if found:
                try:
                    return variable, Secret(read(found))
                except ConfigurationError as error:
                    raise ConfigurationError(f"{variable}: {error}") from None
    raise ConfigurationError(f"{_PREFIX}{infix}INVOKE_URL is set, and {_PREFIX}{infix}SECRET is not")
