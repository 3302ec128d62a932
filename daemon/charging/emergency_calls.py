"""Emergency calls that were let go ahead from memory, for roads whose reports tell no more of a call than its id.

The store knows nothing of such a call until it is answered. What its question said of the payer and the number is kept
for as long as the call may last, so that the report of its answer or end finds the plan that it is charged by.
After a restart that is gone: such a report is then refused as one of an unknown call, and the journal holds the call.
"""

from dataclasses import replace
from typing import Final

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import Catalog
from daemon.authorize.decision import Denied
from daemon.authorize.emergency import EMERGENCY_SECONDS
from daemon.authorize.identify import identify
from daemon.charging.event import CallReport
from daemon.kernel.instant import SECOND, Instant

CALLS_MAX: Final = 10_000  # calls, some 10 MB; more emergency calls in one day are a disaster of another kind


class EmergencyCalls:
    """The questions of the newest calls by id domain and call id, the oldest first."""

    def __init__(self) -> None:
        """Know none."""
        self._asked: dict[tuple[str, str], tuple[CallAttempt, Instant]] = {}

    def noted(self, catalog: Catalog, attempt: CallAttempt, now: Instant) -> str:
        """Keep a question, and return ``tenant/id`` of its payer, or nothing where none can be told."""
        place = (attempt.id_domain, attempt.call_id)
        self._asked.pop(place, None)
        while len(self._asked) >= CALLS_MAX:
            del self._asked[next(iter(self._asked))]
        self._asked[place] = (attempt, now)
        payer = identify(catalog, attempt, now)
        return "" if isinstance(payer, Denied) else str(payer.key)

    def completed(self, report: CallReport, now: Instant) -> CallReport:
        """Return a report that names no number with what the question of its emergency call said, others as given."""
        attempt = report.attempt
        asked = self._asked.get((attempt.id_domain, attempt.call_id))
        if attempt.called or asked is None or now - asked[1] > EMERGENCY_SECONDS * SECOND:
            return report
        same = asked[0].tenant == attempt.tenant and not report.grant_id
        return replace(report, attempt=replace(asked[0], switch=attempt.switch)) if same else report
