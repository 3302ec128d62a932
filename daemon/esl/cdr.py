"""One file of mod_json_cdr: what the switch itself wrote about a leg that is over. Bytes in, a value out; pure.

It tells what no event told while nobody listened. Its variables are those of the leg's last event, each value
URL-encoded by itself (the module's ``encode-values``), so that none can become another. Instants are the switch's own.
"""

from dataclasses import dataclass
from urllib.parse import unquote

import msgspec

from daemon.esl import dialplan
from daemon.esl.events import VARIABLES, Event, instant, whole_seconds
from daemon.esl.wire import RemoteWireError
from daemon.kernel.instant import Instant

FILE_OCTETS_MAX = 1 << 20  # octets of one file; a leg with 300 variables and its application log takes some 40 KiB
_ANSWERED = frozenset({"", "SUCCESS"})  # originate_disposition of a leg that somebody answered


class _Profile(msgspec.Struct):
    destination_number: str = ""
    caller_id_number: str = ""
    context: str = ""
    dialplan: str = ""
    network_addr: str = ""
    chan_name: str = ""


class _Flow(msgspec.Struct):
    caller_profile: _Profile = msgspec.field(default_factory=_Profile)


class _File(msgspec.Struct):
    variables: dict[str, object]
    callflow: list[_Flow] | _Flow | None = None


@dataclass(frozen=True, slots=True)
class SpooledLeg:
    """A leg that is over. ``talked_at`` is the answer from which it may owe something, 0 where nobody answered it."""

    event: Event
    began_at: Instant
    answered_at: Instant
    talked_at: Instant
    ended_at: Instant
    switch_seconds: int | None
    cause: str

    @property
    def may_pay(self) -> bool:
        """Tell whether it is a leg of which calls are paid: none that another leg called, no loopback."""
        called = self.event.direction == "outbound" and bool(self.event.originator)
        return not (called or self.event.loopback_leg or self.event.channel_name.startswith("loopback/"))


_decode = msgspec.json.Decoder(_File).decode


def read_leg(body: bytes) -> SpooledLeg:
    """Return the leg of a file. Raises RemoteWireError where it is none."""
    try:
        found = _decode(body.decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:  # the decoder gives up on what is nested without an end
        raise RemoteWireError(f"a file of mod_json_cdr cannot be decoded: {error}") from None
    told = {name: unquote(value) for name, value in found.variables.items() if isinstance(value, str)}
    event = _event(told, _profile(found))
    ended_at = instant(told.get("end_uepoch", ""))
    if not event.channel or not ended_at:
        raise RemoteWireError("a file of mod_json_cdr without uuid or end_uepoch")
    answered_at = min(instant(told.get("answer_uepoch", "")), ended_at)
    return SpooledLeg(
        event, instant(told.get("start_uepoch", "")), answered_at, min(_talked_at(event, answered_at, told), ended_at),
        ended_at, whole_seconds(told.get("billsec", "")), told.get("hangup_cause", ""),
    )  # fmt: skip


def _talked_at(event: Event, answered_at: Instant, told: dict[str, str]) -> Instant:
    """Return the answer of the side that the leg called, or its own where it pays from that; 0 for none.

    A caller's leg is bridged before it is answered where early media is passed on, and after where a menu answered it.
    Of a leg that was bridged twice only the last is told.
    """
    if not answered_at or dialplan.pays_from_answer(event):
        return answered_at
    if event.direction == "outbound" and not event.originator:
        return answered_at
    bridged_at = instant(told.get("bridge_uepoch", ""))
    if not bridged_at or told.get("originate_disposition", "") not in _ANSWERED:
        return 0
    return max(answered_at, bridged_at)


def _profile(found: _File) -> _Profile:
    """Return the newest profile: where the leg was when it ended."""
    flows = found.callflow if isinstance(found.callflow, list) else [found.callflow or _Flow()]
    return flows[0].caller_profile if flows else _Profile()


def _event(told: dict[str, str], profile: _Profile) -> Event:
    known = {name: told[name] for name in VARIABLES if name in told}
    return Event(
        **known, name="CDR", channel=told.get("uuid", ""), direction=told.get("direction", ""),
        channel_name=profile.chan_name or told.get("channel_name", ""), destination=profile.destination_number,
        context=profile.context, dialplan=profile.dialplan, calling=profile.caller_id_number,
        network=profile.network_addr,
    )  # fmt: skip
