"""``clova-ocr doctor``."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
from typing import TYPE_CHECKING

import click

from clova_ocr_async import __version__
from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import CONFIG
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.cli.terminal.stderr import printable
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from clova_ocr_async.cli.exit_codes import ExitCode
    from clova_ocr_async.domains import Domain

__all__ = ["command"]

_PACKAGES = {
    "aiohttp": "needed",
    "msgspec": "needed",
    "anyio": "needed",
    "tenacity": "needed",
    "click": "extra cli: the command line",
    "rich": "extra cli: progress and tables on a terminal",
    "cryptography": "extra crypto: sealed answers",
    "pillow": "extras pictures and emulator: pictures converted, drawn and masked; sample documents",
    "pylopdf-fonts-ko": "extras pictures and emulator: labels and sample documents in Hangul",
    "pikepdf": "extra pictures: single pages of PDFs",
    "pypdfium2": "extra pictures: exact page counts of PDFs, and pages as pictures",
    "pillow-heif": "extra heic: HEIC photos",
    "pyarrow": "extra tables: Parquet files",
    "xlsxwriter": "extra tables: Excel files",
    "watchfiles": "extra watch: watch notices new files at once, without scans",
    "jinja2": "extra report: pages that show a run",
    "opentelemetry-api": "extra otel: traces and metrics",
    "psycopg": "extra postgres: runs and slots on PostgreSQL",
    "redis": "extra redis: slots on Redis",
    "taskiq": "extra taskiq: OCR in workers of Taskiq",
    "taskiq-redis": "extra taskiq: its queues on Redis",
    "ray": "extra ray: OCR in workers of Ray",
    "fastapi": "extra fastapi: OCR in a FastAPI service",
    "starlette": "extra fastapi: the framework below FastAPI",
    "python-multipart": "extra fastapi: uploads",
    "uvicorn": "extra fastapi: a server for the service",
}


@click.command("doctor")
@click.option("--probe", is_flag=True, help="Send a request without an image to each domain; it cannot be billed.")
@CONFIG
@verb
def command(*, probe: bool, config: str | None) -> int:
    """Show the installed packages and the configured domains, without network; with --probe, test the service too.

    Secrets and invoke keys are never shown.
    """
    _show_packages()
    return asyncio.run(_show_domains(config, probe=probe))


def _show_packages() -> None:
    click.echo(f"Python {platform.python_version()} on {platform.system()}")
    click.echo(f"  clova-ocr-async {__version__} (this package)")
    # By the metadata and not by an import: a broken installation must not end the command that looks for it.
    for name, purpose in _PACKAGES.items():
        try:
            click.echo(f"  {name} {importlib.metadata.version(name)} ({purpose})")
        except importlib.metadata.PackageNotFoundError:
            click.echo(f"  {name} is not installed ({purpose})")


async def _show_domains(config: str | None, *, probe: bool) -> int:
    from clova_ocr_async.cli.exit_codes import ExitCode
    from clova_ocr_async.domains.environment import config_path, configured_domains

    # First what was configured, then whether it works: an error in the file below must not hide which file it is.
    file = config_path(os.environ, config)
    click.echo(
        printable(f"domains of {'the environment' if file is None else f'the file {shown_path(os.fsdecode(file))}'}")
    )
    worst = ExitCode.OK
    for domain in configured_domains(os.environ, config):
        click.echo(_line(domain))
        if probe:
            worst = max(worst, await _probe(domain))  # a script looks at one code for all domains
    if not probe:
        click.echo("nothing was sent; --probe asks the service")
    return worst


def _line(domain: Domain) -> str:
    facts = [f"reads {domain.document.__name__ if domain.document else 'any document'}", "secret set"]
    if domain.max_concurrency is not None:
        facts.append(f"{plural(domain.max_concurrency, 'call')} at once")
    if domain.max_per_second is not None:
        facts.append(f"{domain.max_per_second:g} {'call' if domain.max_per_second == 1 else 'calls'} a second at most")
    return f"{domain.url}: {', '.join(facts)}"


async def _probe(domain: Domain) -> ExitCode:
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.client_settings import transport
    from clova_ocr_async.client.probe import probe

    error = await probe(domain, transport)
    if error is None:
        click.echo("  it answers, takes the secret, and refused a request without an image as it should")
    else:
        click.echo(printable(f"  {type(error).__name__}: {for_shell(str(error))}"))
    return exit_code(error)
