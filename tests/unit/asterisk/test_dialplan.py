"""What a dialplan asks and is told, as words and numbers."""

import pytest

from daemon.asterisk import dialplan
from daemon.asterisk.fastagi_wire import RemoteAgiError, Request
from daemon.authorize.denial import Q850, Denial
from daemon.kernel.ids import Direction

GOOD = {
    "agi_network_script": "authorize", "agi_uniqueid": "1795457649.0", "agi_callerid": "15551230001",
    "agi_arg_1": "acme", "agi_arg_2": "+442071231234",
}  # fmt: skip


def reason(**changes: str) -> str:
    with pytest.raises(RemoteAgiError) as raised:
        dialplan.asked(Request(GOOD | changes))
    return raised.value.reason


def test_a_request_is_its_two_arguments_and_its_channel() -> None:
    asked = dialplan.asked(Request(GOOD))
    assert asked == dialplan.Asked("1795457649.0", "acme", "+442071231234", "15551230001")
    assert dialplan.asked(Request(GOOD | {"agi_callerid": "unknown"})).calling == ""
    assert dialplan.asked(Request(GOOD | {"agi_arg_1": ""})).account == ""


def test_any_other_request_is_none() -> None:
    assert reason(agi_network_script="authorize?account=acme") == "script"
    assert reason(agi_arg_3="") == "arguments"
    assert reason(agi_arg_4="inbound") == "arguments"
    assert reason(agi_arg_2="4" * 129) == "arguments"
    assert reason(agi_uniqueid="") == "channel"
    assert reason(agi_uniqueid="1\t2") == "channel"
    assert reason(agi_uniqueid="1" * 129) == "channel"
    with pytest.raises(RemoteAgiError):
        dialplan.asked(Request({key: text for key, text in GOOD.items() if key != "agi_arg_1"}))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("tollway-n|Ring||", dialplan.Told(False, Direction.OUTBOUND, "")),
        ("tollway-n|Up|inbound|VOICE|x", dialplan.Told(True, Direction.INBOUND, "VOICE|x")),
    ],
)
def test_a_channel_says_whether_it_is_up_and_what_the_dialplan_set(answer: str, told: dialplan.Told) -> None:
    assert dialplan.told("n", answer) == told


@pytest.mark.parametrize("answer", ["", "tollway-m|Up||", "tollway-n|Up", "tollway-n|Up|up|", "tollway-n|Up||\x00"])
def test_what_does_not_answer_what_was_asked_is_no_answer(answer: str) -> None:
    with pytest.raises(RemoteAgiError):
        dialplan.told("n", answer)


@pytest.mark.parametrize("denial", Denial)
def test_each_refusal_comes_with_its_word_and_its_cause_and_its_result_last(denial: Denial) -> None:
    told = dialplan.denied_variables(denial)
    assert dict(told)["TOLLWAY_REASON"] == denial.value
    assert dict(told)["TOLLWAY_CAUSE"] == str(Q850[denial])
    assert told[-1] == ("TOLLWAY_RESULT", "DENIED")


def test_a_dial_string_is_what_dial_takes() -> None:
    assert dialplan.dial_string("[tollway_carrier=a,tollway_route=1]PJSIP/44@a") == "PJSIP/44@a"
    assert dialplan.dial_string("PJSIP/44@a") == "PJSIP/44@a"
