"""Masked copies of recognitions: numbers that identify a person or a card become stars, wherever they stand.

A number is masked at its own field first, by the table of ``sensitive_paths``. Then every text of the answer, unknown
fields included, is searched for the same digits, however they are written: with other separators, in full width, or a
part of a longer text, as the machine readable zone of old passports. The result is searched once more; a digit that is
still there is a ``RedactionError``, and no copy is returned.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec

from clova_ocr_async.documents import Document, Recognition
from clova_ocr_async.documents.untyped import UNREADABLE, is_array, is_object, untyped
from clova_ocr_async.errors import ConfigurationError, RedactionError
from clova_ocr_async.results.arguments import require_recognition
from clova_ocr_async.results.number_forms import (
    bare,
    cards_in,
    folded,
    forms_of,
    is_part,
    latin,
    residents_in,
    without_bars,
)
from clova_ocr_async.results.public_numbers import is_public
from clova_ocr_async.results.sensitive_paths import SENSITIVE, Policy, Rule, hide

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

__all__ = ["Masking", "answer_of", "check_policy", "mask_answer", "masked_copy", "redact", "rule_at"]

DocumentT = TypeVar("DocumentT", bound=Document)

_SHORTEST = 6  # digits of a hidden part that is searched for by itself; fewer occur by chance
# Ids of the call, in which digits are chance; below a document such a key may hold anything.
_KEPT = frozenset({"requestId", "uid", "timestamp", "version", "traceId"})
_OF_CALL = frozenset({"", "images"})
# Coordinates and confidences are numbers that stay; a text in their place does not.
_POLYGON_KEYS = ("boundingPolys", "boundingPoly", "maskingPolys", "subBoundingPolys", "rois", "vertices")
_NUMBER_KEYS = frozenset((*_POLYGON_KEYS, "confidence", "confidenceScore"))
_NUMBERS = frozenset((int, float))
_SHORTEST_BY_FORM = 13  # digits of a number that is recognized by its form


def redact(recognition: Recognition[DocumentT], policy: Policy = "standard") -> Recognition[DocumentT]:
    """Return a masked copy of a recognition.

    Each letter or digit that is hidden becomes ``*``, separators stay: ``900101-*******``. "standard" hides the last
    seven digits of resident and alien registration numbers, all but the first six and last four of card numbers, and
    all of the expiry dates of cards, of passport and driver's licence numbers, and of machine readable zones. "all"
    hides all of each. Typed values, ``raw`` and unknown fields are masked alike.

    Masked is not anonymous: names, addresses and dates stay.

    Args:
        recognition: The recognition.
        policy: "standard" or "all".

    Raises:
        ConfigurationError: There is no such policy.
        RedactionError: The answer cannot be masked for certain. The message shows no value.
        TypeError: ``recognition`` is not a recognition.
    """
    require_recognition(recognition)
    check_policy(policy)
    return masked_copy(recognition, Masking(answer_of(recognition), policy))


def masked_copy(recognition: Recognition[DocumentT], masking: Masking) -> Recognition[DocumentT]:
    """Return a masked copy of a recognition.

    Args:
        recognition: The recognition.
        masking: The masking of its answer.

    Raises:
        RedactionError: As in ``redact``.
    """
    again = Recognition.from_dict(masking.mask_answer(), type(recognition.document))
    kept = {
        name: getattr(recognition, name)
        for name in ("request_id", "attempts", "maybe_billed", "elapsed", "picture")
        if hasattr(recognition, name)
    }
    return msgspec.structs.replace(again, **kept)


def answer_of(recognition: Recognition[Any]) -> dict[str, Any]:
    """Return the plain values of a recognition's answer.

    Raises:
        RedactionError: It has none, as one that was made by hand.
    """
    try:
        answer = untyped(recognition.raw)
    except UNREADABLE:
        answer = None
    if not is_object(answer) or "images" not in answer:
        raise RedactionError("the recognition has no answer in raw, so nothing shows where its numbers are")
    return answer


def check_policy(policy: object) -> None:
    """Refuse a policy that does not exist.

    Raises:
        ConfigurationError: It is neither "standard" nor "all".
    """
    if policy not in get_args(Policy):
        raise ConfigurationError(f"policy is a {type(policy).__name__} that is not a policy; give 'standard' or 'all'")


def mask_answer(answer: Any, policy: Policy) -> Any:
    """Return the plain values of a whole answer, masked.

    Raises:
        RedactionError: A hidden number is still there.
    """
    return Masking(answer, policy).mask_answer()


class Masking:
    """The masking of one answer, and of texts about it, such as the name of its file.

    Args:
        answer: The plain values of a whole answer; None if there is none.
        policy: "standard" or "all".
        others: Texts that are not in the answer, as people corrected it, each with its path from the document on,
            without numbers of elements. Their numbers are hidden as well, also where the answer repeats them.
    """

    def __init__(self, answer: Any, policy: Policy, others: Iterable[tuple[str, str]] = ()) -> None:
        self._answer = answer
        self._policy: Policy = policy
        texts, keys = _texts_and_keys(answer)
        # No rule of a field is about its keys.
        self._numbers = set(_hidden_numbers((*texts, *(("", key) for key in keys), *others), policy))
        self._search = _Search(self._numbers)

    @property
    def hides_nothing(self) -> bool:
        """True if the answer holds no number to hide."""
        return not self._numbers

    def mask_answer(self) -> Any:
        """Return the answer, masked.

        Raises:
            RedactionError: A hidden number is still there.
        """
        masked = _masked(self._answer, "", self._policy, self._search)
        _check_nothing_left(masked, self._numbers)
        return masked

    def mask_at(self, path: str, text: str) -> str:
        """Return a text that belongs to a path of the answer, masked as the answer's own text there is.

        Args:
            path: From the document on, without numbers of elements.
            text: The text.
        """
        rule = rule_at(path, self._policy)
        return self.mask_text(text if rule is None else hide(text, rule), path)

    def mask_text(self, text: str, path: str = "") -> str:
        """Return a text about the answer without its numbers, and without any that is recognized by its form.

        Args:
            text: The text.
            path: As in ``mask_at``, where a number may be public; empty for a text that has no place.
        """
        found = {(bare(number), rule) for number, rule in _numbers_in(text, self._policy, path)}
        return _Search(found).mask(self._search.mask(text))

    def mask_values(self, value: Any) -> Any:
        """Return plain values about the answer, such as the own columns of a manifest, masked as texts are."""
        if is_object(value):
            return _keyed(list(map(self.mask_text, value)), list(map(self.mask_values, value.values())))
        if is_array(value):
            return [self.mask_values(child) for child in value]
        text = _searched_text(value)
        masked = None if text is None else self.mask_text(text)
        return value if masked == text else masked


def _hidden_numbers(texts: Iterable[tuple[str, str]], policy: Policy) -> Iterator[tuple[str, Rule]]:
    """Yield the letters and digits of every number in some texts that a policy hides, with its rule."""
    for path, text in texts:
        if (rule := rule_at(path, policy)) is not None:
            found = {(text, rule)}
        elif len(text) < _SHORTEST_BY_FORM:  # as nearly all texts
            continue
        else:
            found = set(_numbers_in(text, policy, path))
        for number, rule in found:
            # Of a number that was printed with stars, all that must be hidden may be hidden already.
            if hide(number, rule) != number:
                yield bare(number), rule


def _numbers_in(text: str, policy: Policy, path: str) -> Iterator[tuple[str, Rule]]:
    """Yield the numbers that are recognized by their form, which may stand in any field, with their rules."""
    residents = (number for number in residents_in(text) if not is_public(number, path))
    yield from ((number, _RESIDENT.rule(policy)) for number in residents)
    yield from ((number, _CARD.rule(policy)) for number in cards_in(text))


_RESIDENT, _CARD = SENSITIVE["idCard.result.ic.personalNum"], SENSITIVE["creditCard.result.number"]


def _texts_and_keys(answer: Any) -> tuple[list[tuple[str, str]], set[str]]:
    """Return every text of an answer with the path of the object it belongs to, and the keys; they may be anything.

    Paths are without numbers of elements.
    """
    texts: list[tuple[str, str]] = []
    keys: set[str] = set()
    _add_texts(answer, "", texts, keys)
    return texts, keys


def _add_texts(
    value: Any, path: str, texts: list[tuple[str, str]], keys: set[str], *, numbers_stay: bool = False
) -> None:
    if is_object(value):
        keys.update(value)
        for key, child in value.items():
            if key in _KEPT and path in _OF_CALL:
                _add_texts(child, path, [], keys)  # its keys alone
            elif isinstance(child, str):  # without a call of its own, as most values are texts
                texts.append((_joined(path, key), child))
            elif not (key in _NUMBER_KEYS and _is_plain(child)):
                _add_texts(child, _joined(path, key), texts, keys, numbers_stay=numbers_stay or key in _NUMBER_KEYS)
    elif is_array(value):
        for child in value:
            _add_texts(child, path, texts, keys, numbers_stay=numbers_stay)
    elif isinstance(value, str) or not numbers_stay:
        text = _searched_text(value)
        if text is not None:
            texts.append((path, text))


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, or polygons of numbers alone, as nearly all of an answer is.

    It is plain Python on purpose: a decoder, or a walk that judges each value by itself, takes three times as long.
    """
    if isinstance(value, float):
        return True
    if not is_array(value):
        return False
    for polygon in value:
        if not is_object(polygon) or len(polygon) != 1 or not is_array(vertices := polygon.get("vertices")):
            return False
        for vertex in vertices:
            # Both keys and no other: an unknown key may be anything.
            if not is_object(vertex) or len(vertex) != 2 or "x" not in vertex or "y" not in vertex:  # noqa: PLR2004
                return False
            if type(vertex["x"]) not in _NUMBERS or type(vertex["y"]) not in _NUMBERS:
                return False
    return True


