"""Who pays, from when, until when, by events of an Asterisk: the captured ones, in every order and however often."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.asterisk.ami_wire import AmiConnection, AmiMessage
from daemon.asterisk.events import Event, decode, instant
from daemon.asterisk.legs import Alone, Began, Closed, Ended, Grant, Intent, Legs, Tried, Unanswered, Vanished
from daemon.authorize.attempt import CallAttempt, Identity
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "asterisk"
CALLER, CALLED = "1795457659.2", "1795457659.3"
DIALS = ((1, "PJSIP/442071231234@other"), (2, "PJSIP/442071231234@carrier"))
T0 = 1_800_000_000 * SECOND


def grant(channel: str = CALLER, direction: Direction = Direction.OUTBOUND, grant_id: str = "g1") -> Grant:
    attempt = CallAttempt(
        "ast1", channel, "main", "asterisk", "ast1", Identity(account="acme"), "442071231234", direction=direction
    )
    return Grant(attempt, grant_id, 1, DIALS, asked_at=T0)


def events(name: str) -> list[Event]:
    """Return the events of a capture."""
    read = AmiConnection().receive_data(gzip.decompress((VECTORS / f"{name}.ami.gz").read_bytes()))
    return [decode(message) for message in read if isinstance(message, AmiMessage) and message.get("Event")]


def granted(legs: Legs, *, direction: Direction = Direction.OUTBOUND, up: bool = False) -> list[Intent]:
    found = legs.granted(grant(direction=direction), up=up, at=T0)
    assert found is not None
    return found


def fed(legs: Legs, told: list[Event]) -> list[Intent]:
    """Return what events mean that come a second apart."""
    return [intent for place, event in enumerate(told) for intent in legs.on_event(event, T0 + place * SECOND)]


def kinds(intents: list[Intent]) -> list[type[Intent]]:
    return [type(intent) for intent in intents]


ABOUT = [event for event in events("cut-off-at-limit") if CALLER in (event.uniqueid, event.called)]
TALK = [event for event in events("cut-off-at-limit") if event.uniqueid in (CALLER, CALLED)]


class TestACapturedCall:
    def test_is_paid_from_the_called_sides_answer_until_the_bridge_ends(self) -> None:
        legs = Legs()
        granted(legs)
        intents = fed(legs, TALK)
        assert kinds(intents) == [Tried, Began, Alone, Ended, Closed]
        _, began, _, ended, _ = intents
        assert isinstance(began, Began)
        assert isinstance(ended, Ended)
        answer = next(place for place, event in enumerate(TALK) if event.name == "DialEnd")
        leaves = next(
            place for place, event in enumerate(TALK) if (event.name, event.uniqueid) == ("BridgeLeave", CALLER)
        )
        assert began.paid.answered_at == T0 + answer * SECOND
        assert (ended.at, ended.cause, ended.alive) == (T0 + leaves * SECOND, "16", False)
        assert began.paid.route == 2, "by its dial string, of which the manager leaves out the technology"
        assert legs.channels() == []

    def test_that_was_answered_and_goes_on_is_not_ended(self) -> None:
        legs = Legs()
        legs.granted(grant("1795457649.0"), up=False, at=T0)
        assert kinds(fed(legs, events("answered"))) == [Tried, Began]

    def test_that_was_denied_pays_nothing(self) -> None:
        assert fed(Legs(), events("denied")) == []

    def test_that_nobody_asked_about_pays_nothing(self) -> None:
        assert fed(Legs(), TALK) == []


class TestAnOrder:
    @given(st.permutations(range(len(TALK))), st.lists(st.integers(0, len(TALK) - 1), max_size=6))
    def test_of_any_kind_charges_one_call_at_most_once(self, order: list[int], again: list[int]) -> None:
        legs = Legs()
        granted(legs)
        told = [TALK[place] for place in order]
        for place in again:
            told.insert(place, TALK[place])
        intents = fed(legs, told)
        began = [intent for intent in intents if isinstance(intent, Began)]
        ended = [intent for intent in intents if isinstance(intent, Ended)]
        authorised = [intent for intent in began if intent.paid.grant.grant_id]
        assert len(authorised) <= 1
        assert [each.paid for each in ended] == [each.paid for each in began], "what began ended, and in its order"
        assert kinds(intents).count(Closed) == 1
        assert bool(authorised) is not any(isinstance(intent, Unanswered) for intent in intents)
        assert all(each.at >= each.paid.answered_at for each in ended)
        assert legs.channels() == []


class TestAGrant:
    def test_of_a_channel_that_hung_up_is_not_taken(self) -> None:
        legs = Legs()
        legs.on_event(Event("Hangup", uniqueid=CALLER), T0)
        assert legs.granted(grant(), up=False, at=T0) is None

    def test_that_was_not_told_is_let_go_of_once(self) -> None:
        legs = Legs()
        granted(legs)
        assert legs.withdrawn(CALLER)
        assert not legs.withdrawn(CALLER)
        assert kinds(legs.on_event(Event("Hangup", uniqueid=CALLER), T0)) == [Closed]

    def test_of_a_second_question_ends_the_call_before(self) -> None:
        legs = Legs()
        granted(legs)
        legs.on_event(Event("DialEnd", uniqueid=CALLER, called=CALLED, dial_status="ANSWER"), T0 + SECOND)
        (ended,) = legs.granted(grant(grant_id="g2"), up=False, at=T0 + 5 * SECOND) or []
        assert isinstance(ended, Ended)
        assert (ended.at, ended.alive, ended.paid.grant.grant_id) == (T0 + 5 * SECOND, True, "g1")

    def test_that_nobody_answers_is_unanswered_with_the_route_that_was_tried(self) -> None:
        legs = Legs()
        granted(legs)
        begin = next(event for event in ABOUT if event.name == "DialBegin")
        intents = fed(legs, [begin, Event("DialEnd", uniqueid=CALLER, called=CALLED, dial_status="BUSY")])
        intents += legs.on_event(Event("Hangup", uniqueid=CALLER, cause="17"), T0)
        assert kinds(intents) == [Tried, Unanswered, Closed]
        gone = intents[1]
        assert isinstance(gone, Unanswered)
        assert (gone.cause, gone.route, gone.called, gone.vanished) == ("17", 2, True, False)


class TestAnInboundService:
    def test_pays_from_its_own_answer_to_its_own_end(self) -> None:
        legs = Legs()
        assert granted(legs, direction=Direction.INBOUND) == []
        assert legs.on_event(Event("DialEnd", uniqueid=CALLER, called=CALLED, dial_status="ANSWER"), T0) == []
        assert kinds(legs.on_event(Event("Newstate", uniqueid=CALLER, state="6"), T0)) == [Began]
        assert legs.on_event(Event("BridgeLeave", uniqueid=CALLER, bridge="b"), T0) == []
        assert kinds(legs.on_event(Event("Hangup", uniqueid=CALLER), T0 + SECOND)) == [Ended, Closed]

    def test_that_was_answered_before_it_asked_pays_from_the_question(self) -> None:
        assert kinds(granted(Legs(), direction=Direction.INBOUND, up=True)) == [Began]
        assert granted(Legs(), up=True) == [], "an outbound call after an announcement waits for the called side"


class TestALookAtTheSwitch:
    def test_begins_what_was_answered_and_ends_what_was_left(self) -> None:
        legs = Legs()
        granted(legs)
        assert legs.found(CALLER, "", T0, T0 + SECOND) == []
        (began,) = legs.found(CALLER, "b1", T0 + SECOND, T0 + 2 * SECOND)
        assert isinstance(began, Began)
        assert legs.found(CALLER, "b1", T0 + SECOND, T0 + 2 * SECOND) == []
        (over,) = legs.found(CALLER, "", T0, T0 + 2 * SECOND)
        assert over == Vanished(began.paid)

    def test_of_a_channel_that_is_not_there_any_more(self) -> None:
        legs = Legs()
        granted(legs)
        assert kinds(legs.vanished(CALLER, T0)) == [Unanswered, Closed]
        assert legs.vanished(CALLER, T0) == []

    def test_takes_over_what_an_earlier_daemon_opened(self) -> None:
        legs = Legs()
        assert legs.adopt(grant(), None) is None
        assert legs.grant_of(CALLER) == grant()
        other = legs.adopt(grant("1.1"), T0)
        assert other is not None
        assert kinds(legs.on_event(Event("Hangup", uniqueid="1.1"), T0 + SECOND)) == [Ended, Closed]


def test_a_parked_caller_has_not_been_answered() -> None:
    legs = Legs()
    granted(legs)
    assert legs.on_event(Event("BridgeEnter", uniqueid=CALLER, bridge="lot", bridge_type="holding"), T0) == []


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("1795457649.123456", 1_795_457_649_123_456), ("1795457649.5", 1_795_457_649_500_000), ("7", 7 * SECOND)],
)
def test_a_stamp_is_its_microseconds(text: str, microseconds: int) -> None:
    assert instant(text) == microseconds


@pytest.mark.parametrize("text", ["", "now", "-1", "1e9", "1.x", "\u0661", "9" * 12, "1.-5"])
def test_a_stamp_that_is_none_is_nothing(text: str) -> None:
    assert instant(text) == 0
