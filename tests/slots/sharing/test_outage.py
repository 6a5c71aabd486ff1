"""Outages of a server that keeps slots, conflicts about them, and leases, by a clock that a test sets."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from support.fakes import JPEG, FakeTime, FakeTransport, Held, domain, jump, run_jumping, steps
from support.slots import AWAY, Holder, MemoryServerHost, MemoryServerStore, held, loop_runtime

from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConfigurationError, OverloadedError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots import GateState
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.queue import Waiter
from clova_ocr_async.slots.shared import ServerSlots
from clova_ocr_async.slots.sharing.membership import Grant, SyncResult
from clova_ocr_async.slots.sharing.outage import GRACE
from clova_ocr_async.slots.sharing.server_store import one_line
from clova_ocr_async.slots.sharing.state import Limits, Member
from clova_ocr_async.slots.sharing.store import StoreAwayError, transaction
from clova_ocr_async.slots.sharing.sync import GateSync

if TYPE_CHECKING:
    from clova_ocr_async.slots.limit import SlotResult

LIMITS = {"a": Limits(1), "b": Limits(5), "c": Limits()}
LEASE = 20.0


class Peer:
    """A process that syncs with a server that others use as well."""

    def __init__(self, rows: dict[str, bytes], time: FakeTime, place: str) -> None:
        self.time = time
        self.ahead = 0.0
        self.store = MemoryServerStore(rows, lambda: time.now + self.ahead)
        self.sync = GateSync(
            self.store, LIMITS, time.runtime(), LEASE, this_process=lambda: Process(place, 1, "1"), sleep=self.sleep
        )
        self.held: list[Grant] = []

    def sleep(self, seconds: float) -> None:
        """Put the clock forward."""
        self.time.now += seconds

    def run(self, key: str = "b", calls: int = 1) -> SyncResult:
        """Sync with some waiters of a domain; the slots that they get are held."""
        waiters = [Waiter[Grant]([key], interactive=False, since=self.time.now) for _ in range(calls)]
        self.sync.waiting = {key: waiters} if waiters else {}
        result = self.sync.run()
        self.held += [grant for _, grant in result.grants]
        self.sync.waiting = {}
        return result

    def take(self, key: str = "b", calls: int = 1) -> int:
        """Sync with some waiters of a domain, which then wait no more; return how many of them got a slot."""
        count = len(self.run(key, calls).grants)
        self.sync.run()
        return count

    def end(self, count: int = 1, result: SlotResult | None = None) -> None:
        """End some calls; the next sync reports them."""
        for _ in range(count):
            grant = self.held.pop(0)
            self.sync.finished.append((grant.key, (grant.permit, result)))


class Scene:
    """Two processes of two hosts that have been connected for a while."""

    def __init__(self) -> None:
        self.time = FakeTime()
        self.rows: dict[str, bytes] = {}
        self.one, self.two = self.peer("boot-1 pid:[1]"), self.peer("boot-2 pid:[1]")
        for peer in (self.one, self.two):
            peer.take()
            peer.end()
            peer.take(calls=0)
        self.time.now += GRACE

    def peer(self, place: str) -> Peer:
        """Return one more process."""
        return Peer(self.rows, self.time, place)

    def members(self, key: str = "b") -> dict[str, Member]:
        """Return the members of a domain that are stored."""
        with transaction(MemoryServerStore(self.rows, lambda: self.time.now), [key]) as gates:
            return gates[key].members

    def go(self, away: StoreAwayError | None) -> None:
        """Take the server away, or bring it back."""
        self.one.store.away = self.two.store.away = away

    def retry(self) -> None:
        """Let the longest time between two tries pass."""
        self.time.now += 3.0


@pytest.fixture
async def scene() -> Scene:
    """Set the scene; a waiter needs a running loop."""
    return Scene()


# ---------------------------------------------------------------------------------------------------------------------
# Conflicts


async def test_a_process_that_comes_second_syncs_again(scene: Scene) -> None:
    """When another process changes the slots in between, the sync is done again: the slot is granted once."""

    def come_first() -> None:
        scene.one.store.before_swap = int
        assert scene.two.take("a") == 1

    scene.one.store.before_swap = come_first
    assert scene.one.take("a") == 0
    assert sum(member.held for member in scene.members("a").values()) == 1


async def test_results_are_learned_once_in_spite_of_a_conflict(scene: Scene) -> None:
    """The finished calls of a sync that is done again count once."""
    assert scene.one.take("c", 4) == 4

    def come_first() -> None:
        scene.one.store.before_swap = int
        scene.two.run("c")

    scene.one.store.before_swap = come_first
    closed = scene.one.store.closed
    scene.one.end(1, LimitSignal(3))
    scene.one.sync.run()
    assert scene.one.store.closed == closed  # the same connection tries again
    with transaction(scene.one.store, ["c"]) as gates:
        assert gates["c"].limit.rejections == 1
        assert gates["c"].in_flight == 3


async def test_a_process_that_never_comes_first_goes_on_alone(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A sync that meets only conflicts ends within seconds, and then counts as an outage."""
    scene.one.take(calls=2)
    began = scene.time.now
    scene.one.store.before_swap = lambda: scene.rows.update({name: row + b" " for name, row in scene.rows.items()})
    scene.one.end()
    assert scene.one.take() == 1
    assert 5.0 <= scene.time.now - began < 6.0
    assert "other processes change it all the time" in caplog.text


