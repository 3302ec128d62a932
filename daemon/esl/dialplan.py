"""The channel variables that a dialplan reads and writes: INTERFACES, "FreeSWITCH channel variables".

What a question means is read from one event; what it got is written as variables of the channel.
Old dialplans' names (CGRateS, nibblebill) count only where the operator turned aliases on for the switch.
The number that is rated is ``tollway_destination`` as it stands, else what was dialled less the dialplan's own digits.
"""

from dataclasses import dataclass

from daemon.authorize.decision import Granted
from daemon.authorize.denial import Denial
from daemon.esl.events import Event
from daemon.kernel.ids import Direction
from daemon.kernel.money import format_nano

TRUE = frozenset({"true", "1", "yes", "on", "y", "t"})  # what switch_true takes for true, less numbers above 1
Variables = tuple[tuple[str, str], ...]

# Q.850 cause codes as FreeSWITCH names them (switch_types.h); what INTERFACES maps refusals to.
CAUSE_NAMES = {
    3: "NO_ROUTE_DESTINATION", 17: "USER_BUSY", 21: "CALL_REJECTED", 28: "INVALID_NUMBER_FORMAT",
    34: "NORMAL_CIRCUIT_CONGESTION", 41: "NORMAL_TEMPORARY_FAILURE",
}  # fmt: skip
OUT_OF_MONEY = "ALLOTTED_TIMEOUT"  # the cause that the switch's own timer gives as well
NIBBLE_PRICES = "nibble_rate, nibble_increment, nibble_minimum"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator states of one switch."""

    strip_digits: int = 0
    charged_contexts: frozenset[str] = frozenset()
    cgr_aliases: bool = False

    def account(self, event: Event) -> str:
        """Return the account that the channel carries, or nothing."""
        if event.tollway_account or not self.cgr_aliases:
            return event.tollway_account
        return event.cgr_account or event.cgr_subject or event.nibble_account or event.accountcode

    def tenant(self, event: Event) -> str:
        """Return the account's tenant, or nothing for the switch's own."""
        return event.tollway_tenant or (event.cgr_tenant if self.cgr_aliases else "")

    def stated(self, event: Event) -> str:
        """Return the number that the dialplan states, or nothing."""
        return event.tollway_destination or (event.cgr_destination if self.cgr_aliases else "")

    def stripped(self, destination: str) -> str:
        """Return a dialled number less the digits that are the dialplan's own."""
        return destination[self.strip_digits :]

    def asks(self, event: Event) -> bool:
        """Tell whether the dialplan wants a decision on the channel as it is now."""
        if event.tollway_request:
            return event.tollway_request.lower() in TRUE
        return self.cgr_aliases and event.cgr_reqtype not in ("", "*none")

    def prices_itself(self, event: Event) -> bool:
        """Tell whether an old dialplan states prices, which have no equal here."""
        return self.cgr_aliases and bool(event.nibble_rate or event.nibble_increment or event.nibble_minimum)


def direction(event: Event) -> Direction:
    """Return the direction as the payer sees it."""
    return Direction.INBOUND if event.tollway_direction == Direction.INBOUND.value else Direction.OUTBOUND


def pays_from_answer(event: Event) -> bool:
    """Tell whether the leg pays from its own answer, not from that of the side it calls."""
    if event.tollway_charge_from in ("answer", "called-answer"):
        return event.tollway_charge_from == "answer"
    return direction(event) is Direction.INBOUND


def route(event: Event) -> int:
    """Return the number of the carrier's route that a called leg was dialled by, 0 for none."""
    text = event.tollway_route
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0


def granted_variables(granted: Granted, *, aliases: bool) -> Variables:
    """Return what a granted channel is told. The request is cleared: the next park is no question unless it asks."""
    routes = [route.dial for route in granted.routes]
    told: Variables = (
        ("tollway_result", "GRANTED"), ("tollway_reason", ""), ("tollway_quota_seconds", str(granted.seconds)),
        ("tollway_routes", "|".join(routes)), ("tollway_rate", _rate(granted)), ("tollway_request", ""),
    )  # fmt: skip
    if granted.levels:
        told += (("tollway_account", granted.levels[0].key.id), ("tollway_tenant", granted.levels[0].key.tenant))
    if aliases:
        listed = "ARRAY::" + "|:".join([str(len(routes)), *routes]) if routes else ""
        told += (("cgr_notify", "AUTH_OK"), ("cgr_max_usage", str(granted.seconds)), ("cgr_routes", listed))
        told += (("cgr_reqtype", ""),)
    return told


def _rate(granted: Granted) -> str:
    return format_nano(granted.levels[0].tariffs[0].rate) if granted.levels else ""


def denied_variables(denial: Denial, *, aliases: bool) -> Variables:
    """Return what a refused channel is told; nothing of an earlier grant is left on it."""
    told: Variables = (
        ("tollway_result", "DENIED"), ("tollway_reason", denial.value), ("tollway_quota_seconds", ""),
        ("tollway_routes", ""), ("tollway_rate", ""), ("tollway_request", ""),
    )  # fmt: skip
    if aliases:
        told += (("cgr_notify", denial.value), ("cgr_max_usage", ""), ("cgr_routes", ""), ("cgr_reqtype", ""))
    return told


def cleared_variables(*, aliases: bool) -> Variables:
    """Return what is taken off a channel that lives on when its charge ends: a grant is good for one call."""
    names = ["tollway_result", "tollway_quota_seconds", "tollway_routes"]
    names += ["cgr_notify", "cgr_max_usage", "cgr_routes"] if aliases else []
    return tuple((name, "") for name in names)
