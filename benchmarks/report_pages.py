"""Report pages of invented runs, of any size, made without a run."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import PIL.Image
import PIL.ImageDraw

from clova_ocr_async.results.report.page import Language, foot, head, picture, rows_block, thumbnail, thumbnails_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["FIELDS_A_ROW", "SIZE", "drawn", "invented_rows", "invented_run", "page_text", "write_page"]

SIZE = (800, 1200)
ROWS_A_BLOCK = 200
STORES = ("스타벅스 강남점", "이마트 성수점", "GS25 역삼", "교보문고 광화문", "올리브영 명동", "파리바게뜨 서초")
GOODS = ("아메리카노", "카페라떼", "삼각김밥", "생수 500ml", "우유식빵", "볼펜 0.5mm", "A4 용지", "칫솔 세트")
_HEAD_FIELDS: tuple[tuple[str, Callable[[random.Random], str]], ...] = (
    ("result.storeInfo.name", lambda chance: chance.choice(STORES)),
    ("result.storeInfo.bizNum", lambda chance: f"{chance.randint(100, 999)}-81-{chance.randint(10000, 99999)}"),
    ("result.storeInfo.tel", lambda chance: f"02-{chance.randint(200, 999)}-{chance.randint(1000, 9999)}"),
    ("result.storeInfo.addresses[0]", lambda chance: f"서울특별시 강남구 테헤란로 {chance.randint(1, 500)}"),
    ("result.paymentInfo.date", lambda chance: f"2026-11-{chance.randint(1, 28):02}"),
    ("result.paymentInfo.time", lambda chance: f"{chance.randint(9, 21):02}:{chance.randint(0, 59):02}:00"),
    ("result.paymentInfo.cardInfo.number", lambda chance: f"5409-26**-****-{chance.randint(1000, 9999)}"),
)
_ITEM_FIELDS = ("name", "count", "price.price")
_ITEMS = 4
_DOUBTFUL_SHARE, _SURE = 0.02, 0.9
_COPIES = [4, 9]
FIELDS_A_ROW = len(_HEAD_FIELDS) + len(_ITEM_FIELDS) * _ITEMS + 3
_LABELS = {
    "result.storeInfo.name": {"en": "store_name", "ko": "상호"},
    "result.storeInfo.bizNum": {"en": "store_biz_num", "ko": "사업자등록번호"},
    "result.storeInfo.tel": {"en": "store_tel", "ko": "전화번호"},
    "result.storeInfo.addresses": {"en": "store_address", "ko": "주소"},
    "result.paymentInfo.date": {"en": "payment_date", "ko": "결제일"},
    "result.paymentInfo.time": {"en": "payment_time", "ko": "결제 시각"},
    "result.paymentInfo.cardInfo.number": {"en": "card_number", "ko": "카드번호"},
    "result.subResults.items.name": {"en": "name", "ko": "품명"},
    "result.subResults.items.count": {"en": "count", "ko": "수량"},
    "result.subResults.items.price.price": {"en": "price", "ko": "금액"},
    "result.subTotal.taxPrice": {"en": "tax_price", "ko": "부가세"},
    "result.totalPrice.price": {"en": "total_price", "ko": "합계금액"},
    "result.paymentInfo.confirmNum": {"en": "confirm_num", "ko": "승인번호"},
}
_CAUSES = (
    {
        "id": "timeout",
        "title": {"en": "No answer in time", "ko": "제한 시간 안에 응답 없음"},
        "hint": {"en": "The service may have billed the call.", "ko": "과금되었을 수 있습니다."},
        "command": "clova-ocr batch receipt --run 'march run' --retry-ambiguous",
    },
    {
        "id": "unreadable",
        "title": {"en": "The service could not read the picture", "ko": "서비스가 이미지를 읽지 못함"},
        "hint": {"en": "Take a sharper picture.", "ko": "더 선명한 사진을 찍으십시오."},
        "command": "clova-ocr batch receipt --run 'march run' --retry-failed",
    },
)


def invented_rows(count: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """Yield rows of receipts: of a hundred, three failed, two are ambiguous, and some have doubtful fields."""
    chance = random.Random(seed)  # noqa: S311 - the same rows each time
    for number in range(count):
        kind = number % 100
        if kind in {7, 41, 77}:
            yield _base(number, "failed", billed=True) | {
                "cause": "unreadable",
                "error": {"type": "RecognitionError", "code": None, "message": "the service answered FAILURE"},
            }
        elif kind in {23, 90}:
            yield _base(number, "ambiguous", billed=False) | {"cause": "timeout", "maybe": 1}
        else:
            yield _receipt(number, chance)


def _base(number: int, status: str, *, billed: bool) -> dict[str, Any]:
    name = f"영수증_{number:05}.jpg"
    return {
        "n": number,
        "source": f"scans/2026/{name}",
        "file": name,
        "document": "receipt",
        "status": status,
        "billed": billed,
        "request_id": f"{number:032x}",
        "fields": [],
        "checks": [],
    }


def _receipt(number: int, chance: random.Random) -> dict[str, Any]:
    fields = [_field(path, make(chance), chance) for path, make in _HEAD_FIELDS]
    for item in range(_ITEMS):
        path = f"result.subResults[0].items[{item}]"
        texts = (chance.choice(GOODS), str(chance.randint(1, 3)), f"{chance.randint(10, 150) * 100:,}")
        fields += [_field(f"{path}.{name}", text, chance) for name, text in zip(_ITEM_FIELDS, texts, strict=True)]
    fields.append(_field("result.subTotal.taxPrice", "1,250", chance))
    fields.append(_field("result.totalPrice.price", f"{chance.randint(50, 900) * 100:,}원", chance))
    fields.append(_field("result.paymentInfo.confirmNum", str(chance.randint(10**7, 10**8 - 1)), chance))
    for place, field in enumerate(fields):
        field["b"] = [_polygon(place)]
    checks = [{"name": "tax", "outcome": "passed", "reason": "the tax is at most a tenth of the price without it"}]
    if not (number + 47) % 50:
        reason = "the lines do not add up to the total, with tax and discounts or without"
        checks.append({"name": "items_total", "outcome": "failed", "reason": reason})
        fields[-2].setdefault("why", []).append(f"items_total: {reason}")
    return _base(number, "succeeded", billed=True) | {
        "seconds": round(chance.uniform(4, 20), 1),
        "min": min(field["c"] for field in fields),
        "size": SIZE,
        "fields": fields,
        "checks": checks,
    }


def _field(path: str, text: str, chance: random.Random) -> dict[str, Any]:
    confidence = round(chance.uniform(0.4, 0.9) if chance.random() < _DOUBTFUL_SHARE else chance.uniform(0.92, 1), 3)
    field: dict[str, Any] = {"p": path, "t": text, "c": confidence}
    if text.endswith("원"):
        field["v"] = text.rstrip("원").replace(",", "")
    if confidence < _SURE:
        field["why"] = [f"confidence {confidence:.2f}"]
    if "cardInfo.number" in path:
        field["m"] = 1
    return field


def _polygon(place: int) -> list[float]:
    left, top = 60.0 + 360 * (place % 2), 60.0 + 50 * place
    return [left, top, left + 300, top + 2, left + 300, top + 34, left, top + 32]


def drawn(row: dict[str, Any], scale: float = 1, kind: str = "PNG") -> bytes:
    """Return a picture on which a dark bar stands where each field of a row does."""
    sheet = PIL.Image.new("L", (round(SIZE[0] * scale), round(SIZE[1] * scale)), 245)
    pen = PIL.ImageDraw.Draw(sheet)
    for field in row["fields"]:
        for box in field["b"]:
            corners = [value * scale for value in box]
            width = (corners[2] - corners[0]) * min(1, len(field["t"]) / 14)
            pen.rectangle((corners[0], corners[1], corners[0] + width, corners[5]), fill=70)
    file = io.BytesIO()
    sheet.save(file, kind)
    return file.getvalue()


def invented_run(rows: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """Return what the page says of the rows as a whole; ``changes`` take the place of its parts."""
    statuses = {name: sum(row["status"] == name for row in rows) for name in ("succeeded", "failed", "ambiguous")}
    failed = [row for row in rows if any(check["outcome"] == "failed" for check in row["checks"])]
    billed = statuses["succeeded"] + statuses["failed"]
    causes = [cause | {"rows": [row["n"] for row in rows if row.get("cause") == cause["id"]]} for cause in _CAUSES]
    return {
        "version": 1,
        "run": "march run",
        "made_at": "2026-11-30T09:00:00+09:00",
        "masked": True,
        "language": "en",
        "price": 3,
        "totals": {
            "records": len(rows),
            "documents": {"receipt": len(rows)},
            "statuses": statuses,
            "billed": billed,
            "maybe_billed": statuses["ambiguous"],
            "spared": 12,
            "to_review": sum(len(field.get("why", ())) > 0 for row in rows for field in row["fields"]),
            "checks_failed": len(failed),
        },
        "money": [
            {"title": {"en": "Succeeded", "ko": "성공"}, "billed": statuses["succeeded"], "maybe_billed": 0},
            {"title": {"en": "Failed", "ko": "실패"}, "billed": statuses["failed"], "maybe_billed": 0},
            {"title": {"en": "Ambiguous", "ko": "불확실"}, "billed": 0, "maybe_billed": statuses["ambiguous"]},
        ],
        "speed": {
            "from": "2026-11-30T07:00:00+09:00",
            "to": "2026-11-30T08:40:00+09:00",
            "per_minute": [[minute, 60 + (minute * 7) % 40] for minute in range(100) if minute % 9],
            "seconds": {
                "p50": 8.2,
                "p95": 16.4,
                "max": 31.0,
                "histogram": [[2, 0], [4, 12], [6, 140], [8, 420], [10, 310], [15, 160], [20, 60], [40, 6]],
            },
        },
        "causes": [cause for cause in causes if cause["rows"]],
        "ambiguous": [row["n"] for row in rows if row["status"] == "ambiguous"],
        "copies": [_COPIES] if len(rows) > max(_COPIES) else [],
        "checks": [
            {
                "row": row["n"],
                "name": "items_total",
                "reason": row["checks"][-1]["reason"],
                "fields": ["result.subResults", "result.totalPrice.price"],
                "values": ["45,000", "54,000"],
            }
            for row in failed
        ],
        "not_shown": [{"en": "Raw answers are not on this page.", "ko": "원본 응답은 이 페이지에 없습니다."}],
        "documents": {"receipt": {"fields": _LABELS}},
        **changes,
    }


def page_text(
    rows: Sequence[dict[str, Any]],
    run: dict[str, Any],
    *,
    pictures: dict[int, bytes] | None = None,
    thumbnails: dict[int, bytes] | None = None,
) -> Iterator[str]:
    """Yield the text of a page, piece by piece, as the writer of a report does."""
    language: Language = run["language"]
    yield head(run["run"], masked=run["masked"], language=language, review=run.get("review", False))
    for start in range(0, len(rows), ROWS_A_BLOCK):
        block = rows[start : start + ROWS_A_BLOCK]
        yield rows_block(block, language=language)
        for row in block:
            if data := (pictures or {}).get(row["n"]):
                yield picture(row["n"], data)
        small = {row["n"]: data for row in block if (data := (thumbnails or {}).get(row["n"]))}
        yield thumbnails_block("".join(thumbnail(number, data) for number, data in small.items()))
    yield foot(run, language=language)


def write_page(path: Path, rows: Sequence[dict[str, Any]], run: dict[str, Any] | None = None, **parts: Any) -> str:
    """Write a page to a file, and return its address."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(page_text(rows, run or invented_run(rows), **parts))
    return path.as_uri()