async def test_a_poll_that_brings_nothing_writes_nothing(scene: Scene) -> None:
    """A sync that changes no more than the time is one request; the lease is renewed once a sixth of it has passed."""
    scene.two.take(calls=5)
    waiters = [Waiter[Grant](["b"], interactive=False, since=1.0)]
    scene.one.sync.waiting = {"b": waiters}
    scene.one.sync.run()
    before = scene.one.store.swaps
    for _ in range(30):
        scene.time.now += 0.1
        scene.one.sync.run()
    assert scene.one.store.swaps == before
    scene.time.now += 0.5
    scene.one.sync.run()
    assert scene.one.store.swaps == before + 1


# ---------------------------------------------------------------------------------------------------------------------
# Outages


async def test_a_process_goes_on_with_its_share(scene: Scene) -> None:
    """While the server is away, each process has as many calls in flight as at its last sync, and no more."""
    assert (scene.one.take(calls=3), scene.two.take(calls=9)) == (3, 2)
    scene.go(AWAY)
    scene.one.end(2)
    assert scene.one.take(calls=9) == 2
    assert scene.two.take(calls=9) == 0
    scene.two.end(2)
    scene.retry()
    assert scene.two.take(calls=9) == 2
    assert scene.one.take("a") == 0


async def test_a_process_without_a_share_waits(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """A process that held no slot gets none while the server is away, and one soon after the server is back."""
    scene.go(AWAY)
    assert scene.one.take() == 0
    assert caplog.text.count("until it can, nothing is sent") == 1
    scene.go(None)
    scene.retry()
    scene.one.run()
    scene.time.now += GRACE
    assert scene.one.take() == 1


async def test_the_server_is_tried_again_soon_and_then_less_often(scene: Scene) -> None:
    """A process comes back within 0.1 s, then within twice that, and at last every 3 s; in between nothing is asked."""
    scene.one.take()
    scene.go(AWAY)
    waits = list[float]()
    for _ in range(8):
        result = scene.one.run(calls=0)
        assert result.next_in is not None
        waits.append(result.next_in)
        scene.time.now += result.next_in
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0, 3.0])
    scene.one.run(calls=0)
    scene.go(None)
    scene.one.run(calls=0)
    scene.one.end()
    scene.one.run(calls=0)
    assert [member.held for member in scene.members().values()] == [1]  # not even asked before it is time
    scene.retry()
    scene.one.run(calls=0)
    assert not scene.members()


async def test_an_outage_is_logged_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """The beginning of an outage is a warning that names the server and the share; its end is another one."""
    caplog.set_level(logging.INFO)
    scene.one.take(calls=2)
    for away in (AWAY, AWAY, AWAY, None, None):
        scene.go(away)
        scene.retry()
        scene.one.run(calls=0)
    [(first, warning), last] = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert first == "WARNING"
    assert "memory://server cannot be used: it is away" in warning
    assert "keeps to the 2 slots" in warning
    assert last == ("WARNING", "slots: memory://server can be used again")


async def test_a_change_that_may_be_stored_lowers_the_share(scene: Scene) -> None:
    """When the server vanishes over a released slot, that slot may be another process's by now, and is not used."""
    scene.one.take(calls=3)
    scene.one.store.loses_replies = True
    scene.one.end(2)
    scene.one.run(calls=0)
    scene.one.store.loses_replies = False
    assert scene.two.take(calls=9) == 4
    assert scene.one.take(calls=9) == 0


