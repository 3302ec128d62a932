"""What comes late, twice, or under an id that is used again, once a leg has hung up."""

import pytest

from daemon.esl import legs as legs_module
from daemon.esl.dialplan import Rules
from daemon.esl.events import Event
from daemon.esl.legs import Began, Closed, Ended, Intent, Legs, Unpaid
from daemon.kernel.instant import SECOND

T0 = 1_795_000_000 * SECOND
RULES = Rules(charged_contexts=frozenset({"public"}))


def said(name: str, at: float, created: float = 0, *, account: str = "acme", ended: float = 0) -> Event:
    """Return an event of a caller's leg whose other side answered a second after the leg was made."""
    instants = {"timestamp": at, "created": created, "answered": created + 2, "other_answered": created + 1}
    if ended:
        instants["hung_up"] = ended
    texts = {field: str(T0 + int(seconds * SECOND)) for field, seconds in instants.items()}
    return Event(
        name=name, channel="a", uuid="a", direction="inbound", destination="442071231234", context="public",
        other_type="originatee", other="b", other_direction="outbound", other_destination="442071231234",
        other_created=texts["created"], tollway_account=account, **texts,
    )  # fmt: skip


def heard(legs: Legs, *events: Event) -> list[type[Intent]]:
    """Return the kinds of what events meant."""
    return [type(intent) for event in events for intent in legs.on_event(event)]


OVER = said("CHANNEL_HANGUP_COMPLETE", 10, ended=10)


@pytest.mark.parametrize(
    "name", ["CHANNEL_UNBRIDGE", "CALL_UPDATE", "CHANNEL_ANSWER", "CHANNEL_HANGUP", "CHANNEL_PARK"]
)
def test_a_late_event_begins_no_charge_that_nothing_would_end(name: str) -> None:
    legs = Legs(RULES)
    assert heard(legs, OVER) == [Began, Ended, Closed]
    assert heard(legs, said(name, 10)) == []
    assert not legs.channels()
    assert not legs.paid()


def test_a_hang_up_told_twice_charges_once() -> None:
    legs = Legs(RULES)
    assert heard(legs, OVER, OVER, OVER) == [Began, Ended, Closed]


def test_an_unpaid_leg_told_twice_is_one_exception() -> None:
    legs = Legs(RULES)
    nobodys = said("CHANNEL_HANGUP_COMPLETE", 10, account="", ended=10)
    assert heard(legs, nobodys, nobodys).count(Unpaid) == 1


def test_an_id_that_is_used_again_is_another_leg() -> None:
    legs = Legs(RULES)
    again = said("CHANNEL_HANGUP_COMPLETE", 30, created=20, ended=30)
    assert heard(legs, OVER, again) == [Began, Ended, Closed] * 2
    assert heard(legs, OVER, again) == []


def test_a_leg_that_vanished_is_still_charged_when_its_end_is_heard_after_all() -> None:
    legs = Legs(RULES)
    assert heard(legs, said("CHANNEL_ANSWER", 2)) == [Began]
    legs.vanished("a", T0 + 5 * SECOND)
    assert heard(legs, OVER) == [Began, Ended, Closed]


def test_what_is_remembered_of_closed_legs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legs_module, "CLOSED_MAX", 3)
    legs = Legs(RULES)
    for number in range(10):
        event = Event(
            name="CHANNEL_HANGUP_COMPLETE", channel=f"leg{number}", uuid=f"leg{number}", direction="inbound",
            timestamp=str(T0), created=str(T0), hung_up=str(T0),
        )  # fmt: skip
        legs.on_event(event)
    assert list(legs._closed) == ["leg7", "leg8", "leg9"]
