"""The command line's verbs and their common options; errors become one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec

import click

from clova_ocr_async import __version__
from clova_ocr_async.cli.exit_codes import exit_code
from clova_ocr_async.cli.options import CONFIG, common, common_options
from clova_ocr_async.cli.terminal.signals import interrupt_handlers, signal_handlers
from clova_ocr_async.cli.terminal.stderr import echo_lines, echo_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = ["AUTO", "DOCUMENT", "DOCUMENT_OR_AUTO", "app", "verb"]

P = ParamSpec("P")

_VERBS = {
    "recognize": "Read images; JSON Lines on stdout.",
    "batch": "Read folders of images, many at once; --run pays once and resumes.",
    "watch": "Read the images that are put into a folder, until Ctrl-C.",
    "status": "Show the counts and the cost of a run, without calls.",
    "export": "Write the results of a run as JSON Lines or tables.",
    "schema": "Print the columns of the tables.",
    "annotate": "Draw the fields of a run on copies of its pictures.",
    "redact": "Write masked copies of the pictures of a run.",
    "verify": "Search files for what a masked copy must not hold.",
    "report": "Write a page that shows a run: costs, failures, values and pictures.",
    "review": "Correct values in a browser on this machine.",
    "purge": "Delete the answers that a run keeps.",
    "ledger": "Copy a run between a directory and a database.",
    "emulator": "Run a local CLOVA to develop against, without an account.",
    "doctor": "Check the configuration, and with --probe the service.",
    "demo": "Show sample documents, a local CLOVA, a batch and its results.",
}

_EPILOG = """
\b
Configuration (environment):
  CLOVA_OCR_INVOKE_URL, CLOVA_OCR_SECRET (or CLOVA_OCR_SECRET_FILE)
  or per document: CLOVA_OCR_RECEIPT_INVOKE_URL, CLOVA_OCR_RECEIPT_SECRET, …
  (RECEIPT, CREDIT_CARD, NAME_CARD, BIZ_LICENSE, ID_CARD, PASSPORT; these win)
  CLOVA_OCR_CONFIG, or --config FILE: a TOML file with any number of domains;
  all other variables of domains are then ignored
  CLOVA_OCR_KEY or CLOVA_OCR_KEY_FILE: the key that encrypts the answers of a run
  CLOVA_OCR_SLOTS: the URL of a server by which hosts share their calls at once
  PGPASSWORD, CLOVA_OCR_REDIS_PASSWORD (or …_FILE): passwords of servers
\b
Exit codes:
  0 all images were read   1 some images failed, were skipped or are ambiguous,
  or lines could not be written   2 wrong usage or configuration   3 credentials
  rejected   4 stopped early: quota, call limit, full disk or outage; with --run
  the same command resumes   5 no images found   130 interrupted
  With --run the exit code covers all images of the run.
\b
Examples:
  clova-ocr demo
  clova-ocr recognize receipt receipt.jpg
  clova-ocr batch receipt scans/ -o receipts.jsonl
  clova-ocr batch receipt scans/ --run run/ --dry-run
  clova-ocr batch receipt scans/ --run run/ && clova-ocr export run/ -o out.jsonl
  clova-ocr watch receipt inbox/ --run run/
  clova-ocr batch receipt /nas/scans --run 'postgresql://me@db/ocr?run=march'

