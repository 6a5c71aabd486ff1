"""Options and types of values that several commands share."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

__all__ = [
    "ALLOW_TRUNCATED",
    "CONCURRENCY",
    "CONFIG",
    "DURATION",
    "JOBS",
    "KEY_FILE",
    "KRW",
    "MAX_CALLS",
    "MAX_COST",
    "MAX_PER_SECOND",
    "PAGES",
    "PATH",
    "PREPARE",
    "PRICE",
    "RENDER",
    "RUN",
    "RUN_LOCATION",
    "RUN_MOVED",
    "SECONDS",
    "SLOTS",
    "STORE",
    "Common",
    "PathParam",
    "common",
    "common_options",
]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_COUNT = 18  # digits; SQLite keeps whole numbers of 63 bits
_RUN_IN_QUERY = re.compile(r"[?&]run=")
# ASCII, because \d and float() take digits of all scripts.
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)


class _KRWParam(_ParamType):
    """An amount of money."""

    name = "krw"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from decimal import Decimal, InvalidOperation  # slow to import, and rarely needed

        try:
            amount = Decimal(value)
        except InvalidOperation:
            return self.fail(f"{value!r} is not a number", param, ctx)
        # Decimal reads "nan" and "inf" as numbers.
        if not amount.is_finite() or amount <= 0:
            return self.fail(f"{value!r} is not an amount; it must be more than 0", param, ctx)
        return amount


class _DurationParam(_ParamType):
    """A duration; becomes seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = _DURATION.fullmatch(value)
        if found is None:
            return self.fail(
                f"{value!r} is not a duration; write a number and s, m, h, d or w, as in 12h or 30d", param, ctx
            )
        return float(found[1]) * _SECONDS[found[2]]


class PathParam(click.Path):
    """A path; a ``~`` that the shell has not expanded, as in ``--run=~/run``, becomes the home folder.

    A URL is refused, because it would become a folder of that name; no message repeats it, as it may hold a password.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail if it is a URL or an empty folder, or if the home folder is not known."""
        if value == "" and not self.file_okay:  # else the files of a variable that is not set would land right here
            return self.fail("the name of the folder is empty; write . for the current one", param, ctx)
        if isinstance(value, str) and ":" in value:
            from clova_ocr_async.server_url import is_url  # slow to import, and seldom wanted

            if is_url(value):
                return self.fail("a URL is not a path; give a file or a folder of this machine", param, ctx)
        if isinstance(value, str) and value.startswith("~"):
            from clova_ocr_async.config_values import expand_home  # what it imports is slow, and seldom wanted
            from clova_ocr_async.errors import ConfigurationError

            try:
                value = expand_home(value)
            except ConfigurationError as error:
                return self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


PATH = PathParam()
"""Type of an option that is a path."""


class _RunParam(PathParam):
    """A run directory, or the URL of a run on PostgreSQL; no message repeats a URL, because it may hold a password."""

    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or the parsed URL, without its password."""
        if not isinstance(value, str) or (":" not in value and "run=" not in value):
            return super().convert(value, param, ctx)
        from clova_ocr_async.errors import ConfigurationError
        from clova_ocr_async.server_url import POSTGRES, is_url, read_server_url, require_run

        if not is_url(value):
            if _RUN_IN_QUERY.search(value) and not os.path.lexists(value):
                return self.fail("it is not a path, and the URL of a run begins with postgresql://", param, ctx)
            return super().convert(value, param, ctx)
        try:
            return require_run(read_server_url(value, POSTGRES))
        except ConfigurationError as error:
            return self.fail(str(error), param, ctx)


RUN_LOCATION = _RunParam()
"""Type of an option that is the location of a run."""


class _SlotsParam(_ParamType):
    """The URL of a server that shares slots; no message repeats it, because it may hold a password."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from clova_ocr_async.errors import ConfigurationError
        from clova_ocr_async.server_url import POSTGRES, REDIS, read_server_url

        try:
            return read_server_url(value, (*POSTGRES, *REDIS))
        except ConfigurationError as error:
            return self.fail(str(error), param, ctx)


class _CallLimitParam(_ParamType):
    """A number of calls, or "none" for any number."""

    name = "call limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "none":
            return value
        if not value.isascii() or not value.isdigit() or len(value) > _LONGEST_COUNT:
            return self.fail(f"{value!r} is not a number of calls; write a whole number from 0, or none", param, ctx)
        return int(value)


