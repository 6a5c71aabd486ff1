"""The cost of reading an answer and of keeping it: typed, over untyped JSON and over pydantic.

The answers are the specification's examples of the six documents and a made-up Korean receipt of 30 lines. Typed
decoding, all polygons included, is measured against what the others do, which is decoding; and so is all that a call
does with an answer, which reads the status, distinguishes errors from recognitions, and keeps the body. Others let go
of the body; so typed answers are kept against what they keep, and whole recognitions, bodies included, as well.
"""

from __future__ import annotations

import json
import math
import types
from functools import cache, partial
from statistics import median
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from frame import (
    MIB,
    Effort,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    cpu_of,
    effort,
    forget_peak,
    in_turn,
    missing,
    peak_memory,
    unmeasured,
)
from sink import example

from clova_ocr_async.documents import DOCUMENTS, Receipt
from clova_ocr_async.documents.envelope import Answer
from clova_ocr_async.protocol.response import HTTPResponse, decode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clova_ocr_async.documents import Document

    Decode = Callable[[bytes], object]

KEPT = 20_000
LINES = 30
DECODERS = {
    "json": ("json.loads", "json", 3.3),
    "orjson": ("orjson.loads", "orjson", 1.15),
    "untyped": ("msgspec without types", "msgspec", None),
    "pydantic": ("pydantic's model_validate_json", "pydantic", 5.5),
}
"""Others by name: what they are called here, their package, how many times faster we should be."""


# ---------------------------------------------------------------------------------------------------------------------
# Answers


def cell(text: str, row: int, column: int, **more: object) -> dict[str, Any]:
    """Make up a cell."""
    left, top = 60.5 + 180.25 * column, 240.75 + 42.5 * row
    corners = [(left, top), (left + 160, top + 1), (left + 160, top + 31), (left, top + 30)]
    polygon = {"vertices": [{"x": x, "y": y} for x, y in corners]}
    return {"text": text, "formatted": {"value": text}, "boundingPolys": [polygon, polygon], **more}


def line(row: int) -> dict[str, Any]:
    """Make up a line of a receipt."""
    price = cell(f"{1500 + 10 * row:,}", row, 3)
    return {
        "name": cell(f"유기농 우리밀 식빵 {row}호", row, 0),
        "code": cell(f"88010{row:08}", row, 1),
        "count": cell("1", row, 2),
        "price": {"price": price, "unitPrice": price},
    }


def korean_receipt() -> bytes:
    """Make up a long receipt."""
    result = {
        "storeInfo": {"name": cell("행복마트 정자점", 0, 0), "bizNum": cell("123-45-67890", 1, 0)},
        "subResults": [{"items": [line(row) for row in range(LINES)]}],
        "totalPrice": {"price": cell("49,350", LINES, 3)},
    }
    image = {"receipt": {"meta": {"estimatedLanguage": "ko"}, "result": result}, "uid": "u", "inferResult": "SUCCESS"}
    return msgspec.json.encode({"version": "V2", "timestamp": 0, "images": [image]})


@cache
def answers() -> dict[str, tuple[type[Document], bytes]]:
    """Return answers by name, as the service writes them: without blanks."""
    found = {word: (document, msgspec.json.encode(example(word))) for word, document in DOCUMENTS.items()}
    return {**found, "long receipt": (Receipt, korean_receipt())}


# ---------------------------------------------------------------------------------------------------------------------
# Decoders


def typed(_: type[Document]) -> Decode:
    """Return our decoder alone."""
    return msgspec.json.Decoder(Answer).decode


def ours(document: type[Document]) -> Decode:
    """Return what a call does with an answer's body."""
    return lambda body: decode_response(HTTPResponse(200, body), document)


def other(name: str) -> Decode:
    """Return one of the other decoders."""
    match name:
        case "json":
            return json.loads
        case "orjson":
            import orjson  # noqa: PLC0415 - it may be missing

            return orjson.loads
        case "untyped":
            return msgspec.json.Decoder().decode
        case _:
            validate: Decode = _model(Answer).model_validate_json
            return validate


@cache
def _model(struct: type[msgspec.Struct]) -> Any:
    """Make a pydantic model of a struct: the same fields, keys and types, absent ones None or an empty list."""
    import pydantic  # noqa: PLC0415 - it may be missing

    hints = get_type_hints(struct)
    fields: dict[str, Any] = {
        field.name: (_annotation(hints[field.name]), pydantic.Field(default=None, alias=field.encode_name))
        for field in msgspec.structs.fields(struct)
    }
    model: Any = pydantic.create_model(struct.__name__, **fields)
    return model