async def test_a_grant_that_may_be_stored_is_not_used(scene: Scene) -> None:
    """When the server vanishes over a grant, no call has the slot, and the next sync releases it."""
    scene.one.take()
    scene.one.store.loses_replies = True
    assert not scene.one.run(calls=3).grants
    scene.one.store.loses_replies = False
    scene.go(None)
    scene.retry()
    scene.one.run(calls=0)
    assert [member.held for member in scene.members().values()] == [1]


async def test_results_of_an_outage_are_learned_for_its_time(scene: Scene) -> None:
    """A refusal during an outage lowers what the process sends; the limit that others share is as it was."""
    scene.one.take("c", 4)
    scene.go(AWAY)
    scene.one.end(1, LimitSignal(2))
    assert scene.one.take("c", 9) == 0
    scene.one.end(2, "admitted")
    result = scene.one.run("c", 9)
    assert len(result.grants) == 1
    assert result.seen["c"][0].value == 2
    scene.go(None)
    scene.retry()
    assert scene.one.run("c", 0).seen["c"][0].value == 4
    scene.go(AWAY)
    assert scene.one.run("c", 0).seen["c"][0].value == 4


async def test_the_state_in_an_outage_is_the_share(scene: Scene) -> None:
    """In an outage the state shows the share, and no calls of others: nobody can know of them."""
    scene.one.take("b", 2)
    scene.two.take("b", 2)
    scene.go(AWAY)
    seen = scene.one.run("b", 9).seen["b"]
    assert (seen.share, seen.elsewhere) == (2, 0)
    scene.go(None)
    scene.retry()
    seen = scene.one.run("b", 9).seen["b"]
    assert (seen.share, seen.elsewhere) == (None, 2)


async def test_users_see_their_share_in_an_outage() -> None:
    """The state of a domain has the calls that may be in flight in the outage as its ceiling, and none of others."""
    host = MemoryServerHost()
    one, two = host.slots(2), host.slots(2)
    async with held(Holder(one), Holder(two)):
        assert two.state(domain()) == GateState(ceiling=2, in_flight=1, elsewhere=1)
        host.stores[1].away = AWAY
        waiting = Holder(two, since=1.0)
        await steps()
        assert two.state(domain()) == GateState(ceiling=1, in_flight=1, waiting=1)
        host.stores[1].away = None
        waiting.task.cancel()
        await asyncio.wait([waiting.task])


def test_a_deadline_in_an_outage() -> None:
    """A call that has no slot in an outage fails when its deadline passes, with an estimate as if it had one."""

    async def main() -> None:
        host, answering = MemoryServerHost(), Held()
        slots = host.slots(3, runtime=loop_runtime())
        client = ClovaOCRClient(
            domain(), transport=FakeTransport(then=answering), slots=slots, runtime=loop_runtime(), deadline=60
        )
        first = asyncio.create_task(client.recognize(JPEG, Receipt))
        await answering.reached.wait()
        jump(5.0)
        answering.go_on.set()
        await first
        host.stores[0].away = AWAY
        late = asyncio.create_task(client.recognize(JPEG + b"2", Receipt))
        await steps()
        assert slots.state(domain()) == GateState(ceiling=0, waiting=1)
        jump(61.0)
        with pytest.raises(OverloadedError) as caught:
            await late
        assert caught.value.retry_after == pytest.approx(5.0, abs=0.5)

    run_jumping(main())


async def test_what_was_released_in_an_outage_is_reported_after_it(scene: Scene) -> None:
    """A process whose last call ended in an outage asks to come back, and leaves the server's slots then."""
    scene.one.take()
    scene.go(AWAY)
    scene.one.end()
    assert scene.one.run(calls=0).next_in is not None
    scene.go(None)
    assert len(scene.members()) == 1
    scene.retry()
    assert scene.one.run(calls=0).next_in is None
    assert not scene.members()
    assert not scene.one.store.is_open


async def test_settings_that_are_wrong_are_an_error(scene: Scene) -> None:
    """A server that refuses a process from the start is an error for its calls; later it counts as an outage."""
    refusal = StoreAwayError("memory://server", "wrong password", permanent=True)
    new = scene.peer("boot-3 pid:[1]")
    new.store.away = refusal
    with pytest.raises(ConfigurationError, match=r"memory://server cannot be used: wrong password"):
        new.run()
    scene.one.take()
    scene.go(refusal)
    scene.one.end()
    assert scene.one.take(calls=3) == 1


