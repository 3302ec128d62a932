"""The names of the figures, each with its text and labels: nothing is counted or measured that is not declared here.

A label's values come from closed lists: roads, codes, kinds, currencies, switches. No label names a tenant or an
account, so that whoever may read the figures of the daemon learns nothing of one tenant's customers.
docs/operations/metrics.md says what each means and what to do about it; a test holds the two together.
"""

from typing import Final

COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "tollway_decisions_total": ("Questions decided, by road and by code (granted, or why not)", ("road", "code")),
    "tollway_reports_total": ("Reports of calls taken, by road and kind", ("road", "kind")),
    "tollway_tokens_refused_total": ("Requests without a token in force, or not with its role, by reason", ("reason",)),
    "tollway_suspensions_total": (
        "Accounts suspended because their money came to its end, and resumed, by the ledger",
        ("act",),
    ),
    "tollway_vouchers_total": ("Codes of vouchers over HTTP, by outcome (redeemed, or why not)", ("outcome",)),
    "tollway_events_total": ("What rules saw of accounts, by kind and by what they ask for", ("kind", "act")),
    "tollway_discarded_total": ("What was not taken at all, by listener and reason", ("listener", "reason")),
    "tollway_charges_total": (
        "Calls charged at their payer, by road, kind (rated, reversal) and what told the end",
        ("road", "kind", "settled_by"),
    ),
    "tollway_charged_nano_total": ("Money charged to payers of calls, nano-units", ("currency",)),
    "tollway_reversed_nano_total": ("Money of such charges that was taken back, nano-units", ("currency",)),
    "tollway_uncollected_nano_total": ("Money charged that a prepaid account could not pay, nano-units", ("currency",)),
    "tollway_log_dropped_total": ("Lines of the log that were dropped: nobody read it", ()),
}
_SHORT: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)  # seconds
HISTOGRAMS: Final[dict[str, tuple[str, tuple[str, ...], tuple[float, ...]]]] = {
    "tollway_store_batch_size": ("Transactions in one commit", (), (1, 2, 4, 8, 16, 32, 64, 128, 256)),
    "tollway_store_commit_seconds": ("Seconds of one commit", (), _SHORT),
    "tollway_decision_seconds": ("Seconds from a question to its decision, committed, by road", ("road",), _SHORT),
    "tollway_event_lag_seconds": (
        "Seconds from what happened to a call until its report was committed, by road",
        ("road",),
        (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3600.0),
    ),
}