def _annotation(type_: Any) -> Any:
    """Return a struct's field's type as a model would have it."""
    origin, arguments = get_origin(type_), get_args(type_)
    if origin is tuple:
        return list[_annotation(arguments[0])] | None  # type: ignore[misc]  # made at run time
    if origin in {Union, types.UnionType}:
        return Union[tuple(_annotation(argument) for argument in arguments)]  # noqa: UP007 - made at run time
    return _model(type_) | None if _is_struct(type_) else type_


def _is_struct(type_: object) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


OURS = {"typed": typed, "ours": ours}


# ---------------------------------------------------------------------------------------------------------------------
# Time


def times(name: str, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU of each round, by decoder, for one of the answers; in a process of its own."""
    others = {key: other(key) for key, (_, package, _) in DECODERS.items() if not missing(package)}
    document, body = answers()[name]
    often = 2_000_000 // len(body)
    decoders = {"typed": typed(document), "ours": ours(document), **others}
    return in_turn({key: partial(cpu_of, partial(decode, body), often) for key, decode in decoders.items()}, rounds)


def means(costs: dict[str, dict[str, list[float]]], decoder: str) -> list[float]:
    """Return the geometric mean over the answers, of each round."""
    by_round = zip(*(found[decoder] for found in costs.values()), strict=True)
    return [math.exp(math.fsum(map(math.log, one)) / len(one)) for one in by_round]


def speed(much: Effort) -> list[Row]:
    """Compare the time that reading takes."""
    costs = {name: apart_in_turn(much, times, name) for name in answers()}
    found = list[Row]()
    for name, (called, package, goal) in DECODERS.items():
        question = f"times faster than {called}, mean of all documents"
        if why := missing(package):
            found.append(unmeasured(question, why, goal, at_least=True))
            continue
        found += _over_decoder(name, costs, question, goal)
    question = "all that is done with an answer over its typed decoding, mean of all documents"
    return [*found, compared(question, means(costs, "ours"), means(costs, "typed"))]


def _over_decoder(
    name: str, costs: dict[str, dict[str, list[float]]], question: str, goal: float | None
) -> Iterator[Row]:
    theirs, long, called = means(costs, name), costs["long receipt"], DECODERS[name][0]
    size = f"receipt of {len(korean_receipt()) / 1024:.0f} KiB"
    yield compared(question, means(costs, "typed"), theirs, goal, faster=True, note=_each(costs, name))
    yield compared(f"times faster than {called}, {size}", long["typed"], long[name], goal, faster=True)
    yield compared(
        f"all that is done with an answer, times faster than {called}, mean", means(costs, "ours"), theirs, faster=True
    )


def _each(costs: dict[str, dict[str, list[float]]], name: str) -> str:
    """Return how the single documents differ."""
    ratios = {answer: median(map(_over, found[name], found["typed"])) for answer, found in costs.items()}
    return ", ".join(f"{answer} {ratio:.2g}" for answer, ratio in ratios.items())


def _over(theirs: float, mine: float) -> float:
    return theirs / mine


# ---------------------------------------------------------------------------------------------------------------------
# Memory


WHOLE_GOALS = {"json": 0.5, "pydantic": 0.26}


def kept(decoder: str, count: int) -> float:
    """Return the MiB that a number of kept receipts take; in a process of its own."""
    decode = OURS[decoder](Receipt) if decoder in OURS else other(decoder)
    body = answers()["receipt"][1]
    decode(body)
    before = forget_peak()
    # Each from bytes of its own, as they come off the wire; ours keeps them.
    results = [decode(bytes(bytearray(body))) for _ in range(count)]
    grown = peak_memory() - before
    del results
    return grown


def memory(count: int, times_: int) -> list[Row]:
    """Compare the memory that kept receipts take."""
    found = list[Row]()
    bodies = count * len(answers()["receipt"][1]) / MIB
    mine, answers_ = ([apart(kept, what, count) for _ in range(times_)] for what in ("ours", "typed"))
    for name, goal in {"json": 0.45, "pydantic": 0.22, "orjson": None, "untyped": None}.items():
        called, package, _ = DECODERS[name]
        question = f"memory of {count:,} kept receipts over {called}, which keeps no bodies"
        if why := missing(package):
            found.append(unmeasured(question, why, goal))
            continue
        theirs = [apart(kept, name, count) for _ in range(times_)]
        whole = f"{median(mine):.0f} MiB, {bodies:.0f} of them the bodies, over {median(theirs):.0f} MiB"
        gain = (
            "kept answers, bodies included, take {percent} of what json.loads keeps without" if name == "json" else ""
        )
        found.append(compared(question, answers_, theirs, goal, note=f"{median(answers_):.0f} MiB"))
        question = f"the same, whole recognitions with their bodies, {called}"
        found.append(compared(question, mine, theirs, WHOLE_GOALS.get(name), note=whole, gain=gain))
    return found


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    return speed(effort(6, quick=quick)) + memory(2_000 if quick else KEPT, 2 if quick else 3)


if __name__ == "__main__":
    alone(rows)
