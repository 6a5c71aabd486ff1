"""The SQL of a view of a run: its images, counted or one by one.

The status of an image is decided here as far as the tables show it. Items whose settlement is still due (``UNSETTLED``)
come out with their stored state, and the view projects them one by one.
"""

from __future__ import annotations

__all__ = [
    "AMBIGUOUS",
    "CORRECTIONS",
    "CORRECTIONS_OF_ITEM",
    "COUNT_NAMED",
    "COUNT_NAMELESS",
    "COUNT_NAMES",
    "DOCUMENTS",
    "NAMED",
    "NAMED_UNREAD",
    "NAMELESS",
    "OWN_COLUMNS",
    "PENDING",
    "TO_READ",
    "UNSETTLED",
]

# An ambiguous item stays that although its file has changed since: it may have been billed. A file that was so young
# that a change might not show has no stamp (``size`` is NULL): it is read again, and until then is what it was.
_STATUS = """CASE WHEN item.state IN ('ambiguous', 'sent') THEN item.state
                  WHEN source.open = 1 AND (source.size IS NOT NULL OR item.state IS NULL) THEN 'pending'
                  WHEN source.failure IS NOT NULL THEN 'skipped'
                  WHEN item.state IN ('succeeded', 'failed', 'skipped') THEN item.state
                  ELSE 'pending' END"""
_SOURCES = "source LEFT JOIN item ON item.id = source.item"
_WITHOUT_NAME = "item LEFT JOIN source ON source.item = item.id WHERE source.id IS NULL"

COUNT_NAMED = f"SELECT {_STATUS}, count(*) FROM {_SOURCES} GROUP BY 1"
COUNT_NAMELESS = f"SELECT {_STATUS}, count(*) FROM {_WITHOUT_NAME} AND item.was IS NULL GROUP BY 1"
COUNT_NAMES = """SELECT CASE WHEN count(source.id) = 0 AND item.was IS NULL THEN 1 ELSE count(source.id) END
                 FROM item LEFT JOIN source ON source.item = item.id WHERE item.id = ?"""

# The first name of an item, under which it was billed; a name whose file has changed since is not one of its bytes.
_FIRST = """SELECT min(id) FROM source AS one WHERE one.item = source.item
            AND (one.open = 0 OR one.size IS NULL OR item.state IN ('ambiguous', 'sent'))"""
_COPY_OF = f"(SELECT path FROM source AS first WHERE first.id = ({_FIRST}) AND first.id < source.id)"
# The pages of a file come one after the other where its first row stands, however late they were found.
_SELECT = f"""SELECT source.path, source.page, source.document, {_STATUS} AS word, source.failure, source.item,
                     {_COPY_OF}, 0, source.columns
              FROM source AS head JOIN source ON source.document = head.document AND source.path = head.path
              LEFT JOIN item ON item.id = source.item
              WHERE NOT EXISTS (
                  SELECT 1 FROM source AS earlier
                  WHERE earlier.document = head.document AND earlier.path = head.path AND earlier.id < head.id)"""
_IN_ORDER = "ORDER BY head.id, source.page"
NAMED = f"{_SELECT} {_IN_ORDER}"
NAMED_UNREAD = f"{_SELECT} AND word IN ('failed', 'ambiguous', 'skipped', 'sent') {_IN_ORDER}"
# A picture that was replaced under its last name is listed only if it was billed or may have been.
NAMELESS = f"""SELECT item.was, item.page, item.document, {_STATUS}, NULL, item.id, NULL,
                      item.was IS NOT NULL, NULL
               FROM {_WITHOUT_NAME} AND (item.was IS NULL OR item.state IN ('sent', 'ambiguous')
                 OR item.billing <> 0 OR item.maybe_billed > 0)
               ORDER BY item.id"""
DOCUMENTS = "SELECT document FROM source UNION SELECT document FROM item"
OWN_COLUMNS = "SELECT path, page, columns FROM source WHERE document = ? AND columns IS NOT NULL"
_UNSETTLED = "item.state IN ('claimed', 'sent') OR item.state = 'ambiguous' AND item.answer IS NOT NULL"
UNSETTLED = f"SELECT id FROM item WHERE {_UNSETTLED}"
AMBIGUOUS = """SELECT item.id, coalesce(path, was), item.page, sha256
               FROM item LEFT JOIN source ON source.item = item.id
               WHERE item.state IN ('ambiguous', 'sent') ORDER BY source.id"""

CORRECTIONS = """SELECT number, made, change, sha256, document, page, recipe
                 FROM correction JOIN item ON item.id = correction.item WHERE number > ? ORDER BY number LIMIT ?"""
_ONE_ITEM = "sha256 = ? AND document = ? AND page = ? AND recipe = ?"
CORRECTIONS_OF_ITEM = f"""SELECT number, made, change, sha256, document, page, recipe
                          FROM item JOIN correction ON correction.item = item.id
                          WHERE number > ? AND {_ONE_ITEM} ORDER BY number LIMIT ?"""

# Each is answered by an index alone, so it stays fast in a long run.
PENDING = (
    "SELECT count(*) FROM source WHERE open = 1 AND owner IS NULL",
    "SELECT count(*) FROM source WHERE owner IS NOT NULL",
    "SELECT count(*) FROM item WHERE owner IS NOT NULL AND answer IS NULL",
)

_IS_OPEN = "(open = 1 OR item.state IN ('failed', 'ambiguous', 'skipped') AND item.billing IN ({}))"
# The last column is the item whose projection decides; NULL where the row alone does.
TO_READ = f"""SELECT source.id, path, source.page, CASE WHEN open = 0 AND ({_UNSETTLED}) THEN item.id END
              FROM {_SOURCES} WHERE source.document = ? AND ({_IS_OPEN} OR {_UNSETTLED}) AND source.id > ?
              ORDER BY source.id LIMIT ?"""