This package is unofficial; CLOVA is NAVER's trademark.
"""


_FOR_CALLS = ("proxy", "ca_file")  # of the common options

# The values in click's messages, which stand in quotes or brackets.
_VALUE = re.compile(r"(?<=')[^']+(?=')|(?<=\")[^\"]+(?=\")|(?<=\()[^)]+(?=\))")


@contextlib.contextmanager
def _short_errors() -> Generator[None]:
    """Shorten values in errors about arguments: a value may be an image or a URL with a key by mistake."""
    try:
        yield
    except click.UsageError as error:
        from clova_ocr_async.protocol.echoed_input import shown_path  # the protocol is slow to import

        short = _VALUE.sub(lambda value: shown_path(value[0]), error.message)
        error.message = short  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]  # click prints it later
        raise


class _LazyGroup(click.Group):
    """A group that imports a verb's module only when the verb is called."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _short_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _short_errors():  # errors about the verb's own arguments
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _VERBS:  # the name becomes part of a module's name below
            return None
        command: click.Command = importlib.import_module(f"clova_ocr_async.cli.commands.{cmd_name}").command
        for one in (command, *(command.commands.values() if isinstance(command, click.Group) else ())):
            # A verb with an option of the same name has its own meaning for it.
            names = {parameter.name for parameter in one.params}
            options = _for_verbs(calls="config" in names)
            one.params.extend(option for option in options if option.name not in names)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Verbs"):
            formatter.write_dl(list(_VERBS.items()))


def _for_verbs(*, calls: bool) -> list[click.Option]:
    # A verb that calls has its own --config. The others accept all that is for calls too, so that one alias fits all
    # verbs, and their help leaves it out.
    config = click.Option(["--config"], type=click.Path(), expose_value=False, hidden=True)
    options = common_options()
    for option in options:
        option.hidden = not calls and option.name in _FOR_CALLS
    return [*options, config]


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType


AUTO = "auto"
"""The word in place of a document, where each image has its own."""


class _DocumentParam(_ParamType):
    """The vendor's path word of a document; its class is the value."""

    name = "document"

    def __init__(self, *others: str) -> None:
        self._others = others

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from clova_ocr_async.documents import DOCUMENTS

        if value in DOCUMENTS:
            return DOCUMENTS[value]
        if value in self._others:
            return value
        return self.fail(f"{value!r} is none of {', '.join([*DOCUMENTS, *self._others])}", param, ctx)


DOCUMENT = _DocumentParam()
"""Type of the argument DOCUMENT."""

DOCUMENT_OR_AUTO = _DocumentParam(AUTO)
"""Type of the argument DOCUMENT of a verb whose images may each have a document of their own."""


@click.group(cls=_LazyGroup, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@CONFIG
@click.version_option(__version__, "--version", prog_name="clova-ocr")
def app(*, config: str | None) -> None:
    """Read receipts, cards, certificates and passports with NAVER Cloud's CLOVA OCR Document API.

    The options below may stand on either side of the verb.
    """


app.params[:0] = common_options()  # in front, where the help lists them first


def verb(function: Callable[P, int]) -> Callable[P, NoReturn]:
    """Make a function's result the exit code, and print its errors in one line."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> NoReturn:
        with signal_handlers(interrupt_handlers()):
            sys.exit(_exit_code_of(function, *args, **kwargs))

    return run


def _warnings_about(options: dict[str, Any]) -> Iterator[str]:
    """Return the warnings about passwords in URLs, one a server."""
    from clova_ocr_async.server_url import ServerURL

    found = {value.url: value.warning for value in options.values() if isinstance(value, ServerURL)}
    return filter(None, found.values())


def _exit_code_of(function: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
    """Run a verb, print its error, and return its exit code."""
    # The imports are inside, because a Ctrl-C during them must end in one line as well.
    try:
        from clova_ocr_async.cli.terminal.logs import configure_logging  # logging is slow to import
        from clova_ocr_async.errors import ClovaOCRError

        configure_logging(quiet=common().quiet, verbose=common().verbose)
        echo_lines(_warnings_about(kwargs))
        try:
            return function(*args, **kwargs)
        except ClovaOCRError as error:
            from clova_ocr_async.cli.terminal.phrases import address_of  # the protocol is slow to import

            echo_stderr(f"error: {error}{address_of(error)}", even_when_quiet=True)
            return exit_code(error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # click ends silently when the reader, such as head, has enough
                raise
            echo_stderr(f"error: {error.strerror}", even_when_quiet=True)
            return exit_code(error)
    except KeyboardInterrupt as interrupt:
        echo_stderr("interrupted", even_when_quiet=True)
        return exit_code(interrupt)
