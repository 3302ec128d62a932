"""Who changed what, when and why: every change by a person, of whatever kind, in one list.

Changes of objects, of calls and hand-offs are notes of their own; money is told by the entry that moved it, units by
the grant that gave them, rates that a scenario file changed by the version of their deck, so that no change is without
its author. What the daemon's own rules did is in the ledger and the events; here it is where it changed an object.
"""

from typing import Any, NamedTuple

from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant
from daemon.kernel.money import format_nano
from daemon.ledger.posting import RULE
from daemon.rating.bundle import bundle_of
from daemon.store.link import Link

LISTED_MAX = 10_000  # changes of one listing; a terminal and a script both have an end
NAMES = ("at", "kind", "tenant", "id", "act", "detail", "who", "reason")
# Nobody stands behind the entries of a call, nor behind those that follow from the clock or from a balance.
_BY_A_PERSON = f"who NOT IN ('', 'expiry', '{RULE}')"
_NOTES = f"SELECT number, {', '.join(NAMES)}, 0 AS amount FROM audit"
_ENTRIES = (
    "SELECT entry.number, entry.at, 'account' AS kind, tenant, id, entry.kind AS act, bucket AS detail, who, reason,"
    f" amount FROM entry JOIN account ON account.number = entry.account WHERE role = 'customer' AND {_BY_A_PERSON}"
)
_GRANTS = (
    "SELECT unit_grant.number, unit_grant.at, 'account' AS kind, tenant, account.id, 'units' AS act, name AS detail,"
    f" who, reason, units AS amount FROM unit_grant JOIN account ON account.number = account WHERE {_BY_A_PERSON}"
)

_DECKS = (
    "SELECT version AS number, at, 'rate_table' AS kind, tenant, rate_table AS id, 'rates' AS act,"
    " 'version ' || CAST(version AS TEXT) || ' (' || mode || ')' AS detail, who, reason, 0 AS amount"
    " FROM deck_version WHERE is_published = 1 AND version > 1 AND source = 'scenario'"
)


class Wanted(NamedTuple):
    """Which changes are asked for; what is empty or None chooses none."""

    kind: str = ""
    key: Key | None = None
    who: str = ""
    since: Instant = 0
    limit: int = 1_000  # the newest


def listed(link: Link, wanted: Wanted) -> list[dict[str, Any]]:
    """Return the newest changes by persons, oldest first; what has left with an archive is told by its account."""
    conditions: dict[str, object] = {"at >= ?": wanted.since}
    if wanted.kind:
        conditions["kind = ?"] = wanted.kind
    if wanted.key is not None:
        conditions |= {"tenant = ?": wanted.key.tenant, "id = ?": wanted.key.id}
    if wanted.who:
        conditions["who = ?"] = wanted.who
    chosen = " AND ".join(conditions)
    rows: list[Any] = []
    for query in (_NOTES, _ENTRIES, _GRANTS, _DECKS):
        asked = f"SELECT * FROM ({query}) AS told WHERE {chosen} ORDER BY at DESC, number DESC LIMIT ?"
        rows += link.execute(asked, (*conditions.values(), wanted.limit)).fetchall()
    newest = sorted(rows, key=lambda row: row[1], reverse=True)[: wanted.limit]
    return [_told(row) for row in reversed(newest)]


def _told(row: Any) -> dict[str, Any]:
    value = dict(zip(NAMES, row[1:-1], strict=True))
    amount, detail = row[-1], value["detail"]
    if value["act"] == "units":
        value["detail"] = f"{amount} of {bundle_of(detail)}"
    elif amount:
        value["detail"] = f"{format_nano(amount)} in bucket {detail}" if detail else format_nano(amount)
    return value