async def test_a_server_that_was_never_reached_is_an_error(scene: Scene) -> None:
    """A server that a process has never reached is an error each time, that may pass; once reached, it may go away."""
    new = scene.peer("boot-3 pid:[1]")
    new.store.away = AWAY
    for _ in range(2):
        with pytest.raises(
            ConfigurationError, match=r"slots: memory://server .*: it is away; nothing was sent"
        ) as caught:
            new.run()
        assert caught.value.retryable
    new.store.away = None
    scene.time.now += GRACE
    assert new.take() == 1
    new.store.away = AWAY
    new.end()
    assert new.take() == 1


async def test_a_server_that_takes_no_change_is_an_error(scene: Scene) -> None:
    """A replica, or a server without room, answers and stores nothing: a new process fails, one with slots goes on."""
    new = scene.peer("boot-3 pid:[1]")

    def refuse() -> None:
        raise AWAY

    scene.one.take()
    for peer in (new, scene.one):
        peer.store.before_swap = refuse
    with pytest.raises(ConfigurationError, match="it is away; nothing was sent") as caught:
        new.take()
    assert caught.value.retryable
    scene.one.end()
    assert scene.one.take(calls=3) == 1


async def test_a_program_can_look_for_its_server(scene: Scene) -> None:
    """A look at the server raises what the first call would, stores nothing, and leaves no connection open."""
    store = MemoryServerStore(scene.rows, lambda: scene.time.now)
    slots = ServerSlots(lambda: store, Limits(), scene.time.runtime())
    before = scene.rows.copy()
    slots.check_server()
    assert (scene.rows, store.swaps, store.is_open) == (before, 0, False)
    store.away = AWAY
    with pytest.raises(ConfigurationError, match="it is away; nothing was sent: check the URL") as caught:
        slots.check_server()
    assert caught.value.retryable
    store.away = StoreAwayError("memory://server", "wrong password", permanent=True)
    with pytest.raises(ConfigurationError, match=r"wrong password$") as caught:
        slots.check_server()
    assert not caught.value.retryable


async def test_a_server_that_many_begin_at_once_is_waited_for(scene: Scene) -> None:
    """A process that reached the server and never came first has no wrong settings: it waits, and goes on."""
    new = scene.peer("boot-3 pid:[1]")
    new.store.before_swap = lambda: scene.rows.update({name: row + b" " for name, row in scene.rows.items()})
    assert new.take() == 0
    new.store.before_swap = int
    scene.retry()
    new.run()
    scene.time.now += GRACE
    assert new.take() == 1


# ---------------------------------------------------------------------------------------------------------------------
# After an outage


async def test_after_an_outage_a_process_keeps_to_its_share_for_a_while(scene: Scene) -> None:
    """Though the server has lost its contents, the first process that comes back takes no slot that others use."""
    assert (scene.one.take(calls=2), scene.two.take(calls=9)) == (2, 3)
    scene.go(AWAY)
    scene.one.run(calls=0)
    scene.two.run(calls=0)
    scene.rows.clear()
    scene.go(None)
    scene.retry()
    assert scene.one.take(calls=9) == 0
    scene.one.end()
    assert scene.one.take(calls=9) == 1
    scene.two.run(calls=0)
    scene.time.now += GRACE
    scene.two.end(3)
    scene.two.run(calls=0)
    assert scene.one.take(calls=9) == 3


async def test_contents_that_the_server_has_lost_are_no_free_slots(scene: Scene) -> None:
    """If a key is evicted, or removed by hand, calls in flight keep their slots until their process syncs again."""
    assert len(scene.one.run(calls=5).grants) == 5
    assert scene.two.run().grants == []
    scene.rows.clear()
    assert scene.two.run().grants == []
    scene.time.now += scene.one.sync.renew_every
    scene.one.run(calls=0)
    scene.time.now += GRACE
    assert scene.two.run().grants == []
    scene.one.end()
    scene.one.run(calls=0)
    assert len(scene.two.run().grants) == 1