def _searched_text(value: Any) -> str | None:
    """Return the text in which a value is searched; None for one that holds no number."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _joined(path: str, key: str) -> str:
    return f"{path}.{key.strip()}" if path else key.strip()


@functools.lru_cache(4096)
def rule_at(path: str, policy: Policy) -> Rule | None:
    """Return the rule for a text at a path, or anywhere below it.

    Args:
        path: A path of an answer, from ``images`` or from the document on.
        policy: "standard" or "all".
    """
    below = path.removeprefix("images.")
    # The specification's tables write MRZ1 and MRZ2, answers write mrz1 and mrz2.
    below = below.replace(".MRZ1", ".mrz1").replace(".MRZ2", ".mrz2")
    for sensitive, rules in SENSITIVE.items():
        if below == sensitive or below.startswith(f"{sensitive}."):
            return None if below.endswith(".keyText") else rules.rule(policy)
    return None


class _Search:
    """A search for numbers in texts, however they are written.

    Args:
        numbers: Bare letters and digits with their rules.
    """

    def __init__(self, numbers: Iterable[tuple[str, Rule]]) -> None:
        forms = {pair for number, rule in numbers for pair in _searched_forms(number, rule)}
        # The longest first, of which another one may be a part; and of two rules the one that hides more.
        self._forms = sorted(forms, key=lambda pair: (-len(pair[0]), pair[0], pair[1] is not Rule.WHOLE))

    def mask(self, text: str) -> str:
        """Return a text with all numbers masked."""
        if not self._forms or len(text) < _SHORTEST:
            return text
        masked = self._mask(text, text)
        bare_of_bars = without_bars(masked)
        return masked if bare_of_bars == masked else self._mask(masked, bare_of_bars)

    def _mask(self, text: str, searched: str) -> str:
        """Mask what is found in another form of a text, of the same length."""
        parts = folded(searched)
        if not any(form in parts for form, _ in self._forms):
            return text
        places = [place for place, character in enumerate(searched) if is_part(character)]
        for form, rule in self._forms:
            at = parts.find(form)
            while at >= 0:
                behind = at + len(form)
                start, end = places[at], places[behind - 1] + 1
                text = text[:start] + hide(text[start:end], rule) + text[end:]
                parts = parts[:at] + hide(form, rule) + parts[behind:]
                at = parts.find(form, behind)
        return text


def _searched_forms(number: str, rule: Rule) -> Iterator[tuple[str, Rule]]:
    """Yield the folded forms in which a number is searched for, each with the rule for what is found."""
    hidden = _hidden_part(number, rule)
    # The hidden part may stand alone; also without the province of a licence, or a letter that was read too many.
    for part, its_rule in ((number, rule), (hidden, Rule.WHOLE), (latin(hidden), Rule.WHOLE)):
        # Shorter ones occur by chance.
        yield from ((form, its_rule) for form in forms_of(part) if len(form) >= _SHORTEST)


def _hidden_part(number: str, rule: Rule) -> str:
    """Return the letters and digits of a number that its rule hides."""
    masked = hide(number, rule)
    return "".join(character for character, shown in zip(number, masked, strict=True) if shown == "*" != character)


def _masked(value: Any, path: str, policy: Policy, search: _Search, *, numbers_stay: bool = False) -> Any:
    if is_object(value):
        children = [
            child
            if (key in _KEPT and path in _OF_CALL) or (key in _NUMBER_KEYS and _is_plain(child))
            else _masked(child, _joined(path, key), policy, search, numbers_stay=numbers_stay or key in _NUMBER_KEYS)
            for key, child in value.items()
        ]
        return _keyed(list(map(search.mask, value)), children)
    if is_array(value):
        return [_masked(child, path, policy, search, numbers_stay=numbers_stay) for child in value]
    text = None if numbers_stay and not isinstance(value, str) else _searched_text(value)
    if text is None:
        return value
    rule = rule_at(path, policy)
    masked = search.mask(text if rule is None else hide(text, rule))
    return value if masked == text else masked


def _keyed(keys: list[str], values: list[Any]) -> dict[str, Any]:
    """Return an object; keys that are the same once they are masked are numbered, so that no value is lost."""
    found = dict(zip(keys, values, strict=True))
    if len(found) < len(keys):
        found = {}
        for key, value in zip(keys, values, strict=True):
            names = (key, *(f"{key} ({number})" for number in range(2, len(keys) + 1)))
            found[next(name for name in names if name not in found)] = value
    return found


def _check_nothing_left(masked: Any, numbers: Collection[tuple[str, Rule]]) -> None:
    """Refuse an answer in which a hidden number is still readable, in one text or over neighbouring ones."""
    if not numbers:
        return
    found, keys = _texts_and_keys(masked)
    # Each field has its text and its formatted value: neighbours are those of one kind.
    kinds: dict[str, list[str]] = {}
    for path, text in found:
        kinds.setdefault(path.rpartition(".")[2], []).append(text)
    apart, joined = _folded_lines([*(text for _, text in found), *keys]), _folded_lines(map("".join, kinds.values()))
    for number, rule in numbers:
        forms = [form for form, _ in _searched_forms(number, rule)]
        # Over several texts a short part may be there by chance.
        if any(form in apart or (len(form) > _SHORTEST and form in joined) for form in forms):
            raise RedactionError("a number that must be hidden is still readable in the answer; it is not returned")


def _folded_lines(texts: Iterable[str]) -> str:
    return "\n".join(form for text in texts for form in forms_of(text))
