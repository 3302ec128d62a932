"""What charging is told and asked about a leg: attempts and reports of one switch, in charging's own words.

The switch's instants are kept as they are, unless its clock is further from ours than ``CLOCK_TOLERANCE``: then they
are brought to ours, so that a switch with a wrong clock is charged right and its calls are not taken for long ended.
"""

from dataclasses import dataclass, replace

from daemon.authorize.attempt import CallAttempt, Identity
from daemon.charging.accounts import dialling
from daemon.charging.call import Call
from daemon.charging.configuration import FreeswitchSpec
from daemon.charging.event import CallReport
from daemon.esl import dialplan
from daemon.esl.cdr import SpooledLeg
from daemon.esl.dialplan import Rules
from daemon.esl.events import Event
from daemon.esl.legs import Ended, Grant, Paid, Tried, Unanswered, Unpaid
from daemon.esl.link import SwitchClock
from daemon.kernel.ids import Direction
from daemon.kernel.instant import SECOND, Instant

SOURCE = "esl"
SPOOL = "spool"  # the source of what the switch's own record tells
CLOCK_TOLERANCE = 60 * SECOND  # microseconds; SPEC section 4, clock_tolerance
CALLER = "a"  # the leg that a record names: the one that calls


def rules_of(spec: FreeswitchSpec) -> Rules:
    """Return what the operator states of a switch's dialplan."""
    return Rules(spec.strip_digits, frozenset(spec.charged_contexts), spec.cgr_aliases)


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes the attempts and reports of one switch."""

    spec: FreeswitchSpec
    rules: Rules
    clock: SwitchClock

    @property
    def id_domain(self) -> str:
        """The domain in which the switch's channel ids are unique."""
        return self.spec.id_domain or self.spec.id

    def ours(self, theirs: Instant) -> Instant:
        """Return an instant of the switch's clock by ours, where the two are far apart."""
        return theirs + self._apart()

    def theirs(self, ours: Instant) -> Instant:
        """Return what ``ours`` was made of."""
        return ours - self._apart()

    def _apart(self) -> int:
        ahead = self.clock.ahead_us
        return ahead if abs(ahead) > CLOCK_TOLERANCE else 0

    def question(self, event: Event) -> CallAttempt:
        """Return what a parked channel asks: who pays by what the switch vouches for, and which number."""
        number = self.rules.stated(event) or self.rules.stripped(event.destination)
        direction = dialplan.direction(event)
        calling, did = self._read(event.calling), self._read(number) if direction is Direction.INBOUND else ""
        identity = Identity(
            account=self.rules.account(event), account_tenant=self.rules.tenant(event), ip=event.network,
            caller=calling, via=self.spec.id, did=did,
        )  # fmt: skip
        return self._attempt(event.channel, identity, number, calling, direction, event.tollway_override, True)

    def _read(self, number: str) -> str:
        """Return a number as the switch's way of writing reads it, as it stands where it is none or that is unknown."""
        how = dialling(self.spec)
        return (how.normal(number) if how is not None else None) or number

    def _attempt(
        self, channel: str, identity: Identity, number: str, calling: str, direction: Direction, override: str,
        routed: bool,
    ) -> CallAttempt:  # fmt: skip
        return CallAttempt(
            id_domain=self.id_domain, call_id=channel, tenant=self.spec.tenant, source=SOURCE, switch=self.spec.id,
            identity=identity, called=number, calling=calling, direction=direction, override=override, renewable=True,
            reports_answer=True, hears_answer=True, routed=routed and self.spec.routing, leg=CALLER,
            dialling=dialling(self.spec),
        )  # fmt: skip

    def paid(self, paid: Paid) -> CallAttempt:
        """Return the attempt of a running charge; what nobody asked about, we did not route."""
        identity = Identity(account=paid.account, account_tenant=paid.tenant)
        return self._attempt(
            paid.channel, identity, paid.number, paid.calling, paid.direction, paid.override, routed=False
        )

    def begin(self, paid: Paid) -> CallReport:
        """Report that charging begins."""
        answered_at = self.ours(paid.answered_at)
        return CallReport(
            self.paid(paid), answered_at, grant_id=paid.grant_id, part=paid.part, answered_at=answered_at,
            route=paid.route, exact=bool(paid.grant_id),
        )  # fmt: skip

    def sign_of_life(self, paid: Paid, grant_id: str, at: Instant) -> CallReport:
        """Report that a call was up at an instant of the switch's clock."""
        return CallReport(
            self.paid(paid), max(self.ours(at), self.ours(paid.answered_at)), grant_id=grant_id, part=paid.part,
            answered_at=self.ours(paid.answered_at), exact=True,
        )  # fmt: skip

    def end(self, ended: Ended, grant_id: str) -> CallReport:
        """Report that charging ends."""
        paid = ended.paid
        return CallReport(
            self.paid(paid), self.ours(ended.at), grant_id=grant_id, part=paid.part,
            answered_at=self.ours(paid.answered_at), duration_us=ended.duration_us,
            switch_seconds=ended.switch_seconds, cause=ended.cause, route=paid.route, exact=bool(grant_id),
        )  # fmt: skip

    def unanswered(self, gone: Unanswered) -> CallReport:
        """Report that a granted call was never answered."""
        void = self.void(gone.channel, gone.grant, gone.at, gone.cause)
        return replace(void, route=gone.route, tried=gone.called)

    def tried(self, leg: Tried) -> CallReport:
        """Report that a granted call is on another route."""
        attempt = self._attempt(leg.channel, Identity(), leg.grant.number, "", Direction.OUTBOUND, "", routed=False)
        return CallReport(
            attempt, self.ours(leg.at), grant_id=leg.grant.grant_id, part=leg.grant.part, route=leg.route, exact=True
        )

    def void(self, channel: str, grant: Grant, at: Instant, cause: str) -> CallReport:
        """Report that a grant is not needed."""
        attempt = self._attempt(channel, Identity(), grant.number, "", Direction.OUTBOUND, "", routed=False)
        return CallReport(
            attempt, self.ours(at), grant_id=grant.grant_id, part=grant.part, answered=False, cause=cause, exact=True
        )

    def unpaid(self, leg: Unpaid) -> CallReport:
        """Report a call that nobody pays: no identity, so that nothing but the exception list can come of it."""
        attempt = self._attempt(leg.channel, Identity(), leg.number, leg.calling, Direction.OUTBOUND, "", routed=False)
        return CallReport(
            attempt, self.ours(leg.at), answered_at=self.ours(leg.answered_at),
            duration_us=max(0, leg.at - leg.answered_at), cause=leg.cause, switch_seconds=leg.switch_seconds,
        )  # fmt: skip

    def spooled(self, leg: SpooledLeg, call: Call | None) -> CallReport:
        """Report the end of a leg by the switch's own record; when it was answered is for the caller to say."""
        event = leg.event
        number = self.rules.stated(event) or self.rules.stripped(event.destination)
        identity = Identity(account=self.rules.account(event), account_tenant=self.rules.tenant(event))
        attempt = self._attempt(
            event.channel, identity, number, event.calling, dialplan.direction(event), event.tollway_override, False
        )
        return CallReport(
            replace(attempt, source=SPOOL), self.ours(leg.ended_at), grant_id=call.grant_id if call is not None else "",
            part=call.part if call is not None else 0, switch_seconds=leg.switch_seconds, cause=leg.cause,
            exact=call is not None,
        )  # fmt: skip

    def stored(self, call: Call) -> Paid:
        """Return the charge that an open call of the store means."""
        answered_at = self.theirs(call.answered_at) if call.answered_at is not None else 0
        return Paid(
            channel=call.call_id, part=call.part, account=call.payer.id, tenant=call.payer.tenant, number=call.called,
            calling=call.calling, direction=call.direction, override=call.override, answered_at=answered_at,
            route=call.route, grant_id=call.grant_id,
        )  # fmt: skip
