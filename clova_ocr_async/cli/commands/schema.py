"""``clova-ocr schema DOCUMENT``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import DOCUMENT, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.documents import Document
    from clova_ocr_async.results.columns import Column

__all__ = ["command"]


@click.command("schema")
@click.argument("document", type=DOCUMENT)
@click.option("--format", type=click.Choice(["text", "json"]), default="text", help="[default: text]")
@verb
def command(*, document: type[Document], format: str) -> int:  # noqa: A002 - the option's name
    """Print the columns of the tables that clova-ocr export writes for DOCUMENT.

    DOCUMENT is receipt, credit-card, name-card, biz-license, id-card or passport. For each column there is its name,
    its type, its Korean heading, and the place of its value in the service's answer.
    """
    import msgspec

    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.results.columns import SCHEMA_VERSION, columns, tables_of

    tables = tables_of({document.path_word: columns(document)})
    if format == "json":
        schema = {"schema": str(SCHEMA_VERSION), "tables": tables}
        click.echo(msgspec.json.format(msgspec.json.encode(schema)).decode())
    else:
        click.echo(f"schema {SCHEMA_VERSION}")
        for name, table in tables.items():
            click.echo(f"\n{name}")
            click.echo(_text_of(table))
    return exit_code()


def _text_of(table: Sequence[Column]) -> str:
    """Return the columns of a table as lines whose parts stand below each other."""
    name_width, type_width = (max(map(len, words)) for words in zip(*((c.name, c.type) for c in table), strict=True))
    lines = [f"  {column.name:{name_width}}  {column.type:{type_width}}  {column.label_ko}" for column in table]
    return "\n".join(f"{line}  {column.path}".rstrip() for line, column in zip(lines, table, strict=True))
