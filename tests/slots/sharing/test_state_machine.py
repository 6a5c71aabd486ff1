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
    from clova_ocr_async.slots.sharing.state import MemberGrants, Order

DATA, HERE = st.data(), Process.this()
PORTS = range(1, 5)


@dataclass(frozen=True)
class Waiter:
    """Somebody who waits."""

    order: Order


@dataclass
class Model:
    """A member as it knows itself."""

    port: int
    limits: Limits
    process: Process = field(default_factory=remote_process)
    generation: int = 0
    waiting: list[Waiter] = field(default_factory=list[Waiter])
    calls: list[Permit] = field(default_factory=list["Permit"])
    ended: list[Permit] = field(default_factory=list["Permit"])
    rung: float | None = None
    asleep: bool = False
    came: float = 0.0

    @property
    def name(self) -> str:
        """Its name at the gate."""
        return f"{self.port}-{self.generation}"


class GateMachine(RuleBasedStateMachine):
    """One gate and several members, who come, go, sleep and die, against a model of them."""

    def __init__(self) -> None:
        super().__init__()
        self.time = FakeTime()
        self.gate = SharedGate()
        self.members: dict[int, Model] = {}
        self.count = 0
        self.came_too_late = False  # then calls are under way that nobody had counted any more

    @initialize(limit=st.integers(1, 5), most=st.sampled_from([None, None, 2]))
    def begin(self, limit: int, most: int | None) -> None:
        """Begin with a ceiling; one member may want fewer calls at once."""
        self.gate.ceiling = ConcurrencyLimit(limit=limit, named=limit, refused=1, growing=False, rejections=1)
        self.members = {port: Model(port, Limits(most if port == 1 else None)) for port in PORTS}

    def come(self, model: Model) -> MemberGrants[Waiter]:
        """Let a member come."""
        offered = self.has_an_offer(model)
        model.rung, model.came = None, self.time.now
        self.came_too_late |= bool(model.calls) and model.name not in self.gate.members
        model.waiting.sort(key=lambda waiter: waiter.order)
        me = Member(model.process, model.port, self.time.now + LEASE, model.limits)
        landed = [(entry, None) for entry in model.ended]
        visit = MemberUpdate(len(model.calls), landed, list(model.waiting))
        before = self.first_of_others(model)
        answers = self.gate.visit(model.name, me, visit, self.time.runtime())
        model.ended.clear()
        assert [waiter for waiter, _ in answers.granted] == model.waiting[: len(answers.granted)]
        # Nobody of whom the gate knew that he is awake and may go was overtaken; unless he got an offer just now.
        for waiter, _ in answers.granted:
            assert all(order >= waiter.order for port, order in before.items() if port not in answers.woken)
        # Who comes in time for an offer has a slot, or leaves it to one who was before him; but for a member that wants
        # fewer calls at once than others, who have reached its bound since.
        full = model.limits.most is not None and self.gate.in_flight >= model.limits.most
        assert answers.granted or answers.woken or full or not offered
        del model.waiting[: len(answers.granted)]
        model.calls += [entry for _, entry in answers.granted]
        for port in answers.woken:
            self.members[port].rung = self.time.now
        return answers

    def has_an_offer(self, model: Model) -> bool:
        """Whether a member was rung in time, and still has somebody to take the slot."""
        return (
            bool(model.waiting)
            and not self.came_too_late
            and model.name in self.gate.members
            and model.rung is not None
            and self.time.now - model.rung < 0.1
        )

    def first_of_others(self, model: Model) -> dict[int, Order]:
        """Return whose turn it is of each other member that is not known to sleep, and that may have a slot at all."""
        return {
            member.port: member.first
            for name, member in self.gate.members.items()
            if name != model.name
            and member.first is not None
            and member.offered is None
            and (member.limits.most is None or member.limits.most >= self.gate.ceiling.limit)
        }

    @rule(port=st.sampled_from(PORTS), many=st.integers(1, 4), interactive=st.booleans(), data=DATA)
    def arrive(self, port: int, many: int, data: st.DataObject, *, interactive: bool) -> None:
        """Some come to wait, now or with an older time; their member comes at once."""
        model = self.members[port]
        for _ in range(many):
            self.count += 1
            since = data.draw(st.integers(0, 20))
            model.waiting.append(Waiter((not interactive, float(since), self.count)))
        if not model.asleep:
            self.come(model)

    @rule(port=st.sampled_from(PORTS))
    def look(self, port: int) -> None:
        """A member comes without cause."""
        if not self.members[port].asleep:
            self.come(self.members[port])

    @rule(port=st.sampled_from(PORTS), data=DATA)
    def end(self, port: int, data: st.DataObject) -> None:
        """A call ends."""
        model = self.members[port]
        if model.calls:
            model.ended.append(model.calls.pop(data.draw(st.integers(0, len(model.calls) - 1))))
            if not model.asleep:
                self.come(model)

    @rule(port=st.sampled_from(PORTS), data=DATA)
    def cancel(self, port: int, data: st.DataObject) -> None:
        """Somebody waits no more."""
        model = self.members[port]
        if model.waiting:
            model.waiting.pop(data.draw(st.integers(0, len(model.waiting) - 1)))
            if not model.asleep:
                self.come(model)

    @precondition(lambda self: not any(model.asleep for model in self.members.values()))
    @rule(port=st.sampled_from(PORTS))
    def sleep(self, port: int) -> None:
        """A member stops; one at a time."""
        self.members[port].asleep = True

    @rule(port=st.sampled_from(PORTS))
    def wake(self, port: int) -> None:
        """A member goes on, and comes."""
        if self.members[port].asleep:
            self.members[port].asleep = False
            self.come(self.members[port])

    @precondition(lambda self: self.count % 5 == 4)
    @rule(port=st.sampled_from(PORTS))
    def die(self, port: int) -> None:
        """A member dies, and is started again later."""
        old = self.members[port]
        if old.name in self.gate.members:
            self.gate.members[old.name].process = dead_process()
        self.members[port] = Model(port, old.limits, generation=old.generation + 1)
        self.gate.dismiss_gone(HERE, self.time.now, "")
        assert old.name not in self.gate.members

    @rule(seconds=st.sampled_from([0.05, 0.1, 1.0, LEASE / 2]))
    def go_on(self, seconds: float) -> None:
        """Time passes; who is awake and has something to do comes often enough."""
        self.time.now += seconds
        for model in self.members.values():
            if not model.asleep and (model.calls or model.waiting):
                self.come(model)

    @rule()
    def answer_the_bell(self) -> None:
        """Who was rung, and is awake, comes."""
        for model in self.members.values():
            if model.rung is not None and not model.asleep:
                self.come(model)

    @rule()
    def a_free_slot_finds_somebody(self) -> None:
        """After one more offer's time, and a look of all who are awake and wait, no slot is free that one may have."""
        self.time.now += 0.11  # floats: 1030.1 - 1030.0 is less than 0.1
        self.gate.dismiss_gone(HERE, self.time.now, "")
        for _ in PORTS:
            for model in self.members.values():
                if not model.asleep:
                    self.come(model)
        taken, limit = self.gate.in_flight, self.gate.ceiling.limit
        for model in self.members.values():
            if model.waiting and not model.asleep:
                assert taken >= min(limit, model.limits.most or limit)

    @invariant()
    def no_slot_is_lost_or_given_twice(self) -> None:
        """The gate counts what its members hold, and lets no more be held and offered than the limit."""
        for model in self.members.values():
            at_gate = self.gate.members.get(model.name)
            if at_gate is not None:
                assert at_gate.held == len(model.calls) + len(model.ended)
            else:
                assert model.came + LEASE < self.time.now or not model.calls + model.ended
        if not self.came_too_late:
            on_offer = sum(
                member.offered is not None and self.time.now - member.offered < 0.1
                for member in self.gate.members.values()
            )
            assert self.gate.in_flight + on_offer <= self.gate.ceiling.limit


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
