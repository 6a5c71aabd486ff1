"""What is asked of the tables to see what became of the images of a run."""

from __future__ import annotations

__all__ = [
    "COUNT_NAMED",
    "COUNT_NAMELESS",
    "COUNT_NAMES",
    "DOUBTFUL",
    "IS_TO_READ",
    "NAMED",
    "NAMED_UNREAD",
    "NAMELESS",
    "PENDING",
    "TO_READ",
    "UNSETTLED",
]

# Doubt outranks that the file has changed since. What is sent is looked at one by one: it may have its answer. A file
# that was too young to be told from a change is to be looked at again, and until then is what it was.
WORD = """CASE WHEN item.state IN ('ambiguous', 'sent') THEN item.state
                WHEN source.open = 1 AND (source.size IS NOT NULL OR item.state IS NULL) THEN 'pending'
                WHEN source.failure IS NOT NULL THEN 'skipped'
                WHEN item.state IN ('succeeded', 'failed', 'skipped') THEN item.state
                ELSE 'pending' END"""
SOURCES = "source LEFT JOIN item ON item.id = source.item"
WITHOUT_NAME = "item LEFT JOIN source ON source.item = item.id WHERE source.id IS NULL"

COUNT_NAMED = f"SELECT {WORD}, count(*) FROM {SOURCES} GROUP BY 1"
COUNT_NAMELESS = f"SELECT {WORD}, count(*) FROM {WITHOUT_NAME} AND item.was IS NULL GROUP BY 1"
COUNT_NAMES = """SELECT CASE WHEN count(source.id) = 0 AND item.was IS NULL THEN 1 ELSE count(source.id) END
                  FROM item LEFT JOIN source ON source.item = item.id WHERE item.id = ?"""

# A name whose file has changed since says nothing of what was paid for.
FIRST = """SELECT min(id) FROM source AS one WHERE one.item = source.item
            AND (one.open = 0 OR one.size IS NULL OR item.state IN ('ambiguous', 'sent'))"""
COPY_OF = f"(SELECT path FROM source AS first WHERE first.id = ({FIRST}) AND first.id < source.id)"
SELECT = f"""SELECT source.id, path, source.document, {WORD} AS word, source.failure, source.item, {COPY_OF}, 0
              FROM {SOURCES}"""
NAMED = f"{SELECT} WHERE source.id > ? ORDER BY source.id LIMIT ?"
NAMED_UNREAD = f"""{SELECT} WHERE source.id > ? AND word IN ('failed', 'ambiguous', 'skipped', 'sent')
                    ORDER BY source.id LIMIT ?"""
# Of a picture that was replaced under its last name, what may have been paid is all that is worth a line.
NAMELESS = f"""SELECT item.id, item.was, item.document, {WORD}, NULL, item.id, NULL, item.was IS NOT NULL
                FROM {WITHOUT_NAME} AND item.id > ? AND (item.was IS NULL OR item.state IN ('sent', 'ambiguous')
                  OR item.billing <> 0 OR item.maybe_billed > 0)
                ORDER BY item.id LIMIT ?"""
UNSETTLED = "SELECT id, state FROM item WHERE state = 'sent' OR state = 'ambiguous' AND answer IS NOT NULL"
DOUBTFUL = """SELECT item.id, coalesce(path, was), sha256 FROM item LEFT JOIN source ON source.item = item.id
               WHERE item.state IN ('ambiguous', 'sent') ORDER BY source.id"""

# By their indexes alone.
PENDING = (
    "SELECT count(*) FROM source WHERE open = 1 AND owner IS NULL",
    "SELECT count(*) FROM source WHERE owner IS NOT NULL",
    "SELECT count(*) FROM item WHERE owner IS NOT NULL AND answer IS NULL",
)

AGAIN = "(open = 1 OR item.state IN ('failed', 'ambiguous', 'skipped') AND item.billing IN ({}))"
TO_READ = f"""SELECT source.id, path FROM {SOURCES} WHERE source.id > ? AND source.document = ? AND {AGAIN}
               ORDER BY source.id LIMIT ?"""
IS_TO_READ = f"SELECT count(*) FROM {SOURCES} WHERE source.document = ? AND path = ? AND {AGAIN}"
