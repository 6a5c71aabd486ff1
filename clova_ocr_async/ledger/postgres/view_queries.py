"""The SQL of a view of a run in PostgreSQL: its images, counted or one by one.

The status of an image is decided here as far as the tables show it. Items whose settlement is still due (``UNSETTLED``)
come out with their stored state, and the view projects them one by one. ``%(run)s`` is the run's number.
"""

from __future__ import annotations

__all__ = [
    "AMBIGUOUS",
    "ANSWERS",
    "CORRECTIONS",
    "CORRECTIONS_OF_ITEM",
    "COUNTS",
    "COUNT_ITEMS",
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
                  WHEN source.open AND (source.size IS NOT NULL OR item.state IS NULL) THEN 'pending'
                  WHEN source.failure IS NOT NULL THEN 'skipped'
                  WHEN item.state IN ('succeeded', 'failed', 'skipped') THEN item.state
                  ELSE 'pending' END"""
_SOURCES = """clova_ocr.source LEFT JOIN clova_ocr.item ON item.id = source.item
              WHERE source.run = %(run)s"""
_WITHOUT_NAME = """clova_ocr.item LEFT JOIN clova_ocr.source ON source.item = item.id
                   WHERE item.run = %(run)s AND source.id IS NULL"""

COUNT_NAMED = f"SELECT {_STATUS}, count(*) FROM {_SOURCES} GROUP BY 1"
COUNT_NAMELESS = f"SELECT {_STATUS}, count(*) FROM {_WITHOUT_NAME} AND item.was IS NULL GROUP BY 1"
COUNT_NAMES = """SELECT item.id, CASE WHEN count(source.id) = 0 AND item.was IS NULL THEN 1 ELSE count(source.id) END
                 FROM clova_ocr.item LEFT JOIN clova_ocr.source ON source.item = item.id
                 WHERE item.id = ANY(%(items)s) GROUP BY item.id"""
COUNT_ITEMS = "SELECT state, count(*) FROM clova_ocr.item WHERE run = %(run)s GROUP BY state"
COUNTS = """SELECT coalesce(sum(maybe_billed), 0), count(answer),
                   count(*) FILTER (WHERE state = 'succeeded' AND answer IS NULL),
                   (SELECT count(*) FROM clova_ocr.source WHERE run = %(run)s AND NOT open AND failure = %(gone)s),
                   (SELECT count(*) FROM clova_ocr.correction WHERE run = %(run)s)
            FROM clova_ocr.item WHERE run = %(run)s"""
ANSWERS = "SELECT count(*) FROM clova_ocr.answer WHERE run = %(run)s"

# The first name of an item, under which it was billed; a name whose file has changed since is not one of its bytes.
_FIRST = """SELECT min(one.id) FROM clova_ocr.source AS one WHERE one.item = source.item
            AND (NOT one.open OR one.size IS NULL OR item.state IN ('ambiguous', 'sent'))"""
_COPY_OF = f"(SELECT first.path FROM clova_ocr.source AS first WHERE first.id = ({_FIRST}) AND first.id < source.id)"
# The pages of a file come one after the other where its first row stands, however late they were found.
_NAMES = """(SELECT *, min(id) OVER (PARTITION BY document, path_hash) AS head
             FROM clova_ocr.source WHERE run = %(run)s) AS source"""
_SELECT = f"""SELECT source.path, source.page, source.document, {_STATUS}, source.failure, source.item, {_COPY_OF},
                     false, source.columns
              FROM {_NAMES} LEFT JOIN clova_ocr.item ON item.id = source.item"""
_IN_ORDER = "ORDER BY source.head, source.page"
NAMED = f"{_SELECT} {_IN_ORDER}"
NAMED_UNREAD = f"{_SELECT} WHERE {_STATUS} IN ('failed', 'ambiguous', 'skipped', 'sent') {_IN_ORDER}"
# A picture that was replaced under its last name is listed only if it was billed or may have been.
NAMELESS = f"""SELECT item.was, item.page, item.document, {_STATUS}, NULL::bytea, item.id, NULL::bytea,
                      item.was IS NOT NULL, NULL::bytea
               FROM {_WITHOUT_NAME} AND (item.was IS NULL OR item.state IN ('sent', 'ambiguous')
                 OR item.billing <> 0 OR item.maybe_billed > 0)
               ORDER BY item.id"""
DOCUMENTS = """SELECT document FROM clova_ocr.source WHERE run = %(run)s
               UNION SELECT document FROM clova_ocr.item WHERE run = %(run)s"""
OWN_COLUMNS = """SELECT path, page, columns FROM clova_ocr.source
                 WHERE run = %(run)s AND document = %(document)s AND columns IS NOT NULL"""
_UNSETTLED = "(item.state IN ('claimed', 'sent') OR item.state = 'ambiguous' AND item.answer IS NOT NULL)"
UNSETTLED = f"SELECT id FROM clova_ocr.item WHERE run = %(run)s AND {_UNSETTLED} ORDER BY id"
AMBIGUOUS = """SELECT item.id, coalesce(source.path, item.was), item.page, item.sha256
               FROM clova_ocr.item LEFT JOIN clova_ocr.source ON source.item = item.id
               WHERE item.run = %(run)s AND item.state IN ('ambiguous', 'sent') ORDER BY source.id NULLS FIRST"""

_CORRECTIONS = """SELECT number, made, change, sha256, document, page, recipe
                  FROM clova_ocr.correction JOIN clova_ocr.item ON item.id = correction.item
                  WHERE correction.run = %(run)s AND number > %(after)s"""
CORRECTIONS = f"{_CORRECTIONS} ORDER BY number"
CORRECTIONS_OF_ITEM = f"""{_CORRECTIONS} AND sha256 = %(sha256)s AND document = %(document)s AND page = %(page)s
                          AND recipe = %(recipe)s ORDER BY number"""

# Each part is answered by an index alone, so it stays fast in a long run.
PENDING = """SELECT (SELECT count(*) FROM clova_ocr.source WHERE run = %(run)s AND open AND owner IS NULL)
                    + (SELECT count(*) FROM clova_ocr.source WHERE run = %(run)s AND owner IS NOT NULL)
                    + (SELECT count(*) FROM clova_ocr.item
                       WHERE run = %(run)s AND owner IS NOT NULL AND answer IS NULL)"""

# The last column is the item whose projection decides; NULL where the row alone does.
TO_READ = f"""SELECT source.path, source.page, CASE WHEN NOT source.open AND {_UNSETTLED} THEN item.id END
              FROM {_SOURCES} AND source.document = %(document)s
                AND (source.open OR item.state IN ('failed', 'ambiguous', 'skipped')
                     AND item.billing = ANY(%(billings)s) OR {_UNSETTLED})
              ORDER BY source.id"""
