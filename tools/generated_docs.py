"""The generated parts of docs/, which are made of the code, so that no page can be out of date without an error.

A page holds such a part between two comments:

    <!-- generated: exit-codes -->
    …
    <!-- end of generated -->

The pages below docs/ko/ have the same parts, in Korean.

``python tools/generated_docs.py`` writes all parts anew; with ``--check`` it only names the pages that are out of date.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from generated_fields import fields_of
from korean_docs import in_korean

import clova_ocr_async
from clova_ocr_async import client, errors, pictures, protocol
from clova_ocr_async.cli.app import app
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.options import common_options
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator import Fault
from clova_ocr_async.protocol import codes
from clova_ocr_async.results import columns
from clova_ocr_async.results.sensitive_paths import SENSITIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from clova_ocr_async.results.columns import Table

__all__ = ["API_FOLDERS", "PARTS", "error_classes", "public_names", "stale_pages", "verbs", "written"]

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
KOREAN = DOCS / "ko"
_PART = re.compile(r"(<!-- generated: ([^>]+?) -->\n)(.*?)(<!-- end of generated -->)", re.DOTALL)

API_FOLDERS = (
    "client", "batch", "results", "documents", "errors", "ledger", "slots", "domains", "pictures", "protocol",
    "emulator", "blocking", "integrations.fastapi", "integrations.opentelemetry", "integrations.ray",
    "integrations.taskiq",
)  # fmt: skip
"""The modules that people import from, each with a page of the API reference."""

_SUBJECTS = {"BatchDispatcher", "ClovaOCRClient", "ClovaOCRError", "Domain", "Emulator", "Recognition", "SqliteLedger"}
_BILLED = {
    errors.Billing.NOT_BILLED: "no",
    errors.Billing.MAYBE_BILLED: "maybe",
    errors.Billing.BILLED: "yes",
}
_EXITS = {
    ExitCode.OK: "All images were read.",
    ExitCode.SOME_FAILED: "Some images failed, were skipped or are ambiguous; or lines could not be written; "
    "or `verify` found something.",
    ExitCode.USAGE: "The usage or the configuration is wrong, or the run cannot be used.",
    ExitCode.CREDENTIALS: "The secret was rejected.",
    ExitCode.STOPPED: "The command stopped early: a spent quota, a reached call limit, a full disk, an outage, "
    "a locked ledger, or a database that is away. With `--run` the same command resumes.",
    ExitCode.NO_INPUT: "No images were found.",
    ExitCode.INTERRUPTED: "The command was interrupted.",
}


def _cell(text: object) -> str:
    """Return a text for a cell of a table."""
    return " ".join(str(text).split()).replace("``", "`").replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines)


def _summary(of: object) -> str:
    """Return the first sentence of a docstring."""
    return (inspect.getdoc(of) or "").partition("\n\n")[0]


def _described(of: object, section: str) -> dict[str, str]:
    """Return the names and texts of a section of a Google docstring."""
    _, _, rest = f"{inspect.getdoc(of)}\n".partition(f"\n{section}:\n")
    found, name = dict[str, str](), ""
    for line in rest.splitlines():
        if line and not line.startswith("    "):
            break
        if start := re.match(r"    (\w+): (.*)", line):
            found[name := start[1]] = start[2]
        elif line.strip():
            found[name] += f" {line.strip()}"
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Errors and exit codes


def error_classes() -> Iterator[type[errors.ClovaOCRError]]:
    """Yield the classes of errors, each before its subclasses."""
    todo = [errors.ClovaOCRError]
    while todo:
        yield (found := todo.pop(0))
        todo[:0] = [kind for kind in found.__subclasses__() if kind.__module__ == errors.__name__]


def _errors() -> str:
    rows: list[tuple[object, ...]] = []
    for kind in error_classes():
        if kind in {errors.ClovaOCRError, errors.TransportError, errors.APIError}:
            continue
        rows.append((
            f"[`{kind.__name__}`](#{kind.__name__.lower()})",
            _summary(kind),
            _BILLED[kind.billing],
            "yes" if kind.retryable else "no",
            "yes" if kind.stops_run else "no",
        ))  # fmt: skip
    return _table(("class", "meaning", "billed", "may work later", "stops a batch"), rows)


def _codes(rules: Mapping[Any, codes.Rule]) -> str:
    rows = [
        (
            f"`{code:d}`" if isinstance(code, int) else f"`{code}`",
            rule.meaning,
            f"[`{rule.error.__name__}`](#{rule.error.__name__.lower()})",
            _BILLED[rule.billing],
            "yes" if rule.retryable else "no",
            rule.hint or f"see [{rule.error.__name__}](#{rule.error.__name__.lower()})",
        )
        for code, rule in rules.items()
    ]
    return _table(("code", "meaning", "error", "billed", "may work later", "way out"), rows)


def _exit_codes() -> str:
    return _table(("code", "meaning"), ((f"`{code:d}`", _EXITS[code]) for code in ExitCode))


# ---------------------------------------------------------------------------------------------------------------------
# The command line


def verbs() -> dict[str, click.Command]:
    """Return the verbs of the command line; those of a group after its name."""
    context = click.Context(app, info_name="clova-ocr")
    found: dict[str, click.Command] = {}
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        if isinstance(command, click.Group):
            found |= {f"{name} {word}": one for word, one in command.commands.items()}
        elif command is not None:
            found[name] = command
    return found


def _options(context: click.Context, options: Iterable[click.Parameter]) -> str:
    records = [record for option in options if (record := option.get_help_record(context)) is not None]
    # Two brackets in a row would be a link of Markdown.
    return _table(("option", "meaning"), ((f"`{name}`", text.replace("[", "\\[")) for name, text in records))


def _verbs() -> str:
    shared = {option.name for option in common_options()}
    parts: list[str] = []
    for name, command in verbs().items():
        context = click.Context(command, info_name=f"clova-ocr {name}")
        options = [option for option in command.params if isinstance(option, click.Option)]
        own = [option for option in options if option.name not in shared]
        usage = " ".join(command.collect_usage_pieces(context))
        parts.append(f"## {name}\n\n```text\nclova-ocr {name} {usage}\n```")
        parts.append((inspect.cleandoc(command.help or "")).replace("*", "\\*"))
        if own:
            parts.append(_options(context, own))
    return "\n\n".join(parts)


def _common_options() -> str:
    context = click.Context(app, info_name="clova-ocr")
    return _options(context, [option for option in app.params if option.name not in {"help", "version"}])


# ---------------------------------------------------------------------------------------------------------------------
# Tables, settings, events


def _names_in_all() -> set[str]:
    """Return the names of the columns that the tables of all documents have; they are shown once."""
    return set[str].intersection(*({column.name for column in columns(document)} for document in DOCUMENTS.values()))


def _columns(word: str, table: Table = "documents") -> str:
    left_out = _names_in_all() if table == "documents" else set[str]()
    shown = [column for column in columns(DOCUMENTS[word], table) if column.name not in left_out]
    return _table(
        ("column", "type", "Korean heading", "place in the answer"),
        ((f"`{c.name}`", c.type, c.label_ko, f"`{c.path}`" if c.path else "") for c in shown),
    )


def _common_columns() -> str:
    shown = [column for column in columns(DOCUMENTS["receipt"]) if column.name in _names_in_all()]
    return _table(("column", "type", "Korean heading"), ((f"`{c.name}`", c.type, c.label_ko) for c in shown))


def _default(value: object) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, frozenset):
        return "all"
    # Objects are shown by their class: their repr is long, and may differ from one version of Python to the next.
    return f"`{value!r}`" if value is None or isinstance(value, str | int | float) else f"`{type(value).__name__}()`"


def _settings(of: Any, section: str = "Args") -> str:
    texts = _described(of, section)
    parameters = inspect.signature(of).parameters
    rows = [
        (f"`{name}`", _default(parameters[name].default) if name in parameters else "required", text)
        for name, text in texts.items()
    ]
    return _table(("name", "default", "meaning"), rows)


def _events() -> str:
    parts: list[str] = []
    for event in sorted(client.Event.__args__, key=lambda event: inspect.getsourcelines(event)[1]):
        parts.append(f"### {event.__name__}\n\n{_summary(event)}")
        texts = _described(event, "Attributes")
        parts.append(_table(("attribute", "meaning"), ((f"`{name}`", text) for name, text in texts.items())))
    return "\n\n".join(parts).replace("``", "`")


def _faults() -> str:
    return ", ".join(f"`{fault.value}`" for fault in Fault)


def _hidden_numbers() -> str:
    rows = [(f"`{path}`", rule.kind, f"`standard`: {rule.standard.value}") for path, rule in SENSITIVE.items()]
    return _table(("place in the answer", "number", "hidden"), [(*row[:2], f"{row[2]}; `all`: whole") for row in rows])


# ---------------------------------------------------------------------------------------------------------------------
# Reference of Python names, and the list of pages


def public_names(folder: str) -> list[str]:
    """Return the names that a module offers; of one whose engine is not installed, as its source has them."""
    try:
        return list(importlib.import_module(f"clova_ocr_async.{folder}").__all__)
    except ModuleNotFoundError:
        path = ROOT / "clova_ocr_async" / folder.replace(".", "/")
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        (names,) = re.findall(r"^__all__ = (\[.*?\])$", source.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        return list(ast.literal_eval(names))


def _api(folder: str) -> str:
    root = set(clova_ocr_async.__all__)
    # What a page is about, then the daily names, then the rest.
    names = sorted(public_names(folder), key=lambda name: (name not in _SUBJECTS, name not in root, name.lower()))
    return "\n\n".join(f"::: clova_ocr_async.{folder}.{name}" for name in names)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the pages of the site with their headings, in the order of its navigation."""
    # Not a YAML library: the navigation is the one place where a line ends in ".md".
    for path in re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE):
        text = (DOCS / path).read_text(encoding="utf-8")
        yield path, re.findall(r"^# (.*)$", text, re.MULTILINE)[0]