class _SecondsParam(_ParamType):
    """A number of seconds, at most a day."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= _SECONDS["d"]:  # nan is not either
            return self.fail(f"{value!r} is not a number of seconds; write a number from 0 to 86400", param, ctx)
        return seconds


KRW = _KRWParam()
"""Type of an option that is an amount in KRW."""

SECONDS = _SecondsParam()
"""Type of an option that is a number of seconds."""

DURATION = _DurationParam()
"""Type of an option that is a duration, as in 30d."""


def _nearest(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """Return the value given after the verb, else the one given before it."""
    return value if value is not None else context.find_root().params.get("config")


CONFIG = click.option(
    "--config",
    type=PATH,
    metavar="FILE",
    callback=_nearest,
    help="A TOML file with the domains.  [default: CLOVA_OCR_CONFIG, else the environment's domains]",
)
"""The file of domains, an option of each verb that calls; it may also stand before the verb."""


@dataclass(slots=True)
class Common:
    """The options that every verb takes, before or after it.

    Attributes:
        quiet: Whether only errors are printed.
        verbose: The level of further messages.
        proxy: The URL of a proxy, which may hold a password.
        ca_file: A file of further certificates to trust.
    """

    quiet: bool = False
    verbose: int = 0
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None


def common() -> Common:
    """Return the common options of the command that runs."""
    # Silent, for tests and programs that call the code of a command without its command line.
    context = click.get_current_context(silent=True)
    return (None if context is None else context.find_object(Common)) or Common()


def _store(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Store a common option; a value after the verb is added to the one before it, or replaces it."""
    given = context.ensure_object(Common)
    if option.name == "verbose":
        given.verbose += value
    elif value:  # an option that is not given here must not reset the one before the verb
        setattr(given, str(option.name), value)


class _ProxyParam(_ParamType):
    """The URL of a proxy; no message repeats it, because it may hold a user name and a password."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from clova_ocr_async.arguments import NOT_A_PROXY, is_proxy_url  # what it imports is slow, and seldom wanted

        if not is_proxy_url(value):
            return self.fail(NOT_A_PROXY, param, ctx)
        return value


def common_options() -> list[click.Option]:
    """Return the options that every verb takes, before or after it."""
    return [
        click.Option(["-q", "--quiet"], is_flag=True, callback=_store, expose_value=False, help="Print only errors."),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            callback=_store,
            expose_value=False,
            help="Print each retry; -vv also the result of each request.",
        ),
        click.Option(
            ["--proxy"],
            type=_ProxyParam(),
            metavar="URL",
            callback=_store,
            expose_value=False,
            help="An HTTP proxy to call through; the URL may hold a user name and a password.  "
            "[default: CLOVA_OCR_PROXY, else none]",
        ),
        click.Option(
            ["--ca-file"],
            type=PATH,
            metavar="FILE",
            callback=_store,
            expose_value=False,
            help="Further certificates (PEM) to trust.  [default: CLOVA_OCR_CA_FILE]",
        ),
    ]


ALLOW_TRUNCATED = click.option(
    "--allow-truncated",
    is_flag=True,
    help="Send pictures whose end is missing; the call is paid even if the service reads nothing.",
)
"""An option of each verb that calls: whether truncated pictures are sent."""

PAGES = click.option(
    "--pages",
    metavar="all|1-3,7",
    help="Read these pages of files of several pages, each as an image.  [default: such a file is refused]",
)
"""An option of each verb that calls: the pages that are read."""

PREPARE = click.option(
    "--prepare",
    is_flag=True,
    help="Convert, turn and shrink pictures that the service does not read as they are, such as HEIC photos.",
)
"""An option of each verb that calls: whether pictures are prepared."""

RENDER = click.option("--render", is_flag=True, help="Send each page of a PDF as a picture; implies --prepare.")
"""An option of each verb that calls: whether pages of PDFs are rendered."""

RUN = click.argument("run", metavar="RUN", type=RUN_LOCATION)
"""The run of a verb that needs one: a run directory, or the URL of a run on PostgreSQL."""

SLOTS = click.option(
    "--slots",
    type=_SlotsParam(),
    metavar="URL",
    help="Share the calls at once with other hosts through PostgreSQL or Redis: postgresql://… or redis://….  "
    "[default: CLOVA_OCR_SLOTS, else shared on this host]",
)
"""An option of each verb that calls: the server by which hosts share their slots."""

KEY_FILE = click.option(
    "--key-file",
    type=PATH,
    metavar="FILE",
    help="The key that encrypts the answers.  [default: CLOVA_OCR_KEY, else CLOVA_OCR_KEY_FILE, else no encryption]",
)

RUN_MOVED = click.option(
    "--run-moved",
    is_flag=True,
    help="Continue with a run that was copied, moved or restored; its other copies must not be used any more.",
)
"""An option of each verb that works on a run: whether a copied run is continued."""

MAX_CALLS = click.option(
    "--max-calls",
    type=_CallLimitParam(),
    metavar="N",
    help="Most calls over the whole life of the run; later commands keep it until N or none is given.",
)
"""The limit of calls of a run."""

MAX_COST = click.option(
    "--max-cost", type=KRW, metavar="KRW", help="Highest cost over the whole life of the run; needs --price."
)
"""The limit of the cost of a run."""

PRICE = click.option(
    "--price", type=KRW, metavar="KRW", help="The price of a call on your plan; costs are then printed."
)
"""The price of a call."""

STORE = click.option(
    "--store", type=click.Choice(["full", "none"]), help="Which answers the run keeps.  [default: full]"
)
"""The choice of the answers that a run keeps."""

JOBS = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Most images that are processed at once.  [default: a few more than the calls at once]",
)
"""The limit of images in work."""

CONCURRENCY = click.option(
    "--concurrency", type=click.IntRange(min=1), help="Most calls at once per domain.  [default: learned]"
)
"""The limit of calls at once."""

MAX_PER_SECOND = click.option(
    "--max-per-second",
    type=click.FloatRange(min=0, min_open=True, max=1_000_000),
    metavar="N",
    help="Most calls per second per domain.",
)
"""The limit of calls per second."""
