"""What was decided and charged, for an operator: one line of the log for each, and the figures of /metrics.

Told by charging after each commit, whichever road a call came by. It runs on the loop beside every decision, so a line
is put together from the few fields that it has, and written by another thread. No number that was called or called
from is in a line, and nothing that proves who calls: ``call show`` has the rest.
"""

from typing import Protocol

from daemon.app_log import LogLines
from daemon.authorize.attempt import CallAttempt
from daemon.authorize.decision import Decision, Granted
from daemon.charging.cdr import RatedCdr
from daemon.kernel.instant import decimal_seconds
from daemon.kernel.money import format_nano

SECONDS = 1_000_000  # microseconds in one


class Figures(Protocol):
    """What counts and measures."""

    def count(self, name: str, **labels: str) -> None:
        """Add one to a counter."""

    def add(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a measured value into a histogram."""


class CallWatch:
    """Implements charging.ports.Watch."""

    def __init__(self, lines: LogLines, figures: Figures, *, tells: bool) -> None:
        """Bind the parts; ``tells`` says whether calls have lines at all, and may be changed later."""
        self._lines, self._figures, self.tells = lines, figures, tells

    def decided(self, attempt: CallAttempt, decision: Decision, taken_us: int) -> None:
        """Measure a decision and log it."""
        self._figures.observe("tollway_decision_seconds", max(0, taken_us) / SECONDS, road=attempt.source)
        if self.tells:
            self._lines.put("info", _decision(attempt, decision, taken_us))

    def reported(self, road: str, lag_us: int) -> None:
        """Measure how late an answer, a sign of life or an end was told; a clock ahead of ours counts as no lag."""
        self._figures.observe("tollway_event_lag_seconds", max(0, lag_us) / SECONDS, road=road)

    def charged(self, record: RatedCdr) -> None:
        """Count a charge and log it."""
        figures = self._figures
        figures.count("tollway_charges_total", road=record.source, kind=record.status, settled_by=record.settled_by)
        taken = "tollway_charged_nano_total" if record.charge >= 0 else "tollway_reversed_nano_total"
        figures.add(taken, abs(record.charge), currency=record.currency)
        if record.uncollected > 0:
            figures.add("tollway_uncollected_nano_total", record.uncollected, currency=record.currency)
        if self.tells:
            self._lines.put("info", _charge(record))


def _decision(attempt: CallAttempt, decision: Decision, taken_us: int) -> tuple[tuple[str, object], ...]:
    head = (("event", "decision"), ("road", attempt.source), ("switch", attempt.switch), ("call_id", attempt.call_id))
    if isinstance(decision, Granted):
        account = f"{decision.levels[0].key.tenant}/{decision.levels[0].key.id}" if decision.levels else ""
        return (
            *head, ("account", account), ("code", "granted"), ("duration_us", taken_us),
            ("grant_id", decision.grant_id), ("seconds", decision.seconds),
        )  # fmt: skip
    account = str(decision.account) if decision.account is not None else ""
    return (*head, ("account", account), ("code", decision.denial.value), ("duration_us", taken_us))


def _charge(record: RatedCdr) -> tuple[tuple[str, object], ...]:
    return (
        ("event", "charge"), ("road", record.source), ("switch", record.switch), ("call_id", record.call_id),
        ("account", f"{record.tenant}/{record.account}"), ("code", record.status), ("settled_by", record.settled_by),
        ("duration_seconds", decimal_seconds(record.duration_us)), ("billed_seconds", record.billed_seconds),
        ("charge", format_nano(record.charge)), ("currency", record.currency),
        ("uncollected", format_nano(record.uncollected)), ("grant_id", record.grant_id),
    )  # fmt: skip
