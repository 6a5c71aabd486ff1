from __future__ import annotations

import asyncio
import logging
import signal

import pytest

from clova_ocr_async.batch.stop import StopState, StopSwitch
from clova_ocr_async.errors import AuthenticationError, ConfigurationError, InvalidRequestError, NotSentError

REASON = ConfigurationError("enough")
EVENTS = {
    "end_input": lambda switch: switch.end_input(),
    "fail": lambda switch: switch.fail(ZeroDivisionError()),
    "stop": lambda switch: switch.stop(REASON),
    "a fatal error": lambda switch: switch.note_error(AuthenticationError(401)),
    "leave with a ledger": lambda switch: switch.leave(waits=True, cancelled=False),
    "cancel with a ledger": lambda switch: switch.leave(waits=True, cancelled=True),
    "leave without a ledger": lambda switch: switch.leave(waits=False, cancelled=False),
    "cut_off": lambda switch: switch.cut_off(),
}
LEADS_TO = {
    "end_input": StopState.DRAINING,
    "fail": StopState.DRAINING,
    "stop": StopState.STOPPED,
    "a fatal error": StopState.STOPPED,
    "leave with a ledger": StopState.STOPPED,
    "cancel with a ledger": StopState.STOPPED,
    "leave without a ledger": StopState.CUT_OFF,
    "cut_off": StopState.CUT_OFF,
}


def switch_in(state: StopState) -> StopSwitch:
    """Return a switch in a state."""
    switch = StopSwitch()
    for name in {StopState.DRAINING: ["end_input"], StopState.STOPPED: ["leave with a ledger"]}.get(state, []):
        EVENTS[name](switch)
    if state is StopState.CUT_OFF:
        switch.cut_off()
    assert switch.state is state
    return switch


@pytest.mark.parametrize("state", StopState)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_leads_to_its_state_and_never_back(event: str, state: StopState) -> None:
    """Each event moves a batch to the state that the table gives, unless it is further on already."""
    switch = switch_in(state)
    seen: list[StopState] = []
    switch.subscribe(seen.append)
    EVENTS[event](switch)
    expected = max(state, LEADS_TO[event])
    assert switch.state is expected
    assert seen == ([expected] if expected is not state else [])


def test_a_cancellation_after_stop_cuts_the_calls_off() -> None:
    """After stop, a cancellation is the second request to end; leaving in any other way waits for the calls."""
    for cancelled, state in ((True, StopState.CUT_OFF), (False, StopState.STOPPED)):
        switch = StopSwitch()
        switch.stop(REASON)
        assert switch.leave(waits=True, cancelled=cancelled) is (state is StopState.STOPPED)
        assert switch.state is state


def test_a_cancellation_after_a_fatal_error_waits_for_the_calls() -> None:
    """An error that stops a batch is not a request to end, so that the first cancellation cuts nothing off."""
    switch = StopSwitch()
    switch.note_error(AuthenticationError(401))
    assert switch.leave(waits=True, cancelled=True)
    assert switch.state is StopState.STOPPED


@pytest.mark.parametrize("state", [StopState.PULLING, StopState.DRAINING])
def test_requests_leave_until_the_batch_is_stopped(state: StopState) -> None:
    """While images are pulled, and while the last of them are sent, nothing keeps a request from leaving."""
    switch = switch_in(state)
    switch.check_may_send()
    assert not switch.sends_nothing


def test_no_request_leaves_a_stopped_batch() -> None:
    """A stopped batch refuses a request with the first reason; one that is cut off cancels the call."""
    switch = StopSwitch()
    switch.stop(REASON)
    switch.stop(ConfigurationError("more than enough"))
    assert switch.sends_nothing
    with pytest.raises(NotSentError) as caught:
        switch.check_may_send()
    assert caught.value.reason is switch.reason is REASON
    switch.cut_off()
    with pytest.raises(asyncio.CancelledError):
        switch.check_may_send()


def test_a_batch_that_is_left_has_no_reason() -> None:
    """An image that was not sent because its batch was left names no error."""
    switch = switch_in(StopState.STOPPED)
    with pytest.raises(NotSentError, match="not sent yet"):
        switch.check_may_send()


def test_an_error_of_one_image_is_its_own() -> None:
    """An error that other images would not meet stops nothing."""
    switch, error = StopSwitch(), InvalidRequestError(400, "0011")
    assert switch.note_error(error) is error
    assert (switch.state, switch.reason) == (StopState.PULLING, None)


def test_the_first_fatal_error_is_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    """The first error that all would meet is logged once; later ones stand where a request was sent for them."""
    switch, first, unsent, sent = StopSwitch(), *(AuthenticationError(401) for _ in range(3))
    sent.attempts = 1
    with caplog.at_level(logging.WARNING):
        assert switch.note_error(first) is first
        assert switch.note_error(sent) is sent
        other = switch.note_error(unsent)
    assert isinstance(other, NotSentError)
    assert other.reason is switch.reason is first
    assert [record.name for record in caplog.records] == ["clova_ocr_async.batch.outcome"]


def test_the_first_failure_of_the_iterable_is_kept() -> None:
    """The first exception of the iterable is the one that the batch raises."""
    switch, first = StopSwitch(), ZeroDivisionError("first")
    assert switch.failure is None
    switch.fail(first)
    switch.fail(ZeroDivisionError("second"))
    assert switch.failure is first


def test_an_interrupt_comes_when_all_parts_are_told() -> None:
    """Ctrl-C while the parts of a batch are told its state is raised when all of them know it."""
    told: list[StopState] = []
    switch = StopSwitch()
    switch.subscribe(lambda _: signal.raise_signal(signal.SIGINT))
    switch.subscribe(told.append)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            switch.cut_off()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (told, switch.state) == ([StopState.CUT_OFF], StopState.CUT_OFF)