async def test_after_an_outage_no_lease_is_over_for_a_while(scene: Scene) -> None:
    """After an outage that outlasted the leases, each process keeps its slots, if it comes back soon."""
    assert (scene.one.take(calls=2), scene.two.take(calls=9)) == (2, 3)
    scene.go(AWAY)
    for _ in range(12):
        scene.retry()
        scene.one.run(calls=0)
        scene.two.run(calls=0)
    scene.go(None)
    scene.retry()
    assert scene.one.take(calls=9) == 0
    assert scene.peer("boot-3 pid:[1]").take(calls=9) == 0
    scene.two.run(calls=0)
    scene.time.now += GRACE
    assert scene.one.take(calls=9) == 0
    assert sorted(member.held for member in scene.members().values()) == [2, 3]


async def test_a_process_that_does_not_come_back_loses_its_slots(scene: Scene) -> None:
    """The slots of a process that died on another host are free after its lease, for a new process soon after."""
    scene.two.take(calls=5)
    scene.time.now += LEASE
    assert scene.one.take(calls=9) == 0
    scene.time.now += 0.1
    new = scene.peer("boot-3 pid:[1]")
    assert new.take(calls=9) == 0
    scene.time.now += GRACE
    assert new.take(calls=9) == 5


# ---------------------------------------------------------------------------------------------------------------------
# Leases


async def test_a_slot_is_held_as_long_as_the_lease(scene: Scene) -> None:
    """A slot is lost when its process has not synced for a lease, and no later sync gives it back."""
    scene.one.take()
    [old] = scene.one.held
    scene.time.now += LEASE - 0.1
    assert scene.one.sync.holds(old)
    scene.one.run(calls=0)
    scene.time.now += LEASE - 0.1
    assert scene.one.sync.holds(old)
    scene.time.now += 0.1
    assert not scene.one.sync.holds(old)
    assert scene.one.take() == 1
    [_, new] = scene.one.held
    assert [scene.one.sync.holds(grant) for grant in (old, new)] == [False, True]


async def test_a_slot_that_others_took_is_lost(scene: Scene) -> None:
    """A process that finds itself no member any more has lost its slots, though its own clock shows no stop."""
    scene.one.take()
    with transaction(scene.two.store, ["b"]) as gates:
        gates["b"].members.clear()
    scene.one.run(calls=1)
    assert [scene.one.sync.holds(grant) for grant in scene.one.held] == [False, True]


async def test_the_lease_counts_from_before_the_request(scene: Scene) -> None:
    """A process that is stopped between the server's answer and the next step has lost the slot it was granted."""
    scene.one.store.before_swap = lambda: scene.one.sleep(LEASE)
    assert scene.one.take() == 1
    [grant] = scene.one.held
    assert not scene.one.sync.holds(grant)


async def test_a_process_that_was_stopped_in_an_outage_has_no_share(scene: Scene) -> None:
    """A process that did not even try for a lease cannot know whether others have its slots, and sends nothing."""
    scene.one.take(calls=2)
    scene.go(AWAY)
    scene.one.end()
    assert scene.one.take() == 1
    scene.time.now += LEASE
    scene.one.end()
    assert scene.one.take() == 0
    scene.go(None)
    scene.retry()
    scene.one.run(calls=0)
    scene.time.now += GRACE
    assert scene.one.take() == 1


async def test_a_clock_that_is_set_moves_the_waiters(scene: Scene) -> None:
    """The times of waiters follow the server's clock when it is set, and not the duration of a request."""
    scene.two.take("a")
    waiter = Waiter[Grant](["a"], interactive=False, since=scene.time.now)
    scene.one.sync.waiting = {"a": [waiter]}
    for ahead, shown in ((0.05, 0.0), (-0.05, 0.0), (5.0, 5.0), (5.05, 5.0)):
        scene.one.ahead = ahead
        scene.one.sync.run()
        head = next(member.head for member in scene.members("a").values() if member.head is not None)
        assert head[1] - scene.time.now == shown


# ---------------------------------------------------------------------------------------------------------------------
# Messages


def test_the_text_of_an_error_is_one_short_line_without_a_password() -> None:
    """The reason of an outage is one line, not longer than a line, and repeats no password."""
    assert one_line(OSError("refused\n\tby  the server"), None) == "refused by the server"
    assert one_line(OSError("wrong password s3cret"), "s3cret") == "wrong password ***"
    assert one_line(OSError(), None) == "OSError"
    assert len(one_line(OSError("x" * 1000), "")) == 301
