"""How carriers' attempts become the grades by which routes are ordered: read by the hour, graded, and kept.

Counts are added by the transactions that charge calls (``carrier_tally``); here they are summed over the window, held
against the grades of the last time, and what is out of the window is taken out. The grades are the store's, so that
several daemons and ``call explain`` order routes alike, and a restart forgets none. All is bounded: a carrier has at
most 1,000 groups, and one row an hour of each that was called.
"""

from daemon.authorize.quality import WINDOW_HOURS, Qualities, Quality, acd_of, asr_of, graded, hour_of
from daemon.kernel.instant import Instant
from daemon.store.ledger_store import LedgerStore
from daemon.store.link import Link

_NAMES = ", ".join(Quality._fields)
_SUMS = (
    "SELECT carrier, prefix, CAST(sum(attempts) AS BIGINT), CAST(sum(answered) AS BIGINT),"
    " CAST(sum(seconds) AS BIGINT) FROM carrier_tally WHERE hour > ? GROUP BY carrier, prefix"
)
_CARRIERS = (
    "SELECT number, tenant, id FROM account"
    " WHERE number IN (SELECT carrier FROM carrier_tally UNION SELECT carrier FROM carrier_quality)"
)
_KEPT = f"SELECT carrier, prefix, {_NAMES} FROM carrier_quality"
_OLD = "SELECT 1 FROM carrier_tally WHERE hour <= ? LIMIT 1"
_KEEP = (
    f"INSERT INTO carrier_quality (carrier, prefix, {_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?)"
    f" ON CONFLICT (carrier, prefix) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in Quality._fields)}"
)
_FORGET = "DELETE FROM carrier_quality WHERE carrier = ? AND prefix = ?"
_PRUNE = "DELETE FROM carrier_tally WHERE hour <= ?"


async def qualities(store: LedgerStore) -> Qualities:
    """Return what was graded the last time. Raises StoreError."""
    return {(carrier, prefix): Quality(*told) for carrier, prefix, *told in await store.rows(_KEPT)}


async def listed(store: LedgerStore, now: Instant) -> list[tuple[object, ...]]:
    """Return what was graded the last time, and what was counted since, by tenant, carrier and first digits.

    Each is tenant, carrier, digits, attempts, ASR in percent, ACD in seconds, and the grades of both, which are None
    where there are too few attempts for a grade. Raises StoreError.
    """
    ends = hour_of(now) - WINDOW_HOURS
    names = {number: (tenant, name) for number, tenant, name in await store.rows(_CARRIERS)}
    counted = {
        (carrier, prefix): _figures(attempts, answered, seconds, None)
        for carrier, prefix, attempts, answered, seconds in await store.rows(_SUMS, (ends,))
        if attempts > 0
    }
    kept = {
        key: _figures(each.attempts, each.answered, each.seconds, each)
        for key, each in (await qualities(store)).items()
    }
    told = {**counted, **kept}
    return [
        (*names[carrier], prefix, *told[carrier, prefix])
        for carrier, prefix in sorted(told, key=lambda key: (names[key[0]], key[1]))
    ]


def _figures(attempts: int, answered: int, seconds: int, grades: Quality | None) -> tuple[object, ...]:
    answered, seconds = max(0, answered), max(0, seconds)
    asr, acd = asr_of(attempts, answered), acd_of(answered, seconds)
    percent = f"{asr // 10}.{asr % 10}"
    if grades is None:
        return attempts, percent, acd, None, None
    return attempts, percent, acd, grades.asr_grade, grades.acd_grade


async def regraded(store: LedgerStore, now: Instant) -> Qualities:
    """Grade what was counted in the window that ends ``now``, keep it, and return it. Raises StoreError."""
    ends = hour_of(now) - WINDOW_HOURS
    before = await qualities(store)
    told = {
        (carrier, prefix): graded(attempts, answered, seconds, before.get((carrier, prefix)))
        for carrier, prefix, attempts, answered, seconds in await store.rows(_SUMS, (ends,))
    }
    after = {key: quality for key, quality in told.items() if quality is not None}
    changed = [(*key, *quality) for key, quality in sorted(after.items()) if before.get(key) != quality]
    lost = sorted(before.keys() - after.keys())
    is_old = bool(await store.rows(_OLD, (ends,)))

    def work(link: Link) -> None:
        link.executemany(_KEEP, changed)
        link.executemany(_FORGET, lost)
        if is_old:
            link.execute(_PRUNE, (ends,))

    if changed or lost or is_old:
        await store.administer(work)
    return after
