"""Who pays, from when, until when, where no capture shows it: menus, transfers, inbound service, adoption, loss."""

from dataclasses import dataclass, field

import pytest

from daemon.esl import legs as legs_module
from daemon.esl.dialplan import Rules
from daemon.esl.events import HEADERS_OF, Event
from daemon.esl.legs import (
    Asked,
    Began,
    Closed,
    Ended,
    Grant,
    Intent,
    Legs,
    Paid,
    Role,
    Tried,
    Unanswered,
    Unclear,
    Unpaid,
    Vanished,
)
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND

T0 = 1_795_000_000 * SECOND
RULES = Rules(strip_digits=1, charged_contexts=frozenset({"public"}), cgr_aliases=True)


@dataclass
class Script:
    """Makes the events of legs at seconds from the start, and keeps what came of them."""

    rules: Rules = RULES
    said: list[Intent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.legs = Legs(self.rules)
        self._state: dict[str, dict[str, str]] = {}

    def tell(self, at: float, name: str, channel: str, **changes: str) -> list[Intent]:
        """Tell one event; what is stated of a leg stays stated."""
        state = self._state.setdefault(channel, {"uuid": channel, "context": "public", "profile_index": "1"})
        state.update({key: value for key, value in changes.items() if key not in ("bridge_b", "other", "other_type")})
        once = {key: value for key, value in changes.items() if key in ("bridge_b", "other", "other_type")}
        now = T0 + int(at * SECOND)
        state.setdefault("created", str(now))
        state.setdefault("profile_created", str(now))
        intents = self.legs.on_event(Event(name=name, timestamp=str(now), channel=channel, **(state | once)))
        self.said += intents
        return intents

    def caller(self, at: float, channel: str = "a", to: str = "244", **changes: str) -> None:
        """A caller's leg comes in."""
        self.tell(at, "CHANNEL_CREATE", channel, direction="inbound", destination=to, calling="1555", **changes)

    def calls(self, at: float, channel: str, to: str, by: str = "a", **changes: str) -> None:
        """A leg calls another."""
        self.tell(at, "CHANNEL_CREATE", channel, direction="outbound", destination=to, originator=by, **changes)

    def answers(self, at: float, channel: str) -> None:
        """A leg is answered."""
        self.tell(at, "CHANNEL_ANSWER", channel, answered=str(T0 + int(at * SECOND)))

    def bridges(self, at: float, channel: str, other: str) -> None:
        """Two legs talk."""
        self.tell(at, "CHANNEL_BRIDGE", channel, bridge_b=other, other=other, signal_bond=other)

    def parts(self, at: float, channel: str, other: str, bond: str = "") -> None:
        """Two legs talk no more."""
        self.tell(at, "CHANNEL_UNBRIDGE", channel, bridge_b=other, signal_bond=bond or other)

    def moves(self, at: float, channel: str, to: str) -> None:
        """A leg is transferred to another destination."""
        when = str(T0 + int(at * SECOND))
        self.tell(at, "CALL_UPDATE", channel, destination=to, profile_created=when, profile_index="2")

    def hangs_up(self, at: float, channel: str, **changes: str) -> None:
        """A leg is gone."""
        when = str(T0 + int(at * SECOND))
        self.tell(at, "CHANNEL_HANGUP", channel, cause="NORMAL_CLEARING")
        self.tell(at, "CHANNEL_HANGUP_COMPLETE", channel, hung_up=when, **changes)
        self.tell(at, "CHANNEL_DESTROY", channel)

    @property
    def charges(self) -> list[tuple[str, int, str, str, float]]:
        """Every charge that ended: leg, part, account, number, seconds."""
        return [
            (one.paid.channel, one.paid.part, one.paid.account, one.paid.number, one.duration_us / SECOND)
            for one in self.said
            if isinstance(one, Ended)
        ]

    def only(self, kind: type) -> list[Intent]:
        """Everything of one kind."""
        return [one for one in self.said if isinstance(one, kind)]


class TestACardMenu:
    def _menu(self) -> Script:
        script = Script()
        script.caller(0, to="8005550000")
        script.answers(0.1, "a")
        return script

    def test_the_menu_itself_costs_nothing_and_needs_no_exception_once_somebody_pays(self) -> None:
        script = self._menu()
        script.tell(9, "CHANNEL_EXECUTE_COMPLETE", "a", tollway_account="acme")
        script.hangs_up(12, "a")
        assert script.charges == []
        assert script.only(Unpaid) == []

    def test_each_number_is_a_part_and_the_menu_between_them_is_not_charged(self) -> None:
        script = self._menu()
        script.tell(9, "CHANNEL_EXECUTE_COMPLETE", "a", tollway_account="acme", tollway_destination="441")
        script.calls(10, "b", "441")
        script.answers(12, "b")
        script.bridges(12.1, "a", "b")
        script.hangs_up(20, "b", billsec="8")
        script.parts(20.1, "a", "b")
        script.tell(25, "CHANNEL_EXECUTE_COMPLETE", "a", tollway_destination="332")
        script.calls(26, "c", "332")
        script.answers(30, "c")
        script.bridges(30.1, "a", "c")
        script.hangs_up(35, "a", billsec="35")
        assert script.charges == [("a", 1, "acme", "441", 8.0), ("a", 2, "acme", "332", 5.0)]
        first = next(one for one in script.said if isinstance(one, Ended))
        assert (first.alive, first.switch_seconds, first.cause) == (True, 8, "NORMAL_CLEARING")

    def test_a_second_number_does_not_go_at_the_price_of_the_first_that_the_dialplan_stated(self) -> None:
        script = self._menu()
        script.tell(9, "CHANNEL_EXECUTE_COMPLETE", "a", tollway_account="acme", tollway_destination="441")
        script.calls(10, "b", "441")
        script.answers(12, "b")
        script.bridges(12.1, "a", "b")
        script.hangs_up(20, "b")
        script.parts(20.1, "a", "b")
        script.calls(26, "c", "1900")
        script.answers(30, "c")
        script.bridges(30.1, "a", "c")
        script.hangs_up(35, "a")
        assert [charge[3] for charge in script.charges] == ["441", "1900"]


class TestWhenTheAccountComes:
    def test_not_before_the_leg_carried_it(self) -> None:
        script = Script()
        script.caller(0)
        script.calls(1, "b", "44")
        script.answers(2, "b")
        script.answers(2.1, "a")
        script.tell(5, "CHANNEL_EXECUTE_COMPLETE", "a", tollway_account="acme")
        script.hangs_up(9, "a")
        assert script.charges == [("a", 1, "acme", "44", 4.0)]

    def test_first_seen_on_the_hang_up_it_counts_from_when_it_was_last_missing(self) -> None:
        script = Script()
        script.caller(0)
        script.calls(1, "b", "44")
        script.answers(2, "b")
        script.answers(2.5, "a")
        script.hangs_up(9, "a")
        late = Script()
        late.caller(0)
        late.calls(1, "b", "44")
        late.answers(2, "b")
        late.answers(2.5, "a")
        late.tell(9, "CHANNEL_HANGUP", "a", tollway_account="acme")
        late.hangs_up(9, "a")
        assert (script.charges, len(script.only(Unpaid))) == ([], 1)
        assert late.charges == [("a", 1, "acme", "44", 6.5)]

    def test_an_old_dialplans_account_counts_only_where_aliases_are_on(self) -> None:
        for names, aliases, expected in (
            ({"cgr_account": "x", "accountcode": "y"}, True, ["x"]),
            ({"cgr_subject": "s", "nibble_account": "n"}, True, ["s"]),
            ({"nibble_account": "n", "accountcode": "y"}, True, ["n"]),
            ({"accountcode": "y"}, True, ["y"]),
            ({"accountcode": "y", "cgr_account": "x"}, False, []),
        ):
            script = Script(Rules(cgr_aliases=aliases))
            script.caller(0, **names)
            script.calls(1, "b", "44")
            script.answers(2, "b")
            script.answers(2.1, "a")
            script.hangs_up(3, "a")
            assert [charge[2] for charge in script.charges] == expected


class TestTransfers:
    def _talking(self) -> Script:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44")
        script.answers(2, "b")
        script.answers(2.1, "a")
        script.bridges(2.2, "a", "b")
        return script

    def test_the_caller_goes_to_another_destination_which_is_the_next_part(self) -> None:
        script = self._talking()
        script.moves(6, "a", "233")
        script.hangs_up(6.1, "b")
        script.calls(7, "c", "33")
        script.answers(8, "c")
        script.bridges(8.1, "a", "c")
        script.hangs_up(10, "a")
        assert script.charges == [("a", 1, "acme", "44", 4.0), ("a", 2, "acme", "33", 2.0)]

    def test_a_transfer_before_the_answer_ends_nothing(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44")
        script.answers(2, "b")
        # What the transfer was is first heard after the answer, in the next event of the caller.
        script.tell(2.1, "CHANNEL_ANSWER", "a", destination="AUTH", profile_created=str(T0 + SECOND // 2))
        script.hangs_up(5, "a")
        assert script.charges == [("a", 1, "acme", "44", 3.0)]

    def test_a_destination_that_is_no_number_is_charged_by_the_number_that_is_called(self) -> None:
        script = self._talking()
        script.moves(6, "a", "forward")
        script.hangs_up(6.1, "b")
        script.calls(7, "c", "3312")
        script.answers(8, "c")
        script.bridges(8.1, "a", "c")
        script.hangs_up(10, "a")
        assert [charge[3] for charge in script.charges] == ["44", "3312"]

    def test_a_second_call_beside_a_held_one_is_charged_beside_it(self) -> None:
        script = self._talking()
        script.parts(4, "a", "b")
        script.calls(5, "c", "33")
        script.answers(6, "c")
        script.bridges(6.1, "a", "c")
        script.hangs_up(9, "c")
        script.parts(9.1, "a", "c")
        script.hangs_up(12, "a")
        assert sorted(script.charges) == [("a", 1, "acme", "44", 10.0), ("a", 2, "acme", "33", 3.0)]

    def test_two_that_answer_a_ring_group_are_one_call(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44")
        script.calls(1, "c", "33")
        script.answers(2, "b")
        script.answers(2.5, "c")
        script.answers(2.6, "a")
        script.bridges(2.6, "a", "b")
        script.hangs_up(2.7, "c")
        script.hangs_up(5, "a")
        assert script.charges == [("a", 1, "acme", "44", 3.0)]

    def test_one_that_answers_and_declines_is_charged_until_the_other_takes_the_call(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.answers(0.5, "a")
        script.calls(1, "b", "44")
        script.calls(1, "c", "33")
        script.answers(2, "b")
        script.tell(2, "CALL_UPDATE", "a")
        script.answers(3, "c")
        script.hangs_up(4, "b")
        script.bridges(4.1, "a", "c")
        script.hangs_up(9, "a")
        assert script.charges == [("a", 1, "acme", "44", 2.0), ("a", 2, "acme", "33", 5.0)]


class TestInboundService:
    def test_pays_from_its_own_answer_for_the_number_that_was_called(self) -> None:
        script = Script(Rules())
        script.caller(0, to="442079460000", tollway_account="acme", tollway_direction="inbound")
        script.calls(1, "b", "1001")
        script.answers(3, "a")
        script.answers(4, "b")
        script.hangs_up(8, "a")
        assert script.charges == [("a", 1, "acme", "442079460000", 5.0)]
        assert [one.paid.direction for one in script.said if isinstance(one, Began)] == [Direction.INBOUND]

    def test_may_be_told_to_pay_from_the_called_answer(self) -> None:
        script = Script(Rules())
        script.caller(
            0, to="44", tollway_account="acme", tollway_direction="inbound", tollway_charge_from="called-answer"
        )
        script.answers(3, "a")
        script.calls(3, "b", "1001")
        script.answers(4, "b")
        script.tell(4, "CALL_UPDATE", "a")
        script.hangs_up(8, "a")
        assert [charge[4] for charge in script.charges] == [4.0]

    def test_transferred_it_pays_on_for_the_next_destination(self) -> None:
        script = Script(Rules())
        script.caller(0, to="44", tollway_account="acme", tollway_charge_from="answer")
        script.answers(3, "a")
        script.moves(5, "a", "33")
        script.hangs_up(8, "a")
        assert script.charges == [("a", 1, "acme", "44", 2.0), ("a", 2, "acme", "33", 3.0)]


class TestExceptions:
    @pytest.mark.parametrize(
        ("changes", "expected"),
        [({}, 1), ({"context": "ivr"}, 0), ({"channel_name": "loopback/1-b"}, 0), ({"tollway_account": "acme"}, 0)],
    )
    def test_an_answered_caller_without_an_account(self, changes: dict[str, str], expected: int) -> None:
        script = Script()
        script.caller(0, **changes)
        script.answers(1, "a")
        script.hangs_up(5, "a")
        assert len(script.only(Unpaid)) == expected

    def test_a_called_leg_is_none_until_it_calls_somebody_itself(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44")
        script.answers(2, "b")
        script.answers(2, "a")
        script.moves(4, "b", "233")
        script.hangs_up(4, "a")
        script.calls(5, "c", "33", by="b")
        script.answers(6, "c")
        script.bridges(6, "b", "c")
        script.hangs_up(9, "b")
        assert [one.channel for one in script.only(Unpaid) if isinstance(one, Unpaid)] == ["b"]

    def test_a_leg_of_the_switch_itself_without_an_account_is_one(self) -> None:
        script = Script()
        script.tell(0, "CHANNEL_CREATE", "x", direction="outbound", destination="44")
        script.answers(1, "x")
        script.hangs_up(5, "x")
        assert len(script.only(Unpaid)) == 1


class TestGrants:
    def test_a_question_is_passed_on_and_the_number_frozen(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        asked = script.tell(1, "CHANNEL_PARK", "a", tollway_request="true")
        assert isinstance(asked[0], Asked)
        assert script.legs.granted("a", Grant("g1", 1, "4420"))
        script.calls(2, "b", "999")
        script.answers(3, "b")
        assert [one.paid for one in script.said if isinstance(one, Began)] == [
            Paid("a", 1, "acme", "", "4420", "1555", Direction.OUTBOUND, "", T0 + 3 * SECOND, 0, "g1")
        ]

    def test_one_that_nobody_answers_is_let_go(self) -> None:
        script = Script()
        script.caller(0)
        script.legs.granted("a", Grant("g1", 1, "4420"))
        script.hangs_up(5, "a")
        assert [one.grant.grant_id for one in script.said if isinstance(one, Unanswered)] == ["g1"]

    def test_one_for_a_leg_that_is_gone_is_refused(self) -> None:
        script = Script()
        script.caller(0)
        script.hangs_up(5, "a")
        assert not script.legs.granted("a", Grant("g1", 1, "4420"))

    def test_it_begins_without_waiting_for_the_caller_to_be_heard(self) -> None:
        script = Script()
        script.caller(0)
        script.legs.granted("a", Grant("g1", 1, "4420"))
        script.calls(2, "b", "44")
        script.answers(3, "b")
        assert script.only(Began)
        assert not script.only(Unclear)

    def test_the_route_that_answered_is_told(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44", tollway_route="1")
        script.calls(2, "c", "44", tollway_route="2")
        script.answers(3, "c")
        script.answers(3, "a")
        assert [one.paid.route for one in script.said if isinstance(one, Began)] == [2]

    def test_another_route_is_told_when_it_is_called_and_none_is_gone_back_to(self) -> None:
        script = Script()
        script.caller(0)
        grant = Grant("g1", 1, "4420", 2)
        script.legs.granted("a", grant)
        for at, (channel, route) in enumerate((("b", "2"), ("c", "4"), ("d", "3"), ("e", "5")), start=1):
            script.calls(at, channel, "44", tollway_route=route)
            script.tell(at, "CHANNEL_PROGRESS", channel)
        assert script.only(Tried) == [Tried("a", grant, 4, T0 + 2 * SECOND), Tried("a", grant, 5, T0 + 4 * SECOND)]
        script.hangs_up(5, "a")
        script.calls(6, "f", "44", tollway_route="6")
        (gone,) = script.only(Unanswered)
        assert isinstance(gone, Unanswered)
        assert (gone.route, gone.called) == (5, True)
        assert len(script.only(Tried)) == 2

    def test_a_caller_who_gives_up_before_any_leg_says_nothing_of_a_carrier(self) -> None:
        script = Script()
        script.caller(0)
        script.legs.granted("a", Grant("g1", 1, "4420", 1))
        script.hangs_up(1, "a")
        (gone,) = script.only(Unanswered)
        assert isinstance(gone, Unanswered)
        assert (gone.route, gone.called) == (0, False)

    def test_a_second_question_after_the_first_call_is_a_charge_of_its_own(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        for start, grant in ((1, "g1"), (11, "g2")):
            script.legs.granted("a", Grant(grant, 1, "44"))  # the second is another use of the call id: part 1 again
            script.calls(start, grant, "44")
            script.answers(start + 1, grant)
            script.bridges(start + 1, "a", grant)
            script.hangs_up(start + 4, grant)
            script.parts(start + 4, "a", grant)
        script.calls(20, "x", "33")
        script.answers(21, "x")
        script.bridges(21, "a", "x")
        script.hangs_up(23, "a")
        paid = [one.paid for one in script.said if isinstance(one, Ended)]
        assert [(one.grant_id, one.part) for one in paid] == [("g1", 1), ("g2", 1), ("", 2)]
        assert len(set(paid)) == 3

    def test_a_park_that_does_not_ask_is_no_question(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        for changes in ({}, {"tollway_request": "false"}, {"tollway_request": "", "cgr_reqtype": "*none"}):
            assert not [one for one in script.tell(1, "CHANNEL_PARK", "a", **changes) if isinstance(one, Asked)]
        assert isinstance(script.tell(1, "CHANNEL_PARK", "a", cgr_reqtype="*prepaid")[0], Asked)


class TestTakingOver:
    PAID = Paid("a", 1, "acme", "main", "44", "1555", Direction.OUTBOUND, "", T0 + 2 * SECOND, 0, "g1")

    def _snapshot(self, script: Script, **changes: str) -> None:
        script.tell(
            10, "CHANNEL_DATA", "a", direction="inbound", destination="AUTH", tollway_account="acme",
            answered=str(T0 + 2 * SECOND), **changes,
        )  # fmt: skip

    def test_a_running_call_is_not_begun_again(self) -> None:
        script = Script()
        script.legs.adopt(self.PAID, answered=True)
        self._snapshot(
            script, other="b", other_type="originatee", other_direction="outbound", other_destination="44",
            other_created=str(T0 + SECOND), other_answered=str(T0 + 2 * SECOND),
        )  # fmt: skip
        script.hangs_up(15, "a")
        assert script.only(Began) == []
        assert script.charges == [("a", 1, "acme", "44", 13.0)]

    def test_the_next_call_of_the_leg_is_the_next_part(self) -> None:
        script = Script()
        script.legs.adopt(self.PAID, answered=True)
        self._snapshot(
            script, other="c", other_type="originatee", other_direction="outbound", other_destination="33",
            other_created=str(T0 + 7 * SECOND), other_answered=str(T0 + 8 * SECOND),
        )  # fmt: skip
        script.hangs_up(15, "a")
        assert script.charges == [("a", 1, "acme", "44", 5.0), ("a", 2, "acme", "33", 7.0)]

    def test_a_grant_that_is_still_ringing(self) -> None:
        script = Script()
        script.legs.adopt(self.PAID, answered=False)
        script.tell(10, "CHANNEL_DATA", "a", direction="inbound", destination="AUTH", tollway_account="acme")
        script.calls(11, "b", "44")
        script.answers(12, "b")
        assert [one.paid.grant_id for one in script.said if isinstance(one, Began)] == ["g1"]

    def test_a_leg_that_vanished_with_its_end_unheard(self) -> None:
        script = Script()
        script.legs.adopt(self.PAID, answered=True)
        assert script.legs.vanished("a", T0) == [Vanished(self.PAID), Closed("a", Role.PAYER)]

    def test_a_leg_that_vanished_after_its_hang_up_was_heard(self) -> None:
        script = Script()
        script.legs.adopt(self.PAID, answered=True)
        self._snapshot(script)
        script.tell(12, "CHANNEL_HANGUP", "a")
        (ended, _) = script.legs.vanished("a", T0 + 99 * SECOND)
        assert isinstance(ended, Ended)
        assert ended.duration_us == 10 * SECOND


class TestNothingIsKept:
    def test_a_late_event_of_a_leg_that_is_gone_makes_no_leg(self) -> None:
        script = Script()
        script.caller(0)
        script.hangs_up(5, "a")
        script.tell(6, "CHANNEL_DESTROY", "a")
        script.tell(6, "CHANNEL_STATE", "a")
        script.tell(6, "CHANNEL_DATA", "a", state="CS_REPORTING")
        assert script.legs.channels() == []

    def test_legs_are_bounded_and_those_that_pay_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(legs_module, "LEGS_MAX", 10)
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44")
        script.answers(2, "b")
        script.answers(2, "a")
        for number in range(50):
            script.caller(3, channel=f"x{number}")
        assert len(script.legs.channels()) == 10
        assert "a" in script.legs

    def test_a_caller_that_is_not_heard_again_is_asked_about(self) -> None:
        script = Script()
        script.caller(0, tollway_account="acme")
        script.calls(1, "b", "44")
        script.answers(2, "b")
        assert script.only(Unclear)
        assert script.legs.is_unclear("a")
        script.tell(3, "CHANNEL_DATA", "a")
        assert not script.legs.is_unclear("a")
        assert [one.paid.answered_at for one in script.said if isinstance(one, Began)] == [T0 + 2 * SECOND]

    def test_the_fields_that_a_script_states_are_fields(self) -> None:
        assert {"signal_bond", "bridge_b", "profile_created"} <= HEADERS_OF.keys()
