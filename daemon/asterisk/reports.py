"""What charging is told and asked about a channel: attempts and reports of one Asterisk, in charging's own words.

All instants are by our own clock already. The account is the dialplan's word within the switch's tenant; the caller's
number counts only where an endpoint names this switch as the one that vouches for it.
"""

from dataclasses import dataclass, replace

from daemon.asterisk.dialplan import Asked, Told, dial_string
from daemon.asterisk.legs import Ended, Grant, Paid, Tried, Unanswered
from daemon.authorize.attempt import CallAttempt, Identity
from daemon.charging.accounts import dialling
from daemon.charging.call import Call
from daemon.charging.configuration import AsteriskSpec
from daemon.charging.event import CallReport
from daemon.kernel.ids import Direction
from daemon.kernel.instant import Instant

SOURCE = "asterisk"
CALLER = "a"  # the leg that a record names: the one that calls


@dataclass(frozen=True, slots=True)
class Reporter:
    """Makes the attempts and reports of one switch."""

    spec: AsteriskSpec

    @property
    def id_domain(self) -> str:
        """The domain in which the switch's Uniqueids are unique."""
        return self.spec.id_domain or self.spec.id

    def question(self, asked: Asked, told: Told, *, linked: bool, routed: bool) -> CallAttempt:
        """Return what a dialplan asks. ``linked``: the manager's link is up, so that the limit can be moved."""
        calling = self._read(asked.calling)
        did = self._read(asked.destination) if told.direction is Direction.INBOUND else ""
        identity = Identity(account=asked.account, caller=calling, via=self.spec.id, did=did)
        return CallAttempt(
            id_domain=self.id_domain, call_id=asked.channel, tenant=self.spec.tenant, source=SOURCE,
            switch=self.spec.id, identity=identity, called=asked.destination, calling=calling,
            direction=told.direction, override=told.override, renewable=linked,
            reports_answer=bool(self.spec.secret), hears_answer=linked, routed=routed and self.spec.routing,
            leg=CALLER, dialling=dialling(self.spec),
        )  # fmt: skip

    def _read(self, number: str) -> str:
        """Return a number as the switch's way of writing reads it, as it stands where it is none or that is unknown."""
        how = dialling(self.spec)
        return (how.normal(number) if how is not None else None) or number

    def begin(self, paid: Paid) -> CallReport:
        """Report that charging begins."""
        grant = paid.grant
        return CallReport(
            _asked(grant), paid.answered_at, grant_id=grant.grant_id, part=grant.part, answered_at=paid.answered_at,
            route=paid.route, exact=bool(grant.grant_id),
        )  # fmt: skip

    def sign_of_life(self, paid: Paid, grant_id: str, at: Instant) -> CallReport:
        """Report that a call was up at an instant."""
        return CallReport(
            _asked(paid.grant), max(at, paid.answered_at), grant_id=grant_id, part=paid.grant.part,
            answered_at=paid.answered_at, exact=True,
        )  # fmt: skip

    def end(self, ended: Ended, grant_id: str) -> CallReport:
        """Report that charging ends."""
        paid = ended.paid
        return CallReport(
            _asked(paid.grant), ended.at, grant_id=grant_id, part=paid.grant.part, answered_at=paid.answered_at,
            duration_us=max(0, ended.at - paid.answered_at), cause=ended.cause, route=paid.route,
            exact=bool(grant_id),
        )  # fmt: skip

    def tried(self, leg: Tried) -> CallReport:
        """Report that another carrier of the list is being tried."""
        grant = leg.grant
        return CallReport(_asked(grant), leg.at, grant_id=grant.grant_id, part=grant.part, route=leg.route, exact=True)

    def unanswered(self, gone: Unanswered) -> CallReport:
        """Report that a granted call ended and nobody answered it."""
        grant = gone.grant
        return CallReport(
            _asked(grant), gone.at, grant_id=grant.grant_id, part=grant.part, answered=False, cause=gone.cause,
            route=gone.route, exact=bool(grant.grant_id), tried=gone.called,
        )  # fmt: skip

    def stored(self, call: Call) -> Grant:
        """Return the grant that an open call of the store means."""
        attempt = CallAttempt(
            id_domain=self.id_domain, call_id=call.call_id, tenant=self.spec.tenant, source=SOURCE,
            switch=self.spec.id, identity=Identity(account=f"{call.payer.tenant}/{call.payer.id}"), called=call.called,
            calling=call.calling, direction=call.direction, override=call.override, renewable=call.renewable,
            reports_answer=call.reports_answer, hears_answer=call.renewable, routed=False, leg=CALLER,
        )  # fmt: skip
        routes = tuple((route.number, dial_string(route.dial)) for route in call.routes)
        return Grant(attempt, call.grant_id, call.part, routes, call.renewable, call.requested_at)


def _asked(grant: Grant) -> CallAttempt:
    """Return the attempt that a report carries; what nobody asked about, we did not route."""
    return grant.attempt if grant.grant_id else replace(grant.attempt, routed=False)