_FENCE = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)


def _first_paragraph(path: str) -> str:
    """Return the first paragraph of a page, without marks."""
    text = _FENCE.sub("", (DOCS / path).read_text(encoding="utf-8"))
    paragraph = next(part for part in text.split("\n\n")[1:] if re.match(r"[A-Z가-힣`*]", part))
    return re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`]", r"\1", " ".join(paragraph.split()))


def _address(path: str) -> str:
    """Return the address of a page, from the root of the site."""
    return "./" if path == "index.md" else f"{path.removesuffix('.md')}/"


def llms() -> str:
    """Return the text of llms.txt: all pages of the site with a line each, for programs that read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"# {project['name']}", "", f"> {project['description']}", "", "## Pages", ""]
    lines += [f"- [{heading}]({_address(path)}): {_first_paragraph(path)}" for path, heading in pages()]
    return "\n".join([*lines, ""])


PARTS: dict[str, Callable[[], str]] = {
    "errors": _errors,
    "service-codes": lambda: _codes(codes.SERVICE_RULES),
    "gateway-codes": lambda: _codes(codes.GATEWAY_RULES),
    "statuses": lambda: _codes(codes.STATUS_RULES),
    "exit-codes": _exit_codes,
    "verbs": _verbs,
    "common-options": _common_options,
    "columns of every table": _common_columns,
    "columns of receipt lines": lambda: _columns("receipt", "items"),
    **{f"columns of {word}": functools.partial(_columns, word) for word in DOCUMENTS},
    **{f"fields of {word}": functools.partial(fields_of, DOCUMENTS[word]) for word in DOCUMENTS},
    "settings of ClovaOCRClient": lambda: _settings(clova_ocr_async.ClovaOCRClient),
    "settings of Domain": lambda: _settings(clova_ocr_async.Domain),
    "settings of RetryPolicy": lambda: _settings(client.RetryPolicy, "Attributes"),
    "settings of ImageLimits": lambda: _settings(protocol.ImageLimits),
    "settings of Preparation": lambda: _settings(pictures.Preparation),
    "events": _events,
    "faults": _faults,
    "hidden numbers": _hidden_numbers,
    **{f"names of {folder}": functools.partial(_api, folder) for folder in API_FOLDERS},
}
"""The generated parts by their names."""


def written(text: str, *, korean: bool = False) -> str:
    """Return a page with its generated parts as they are to be now."""

    def part_now(part: re.Match[str]) -> str:
        made = PARTS[part[2]]()
        return f"{part[1]}\n{in_korean(made) if korean else made}\n\n{part[4]}"

    return _PART.sub(part_now, text)


def stale_pages() -> dict[Path, str]:
    """Return the pages that are out of date, with the text that they are to have."""
    wanted = {
        path: written(path.read_text(encoding="utf-8"), korean=KOREAN in path.parents)
        for path in sorted(DOCS.rglob("*.md"))
    }
    wanted[DOCS / "llms.txt"] = llms()
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main() -> int:
    """Write the pages that are out of date, or name them."""
    stale = stale_pages()
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)} is out of date")
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        print(*list(difflib.unified_diff(before.splitlines(), text.splitlines(), lineterm="", n=0))[:20], sep="\n")
    if "--check" in sys.argv and stale:
        print("write them anew with: python tools/generated_docs.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
