from __future__ import annotations

import sys
import types

import pytest

from clova_ocr_async import slots


@pytest.mark.parametrize(
    ("name", "extra", "library"), [("PostgresSlots", "postgres", "psycopg"), ("RedisSlots", "redis", "redis")]
)
def test_slots_on_a_server_name_their_extra(
    name: str, extra: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its library, the folder imports, and the class is an error that names the command of pip."""
    monkeypatch.setitem(sys.modules, library, None)
    for module in (f"slots.{extra}", f"slots.sharing.{extra}_store"):
        monkeypatch.delitem(sys.modules, f"clova_ocr_async.{module}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=rf"{name} needs {library}: pip install '.*\[{extra}\]'"):
        getattr(slots, name)


def test_slots_on_a_server_are_loaded_when_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class is taken from its module at its first use, and a name that does not exist is an error."""
    module = types.ModuleType("clova_ocr_async.slots.redis")
    module.RedisSlots = str  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found: object = slots.RedisSlots
    assert found is str
    assert "PostgresSlots" in slots.__all__
    with pytest.raises(AttributeError, match="no attribute 'MemcachedSlots'"):
        _ = slots.MemcachedSlots  # type: ignore[attr-defined]
