from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.fakes import FakeTime
from support.ledgers import dead_process, remote_process

from clova_ocr_async.host.processes import Process
from clova_ocr_async.slots.limit import ConcurrencyLimit
from clova_ocr_async.slots.sharing.state import LEASE, Limits, Member, MemberUpdate, SharedGate

if TYPE_CHECKING:
    from clova_ocr_async.slots.limit import Permit
    from clova_ocr_async.slots.queue import Priority
    from clova_ocr_async.slots.sharing.state import MemberGrants

DATA, HERE = st.data(), Process.this()
PORTS = range(1, 5)


@dataclass(frozen=True)
class Waiter:
    """A call that waits."""

    priority: Priority


@dataclass
class Model:
    """A member as its process sees it."""

    port: int
    limits: Limits
    process: Process = field(default_factory=remote_process)
    generation: int = 0
    waiting: list[Waiter] = field(default_factory=list[Waiter])
    calls: list[Permit] = field(default_factory=list["Permit"])
    finished: list[Permit] = field(default_factory=list["Permit"])
    woken_at: float | None = None
    stopped: bool = False
    updated_at: float = 0.0

    @property
    def name(self) -> str:
        """Its name in the store."""
        return f"{self.port}-{self.generation}"


class GateMachine(RuleBasedStateMachine):
    """The slots of one domain and several members that come, go, are stopped and die, against a model of them."""

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeTime()
        self.gate = SharedGate()
        self.members: dict[int, Model] = {}
        self.count = 0
        self.came_too_late = False  # then calls are in flight that were counted no more

    @initialize(limit=st.integers(1, 5), max_concurrency=st.sampled_from([None, None, 2]))
    def begin(self, limit: int, max_concurrency: int | None) -> None:
        """Begin with a limit; one member may have a lower one of its own."""
        self.gate.limit = ConcurrencyLimit(
            value=limit, advertised=limit, consecutive_refusals=1, slow_start=False, rejections=1
        )
        self.members = {port: Model(port, Limits(max_concurrency if port == 1 else None)) for port in PORTS}

    def update(self, model: Model) -> MemberGrants[Waiter]:
        """Update a member."""
        offered = self.has_an_offer(model)
        model.woken_at, model.updated_at = None, self.time.now
        self.came_too_late |= bool(model.calls) and model.name not in self.gate.members
        model.waiting.sort(key=lambda waiter: waiter.priority)
        me = Member(model.process, model.port, self.time.now + LEASE, model.limits)
        finished = [(permit, None) for permit in model.finished]
        update = MemberUpdate(len(model.calls), finished, list(model.waiting))
        before = self.first_of_others(model)
        grants = self.gate.update(model.name, me, update, self.time.now, self.time.runtime().uniform)
        model.finished.clear()
        assert [waiter for waiter, _ in grants.granted] == model.waiting[: len(grants.granted)]
        # No waiter was overtaken whose member was known to be awake and might have a slot, unless it got an offer now.
        for waiter, _ in grants.granted:
            assert all(
                priority >= waiter.priority for port, priority in before.items() if port not in grants.wakeup_ports
            )
        # A member that comes in time for an offer gets a slot, or leaves it to an earlier waiter. The exception is a
        # member with a lower limit of its own, which the calls of other members have reached since:
        # its slot goes to another member that may have it.
        full = model.limits.max_concurrency is not None and self.gate.in_flight >= model.limits.max_concurrency
        free = self.gate.in_flight + self.on_offer() < self.gate.limit.value
        assert grants.granted or grants.wakeup_ports or not offered or (full and not (free and before))
        del model.waiting[: len(grants.granted)]
        model.calls += [permit for _, permit in grants.granted]
        for port in grants.wakeup_ports:
            self.members[port].woken_at = self.time.now
        return grants

    def on_offer(self) -> int:
        """Return how many slots are on offer."""
        return sum(
            member.offered_at is not None and self.time.now - member.offered_at < 0.1
            for member in self.gate.members.values()
        )

    def has_an_offer(self, model: Model) -> bool:
        """Return whether a member was woken in time, and still has a waiter that takes the slot."""
        return (
            bool(model.waiting)
            and not self.came_too_late
            and model.name in self.gate.members
            and model.woken_at is not None
            and self.time.now - model.woken_at < 0.1
        )

    def first_of_others(self, model: Model) -> dict[int, Priority]:
        """Return the first waiters of the other members that are not known to be stopped and may have a slot."""
        return {
            member.wakeup_port: member.head
            for name, member in self.gate.members.items()
            if name != model.name
            and member.head is not None
            and member.offered_at is None
            and (member.limits.max_concurrency is None or member.limits.max_concurrency >= self.gate.limit.value)
        }

    @rule(port=st.sampled_from(PORTS), many=st.integers(1, 4), interactive=st.booleans(), data=DATA)
    def arrive(self, port: int, many: int, data: st.DataObject, *, interactive: bool) -> None:
        """Some calls begin to wait, now or with an older time; their member is updated at once."""
        model = self.members[port]
        for _ in range(many):
            self.count += 1
            since = data.draw(st.integers(0, 20))
            model.waiting.append(Waiter((not interactive, float(since), self.count)))
        if not model.stopped:
            self.update(model)

    @rule(port=st.sampled_from(PORTS))
    def query(self, port: int) -> None:
        """A member is updated without cause."""
        if not self.members[port].stopped:
            self.update(self.members[port])

    @rule(port=st.sampled_from(PORTS), data=DATA)
    def end(self, port: int, data: st.DataObject) -> None:
        """A call ends."""
        model = self.members[port]
        if model.calls:
            model.finished.append(model.calls.pop(data.draw(st.integers(0, len(model.calls) - 1))))
            if not model.stopped:
                self.update(model)

    @rule(port=st.sampled_from(PORTS), data=DATA)
    def cancel(self, port: int, data: st.DataObject) -> None:
        """A call waits no more."""
        model = self.members[port]
        if model.waiting:
            model.waiting.pop(data.draw(st.integers(0, len(model.waiting) - 1)))
            if not model.stopped:
                self.update(model)

    @precondition(lambda self: not any(model.stopped for model in self.members.values()))
    @rule(port=st.sampled_from(PORTS))
    def stop(self, port: int) -> None:
        """A process is stopped; one at a time."""
        self.members[port].stopped = True

    @rule(port=st.sampled_from(PORTS))
    def go_on(self, port: int) -> None:
        """A stopped process goes on, and updates its member."""
        if self.members[port].stopped:
            self.members[port].stopped = False
            self.update(self.members[port])

    @precondition(lambda self: self.count % 5 == 4)
    @rule(port=st.sampled_from(PORTS))
    def die(self, port: int) -> None:
        """A process dies, and is started again."""
        old = self.members[port]
        if old.name in self.gate.members:
            self.gate.members[old.name].process = dead_process()
        self.members[port] = Model(port, old.limits, generation=old.generation + 1)
        self.gate.evict_dead(HERE, self.time.now, "")
        assert old.name not in self.gate.members

    @rule(seconds=st.sampled_from([0.05, 0.1, 1.0, LEASE / 2]))
    def pass_time(self, seconds: float) -> None:
        """Time passes; each running process with calls updates its member often enough."""
        self.time.now += seconds
        for model in self.members.values():
            if not model.stopped and (model.calls or model.waiting):
                self.update(model)

    @rule()
    def follow_wake_ups(self) -> None:
        """Each running process that was woken updates its member."""
        for model in self.members.values():
            if model.woken_at is not None and not model.stopped:
                self.update(model)

    @rule()
    def a_free_slot_finds_a_waiter(self) -> None:
        """After an offer and one to a stopped process, and updates of the others, no slot is free for a waiter."""
        for _ in range(2):  # the first offer may be one that a running process has not followed
            self.time.now += 0.11  # floats: 1030.1 - 1030.0 is less than 0.1
            self.gate.evict_dead(HERE, self.time.now, "")
            for _ in PORTS:
                for model in self.members.values():
                    if not model.stopped:
                        self.update(model)
        taken, limit = self.gate.in_flight, self.gate.limit.value
        for model in self.members.values():
            if model.waiting and not model.stopped:
                assert taken >= min(limit, model.limits.max_concurrency or limit)

    @invariant()
    def no_slot_is_lost_or_granted_twice(self) -> None:
        """The held slots are counted as their members hold them, and no more are held and offered than the limit."""
        for model in self.members.values():
            at_gate = self.gate.members.get(model.name)
            if at_gate is not None:
                assert at_gate.held == len(model.calls) + len(model.finished)
            else:
                assert model.updated_at + LEASE < self.time.now or not model.calls + model.finished
        if not self.came_too_late:
            assert self.gate.in_flight + self.on_offer() <= self.gate.limit.value


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
