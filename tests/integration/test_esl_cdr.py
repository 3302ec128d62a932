"""What mod_json_cdr writes of each captured leg, held against the hand-drawn tables: who pays, from when, until when.

The module writes the variables of a leg's last event; the captures hold that event. A leg that pays several calls is
not told apart by one record: of such the store knows the parts, and only the last end is taken from it.
"""

import json
from urllib.parse import quote

import pytest

from daemon.esl.cdr import FILE_OCTETS_MAX, SpooledLeg, read_leg
from daemon.esl.wire import EventBody, RemoteWireError
from tests.integration.esl_captures import LOAD, NAMES, table, whole

NEAR = 50_000  # microseconds between the answer of the called side and of its caller
HEAD = "variable_"
# One record tells the last bridge of a leg alone, and nothing of a leg that was called and then sent elsewhere.
NOT_TOLD = {"attended-bridge", "blind-transfer"}
PROFILE = {
    "destination_number": "Caller-Destination-Number", "caller_id_number": "Caller-Caller-ID-Number",
    "context": "Caller-Context", "dialplan": "Caller-Dialplan", "network_addr": "Caller-Network-Addr",
    "chan_name": "Channel-Name",
}  # fmt: skip


def written(event: dict[str, str]) -> bytes:
    """Return the file that the module would write of a leg whose last event this is."""
    told = {name[len(HEAD) :]: quote(str(text)) for name, text in event.items() if name.startswith(HEAD)}
    profile = {name: event.get(header, "") for name, header in PROFILE.items()}
    return json.dumps({"core-uuid": "x", "variables": told, "callflow": [{"caller_profile": profile}]}).encode()


def legs_of(name: str) -> dict[str, SpooledLeg]:
    """Return each leg that ended in a capture, its id cut as the tables have it."""
    said = [json.loads(each.body.decode("utf-8", "replace")) for each in whole(f"{name}.json")
            if isinstance(each, EventBody)]  # fmt: skip
    ended = [event for event in said if event["Event-Name"] == "CHANNEL_HANGUP_COMPLETE"]
    found = [read_leg(written(event)) for event in ended]
    return {leg.event.channel[:8]: leg for leg in found}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {LOAD, *NOT_TOLD}])
def test_each_leg_owes_by_its_own_record_what_the_table_says(name: str) -> None:
    drawn, legs = table(name), legs_of(name)
    assert legs.keys() <= drawn.roles.keys()
    for channel, leg in legs.items():
        pays = [line for line in drawn.pays if line.uuid == channel]
        if drawn.roles[channel] in ("called", "loopback"):
            assert not leg.may_pay, channel
        elif len(pays) == 1:
            (line,) = pays
            assert leg.may_pay
            assert leg.event.tollway_account == line.account
            assert abs(leg.talked_at - line.answered_at) <= NEAR, (channel, line)
            assert abs(leg.ended_at - line.answered_at - line.microseconds) <= NEAR, (channel, line)
            assert leg.cause == line.cause
        elif not pays:
            assert not (leg.talked_at and leg.event.tollway_account), channel


def test_a_value_that_holds_a_quote_or_a_percent_sign_stays_one_value() -> None:
    (leg,) = legs_of("hostile-callerid").values()
    assert leg.event.tollway_account == ""
    body = {"variables": {"uuid": "u", "end_uepoch": "9", "tollway_account": "a%22%2C%22b", "billsec": "-1"}}
    read = read_leg(json.dumps(body).encode())
    assert read.event.tollway_account == 'a","b'
    assert (read.switch_seconds, read.talked_at, read.answered_at) == (None, 0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'{"variables": 1}', b'{"variables": {}}', b'{"variables": {"uuid": "u"}}',
        b'{"variables": {"uuid": "u", "end_uepoch": "soon"}}', b'{"variables": {"end_uepoch": "1"}}', b"\xff" * 10,
        b'{"variables": {"uuid": ["u"], "end_uepoch": "1"}}', b"[" * FILE_OCTETS_MAX,
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteWireError):
        read_leg(body)


def test_an_older_release_writes_one_flow_and_not_a_list() -> None:
    flow = {"caller_profile": {"destination_number": "442071231234"}}
    for flows in (flow, [flow], []):
        body = {"variables": {"uuid": "u", "end_uepoch": "9"}, "callflow": flows}
        assert read_leg(json.dumps(body).encode()).event.destination == ("" if flows == [] else "442071231234")
