from __future__ import annotations

import importlib
import pkgutil
import re

import click
import pytest
from generated_docs import API_FOLDERS, ROOT, error_classes, public_names, stale_pages, verbs
from support.doc_pages import DOCS, all_pages, all_text

import clova_ocr_async
from clova_ocr_async import integrations
from clova_ocr_async.cli.app import app
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.client import RetryPolicy
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator import Fault
from clova_ocr_async.errors import Billing
from clova_ocr_async.protocol import codes
from clova_ocr_async.results import columns

_VARIABLE = re.compile(r"CLOVA_OCR_[A-Z_]*[A-Z]")


def page(name: str) -> str:
    """Return the text of a page."""
    return (DOCS / name).read_text(encoding="utf-8")


def test_generated_parts_are_those_of_the_code() -> None:
    """No page is out of date; ``python tools/generated_docs.py`` writes them anew."""
    assert not [str(path.relative_to(ROOT)) for path in stale_pages()]


def test_every_page_is_in_the_navigation() -> None:
    """The navigation names each page once, and no page that does not exist."""
    listed = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == all_pages()


@pytest.mark.parametrize("name", sorted(path for path in all_pages() if path.startswith("howto/")))
def test_every_how_to_begins_with_what_does_it(name: str) -> None:
    """The first thing below the heading of a how-to is a command or a program."""
    first = page(name).split("\n\n")[1]
    assert re.match(r"```(sh|python|text|powershell)", first), first


def test_every_verb_and_option_is_on_the_page_of_the_command_line() -> None:
    """The page has a heading for each verb, and each of its options."""
    text = page("cli.md")
    sections = dict(re.findall(r"^## ([\w ]+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    common = {option for parameter in app.params for option in parameter.opts}
    for name, command in verbs().items():
        options = {
            option
            for parameter in command.params
            if isinstance(parameter, click.Option) and not parameter.hidden
            for option in parameter.opts + parameter.secondary_opts
        }
        for option in options:
            assert re.search(rf"`[^`]*(?<![\w-]){option}\b", text if option in common else sections[name]), (
                name,
                option,
            )


def test_every_exit_code_is_explained() -> None:
    """Each exit code has a row on the page of the command line, and on that of errors."""
    for name in ("cli.md", "errors.md"):
        assert all(f"| `{code:d}` |" in page(name) for code in ExitCode)


def test_every_environment_variable_is_explained() -> None:
    """The page of the configuration names each variable that is read, and no page names another one."""
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "clova_ocr_async").rglob("*.py"))
    read = set(_VARIABLE.findall(source))
    # Names that are put together: CLOVA_OCR_ID_CARD_SECRET_FILE.
    infixes = ["", *(f"{word.upper().replace('-', '_')}_" for word in DOCUMENTS)]
    read |= {f"CLOVA_OCR_{infix}{end}" for infix in infixes for end in ("INVOKE_URL", "SECRET", "SECRET_FILE")}
    read |= {f"CLOVA_OCR_{end}" for end in ("CONFIG", "ALLOW_HTTP")}
    assert set(_VARIABLE.findall(page("configuration.md"))) == read
    assert set(_VARIABLE.findall(all_text())) == read


def test_every_error_and_code_is_explained() -> None:
    """Each class of errors has a section with cause and way out, and each code of service and gateway has a row."""
    text = page("errors.md")
    for kind in error_classes():
        if kind.__subclasses__() and kind.__name__ in {"ClovaOCRError", "TransportError", "APIError"}:
            assert f"`{kind.__name__}`" in text  # bases, which are never raised by themselves
            continue
        section = text.partition(f"\n### {kind.__name__}\n")[2].partition("\n#")[0]
        assert "*Cause:*" in section, kind
        assert "*Way out:*" in section, kind
    for folder in API_FOLDERS:
        if folder == "integrations.ray":  # not installed, and it has no error of its own
            continue
        found = vars(importlib.import_module(f"clova_ocr_async.{folder}"))
        names = {name for name, value in found.items() if isinstance(value, type) and issubclass(value, Exception)}
        assert all(name in text for name in names), names
    for code in (*codes.SERVICE_RULES, *codes.GATEWAY_RULES, *map(int, codes.STATUS_RULES)):
        assert f"| `{code}` |" in text
    assert all(f"`{billing.name}`" in text for billing in Billing)


def test_every_column_is_listed() -> None:
    """The page of tables has a row for each column of each document."""
    text = page("tables.md")
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    tables = [columns(document) for document in DOCUMENTS.values()] + [columns(DOCUMENTS["receipt"], "items")]
    assert listed == {column.name for table in tables for column in table}


def test_every_public_name_is_in_the_reference() -> None:
    """Each name of the root and of each folder has an entry in the reference of Python names, and none has two."""
    entries = re.findall(r"^::: (\S+)$", all_text(), re.MULTILINE)
    assert len(entries) == len(set(entries))
    for folder in API_FOLDERS:
        assert {f"clova_ocr_async.{folder}.{name}" for name in public_names(folder)} <= set(entries)
    named = {entry.rpartition(".")[2] for entry in entries}
    assert set(clova_ocr_async.__all__) <= named
    shared = {"client_factory", "continuous_batch"}  # by several integrations, and not for people
    frameworks = {info.name for info in pkgutil.iter_modules(integrations.__path__)} - shared
    assert {f"integrations.{name}" for name in frameworks} <= set(API_FOLDERS)


def test_every_fault_and_setting_is_listed() -> None:
    """Each fault of the emulator, and each setting of the retry policy, is on its page."""
    assert all(f"`{fault.value}`" in page("howto/tests.md") for fault in Fault)
    assert all(f"`{name}`" in page("configuration.md") for name in RetryPolicy.__dataclass_fields__)


def test_numbers_of_the_pages_are_those_of_the_code() -> None:
    """The timeouts that pages name are the client's defaults."""
    text = page("configuration.md")
    for name, default in (("read_timeout", 60.0), ("keep_late_answers", 60.0), ("deadline", 300.0)):
        assert f"| `{name}` | `{default}` |" in text


def test_the_pages_name_no_account() -> None:
    """No page has the host of a real domain, or a key: a copied command must not call another's domain."""
    hosts = set(re.findall(r"https?://([^\s/`'\")]+)", all_text()))
    allowed = re.compile(r"….*|127\.0\.0\.1:\d+|proxy\.example:3128|.*@proxy\.example:3128")
    assert not [host for host in hosts if not allowed.fullmatch(host)]
