"""The admission of images by the calls of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.ledger.postgres.item_statements import claim_item, find_item, link_source
from clova_ocr_async.ledger.states import Admission, Claim, Entry, Item, SourceFile, State
from clova_ocr_async.ledger.stored_values import entry_of, sealed_columns

if TYPE_CHECKING:
    from psycopg import Connection

    from clova_ocr_async.ledger.postgres.this_owner import ThisOwner
    from clova_ocr_async.ledger.seal import Seal

__all__ = ["ClaimRegister"]


class ClaimRegister:
    """The claims of one process, each with the call that has it; ``admit`` is called in a transaction, in any thread.

    Args:
        owner: This process.
        seal: Opens and seals.
    """

    def __init__(self, owner: ThisOwner, seal: Seal) -> None:
        self._owner = owner
        self._seal = seal
        self._held: dict[int, tuple[object, Claim]] = {}  # by item

    def admit(self, db: Connection[Any], item: Item, source: SourceFile | None, call: object) -> Admission:
        """Record an image under one of its names, and claim it for a call if it is new or queued.

        Args:
            db: The connection.
            item: The image.
            source: The name; None if it has none.
            call: The call. It may ask again, if a commit was not acknowledged.
        """
        run, owner = self._owner.run, self._owner.number
        if (claim := claim_item(db, run, item, owner)) is not None:
            entry = Entry(claim.number, item, State.CLAIMED)
        else:
            row = find_item(db, run, item)
            assert row is not None  # noqa: S101 - an item that cannot be claimed is there
            entry = entry_of(row, self._seal)
            claim = self._held_by(call, entry, owner)
        if claim is not None:
            self._held[claim.number] = call, claim  # before the commit: a call that claims it later takes its place
        if source is not None:
            # In the same transaction, so that every ambiguous item has a name.
            columns = sealed_columns(self._seal, source, item.document)
            link_source(db, run, source, item, entry.number, columns=columns)
        return Admission(entry, claim)

    def _held_by(self, call: object, entry: Entry, owner: int) -> Claim | None:
        """Return the claim that a call got by a commit that was not acknowledged; None if it got none."""
        # No other call of this process has it.
        held_by, claim = self._held.get(entry.number, (None, None))
        return claim if (entry.state, entry.owner, held_by) == (State.CLAIMED, owner, call) else None

    def end(self, number: int) -> None:
        """Forget the claim of an item, which is given back."""
        self._held.pop(number, None)
