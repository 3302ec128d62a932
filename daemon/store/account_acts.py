"""What a person does to an account's money and units, inside one transaction: credit, transfer, assert, give units.

Each first closes the buckets that have expired, and refuses before it writes anything. A key makes an act happen once.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.authorize.catalog import Status
from daemon.charging.configuration import AccountSpec, BundleSpec
from daemon.kernel.ids import Key
from daemon.kernel.instant import Instant, format_rfc3339
from daemon.kernel.money import format_nano
from daemon.ledger import posting
from daemon.ledger.account import EntryKind, Overflow, Standing
from daemon.ledger.bucket import Wanted, found, met
from daemon.rating.bundle import ONCE, Meter, bundle_meter, bundle_of, given
from daemon.store import objects
from daemon.store.archives import archived_before
from daemon.store.link import Link
from daemon.store.objects import Refused, write_posting
from daemon.store.standing_row import READ, standing_of

KEY_LENGTH_MAX = 200  # characters of an idempotency key; a UUID has 36
UNITS_GIVEN_MAX = 1 << 50  # units that a meter holds in all; 35 million years of seconds, and far from 64 bits
_METER = ", ".join(Meter._fields)
_KEY_USED = (
    "SELECT kind, amount, bucket, NULL FROM entry WHERE account = ? AND key = ?"
    " UNION ALL SELECT kind, amount, bucket, taker FROM spent_key WHERE account = ? AND key = ?"
)


class KeyConflict(Refused):
    """An idempotency key was used before with another amount or account."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who does it, why, when, and the key under which it happens once (empty: each time)."""

    key: str
    who: str
    reason: str
    now: Instant


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a person said that a balance was at an instant, and what it was; nano-units."""

    stated: int
    found: int
    at: Instant

    @property
    def holds(self) -> bool:
        """Tell whether both are one."""
        return self.stated == self.found


def credit(
    connection: Link, account: Key, kind: EntryKind, amount: int, act: Act, wanted: Wanted | None = None
) -> bool:
    """Top up, redeem or adjust; return whether the key had done the same before. Raises Refused, KeyConflict."""
    standing = _standing(connection, account, act)
    name = wanted.id if wanted is not None else ""
    earlier = _earlier(connection, standing, act)
    if earlier is not None:
        if earlier[:3] != (kind.value, amount, name):
            raise KeyConflict(f"key {act.key!r} was used before, for {_words(*earlier[:3])}")
        return True
    if kind is not EntryKind.ADJUST:
        open_spec(connection, account)
    try:
        standing = _closed_buckets(connection, standing, act.now)
    except Refused:
        if kind is not EntryKind.ADJUST or name:
            raise  # an adjustment of the main balance is what mends such an account: they are closed behind it
    if kind is EntryKind.ADJUST and name and found(standing.buckets, name) is None:
        raise Refused(f"account {account} has no bucket {name}: a top-up makes one")
    try:
        posted = _credited(standing, kind, amount, act, wanted)
    except Overflow as error:
        raise Refused(str(error)) from error
    _write(connection, posted, act.now)
    return False


def _credited(
    standing: Standing, kind: EntryKind, amount: int, act: Act, wanted: Wanted | None
) -> list[posting.Posting] | str:
    if wanted is None:
        return posting.credit(standing, kind, amount, act.now, key=act.key, who=act.who, reason=act.reason)
    terms = met(standing.buckets, wanted)
    return posting.credit_bucket(standing, kind, amount, act.now, terms, key=act.key, who=act.who, reason=act.reason)


def transfer(connection: Link, giver: Key, taker: Key, amount: int, act: Act) -> bool:
    """Move money between two accounts of one tenant; return whether the key had done so before. Raises Refused."""
    if giver == taker:
        raise Refused("a transfer is between two accounts")
    if giver.tenant != taker.tenant:
        raise Refused(f"{giver} and {taker} are of two tenants: money moves within one only")
    given, taken = _both(connection, giver, taker)
    reference = f"transfer:{given.account}:{act.key}"
    earlier = _earlier(connection, given, act)
    if earlier is not None:
        there = "SELECT account FROM entry WHERE account = ? AND grant_id = ? AND kind = 'transfer'"
        other = connection.execute(there, (taken.account, reference)).fetchone() or (earlier[3],)
        if earlier[:2] != ("transfer", -amount) or other[0] != taken.account:
            raise KeyConflict(f"key {act.key!r} was used before, for {_words(earlier[0], abs(earlier[1]), earlier[2])}")
        return True
    theirs = [open_spec(connection, account).currency for account in (giver, taker)]
    if theirs[0] != theirs[1]:
        raise Refused(f"{giver} is kept in {theirs[0]}, {taker} in {theirs[1]}: a transfer does not convert")
    given, taken = (_closed_buckets(connection, each, act.now) for each in (given, taken))
    try:
        posted = posting.transfer(
            given, taken, amount, act.now, reference=reference, key=act.key, who=act.who,
            reason=f"{giver} to {taker}" + (f": {act.reason}" if act.reason else ""),
        )  # fmt: skip
    except Overflow as error:
        raise Refused(str(error)) from error
    if isinstance(posted, str):
        left = format_nano(posting.transferable(given))
        raise Refused(f"{giver} can give {left} {theirs[0]} away, not {format_nano(amount)}: {posted}")
    _write(connection, posted, act.now)
    return False


def assert_balance(connection: Link, account: Key, stated: int, at: Instant | None, act: Act) -> Assertion:
    """Put on record what a balance should be; a difference goes on the exception list. Raises Refused.

    Without ``at`` it is the balance now; otherwise that after the entries until then.
    """
    at = act.now if at is None else at
    if at > act.now:
        raise Refused("a balance is asserted of an instant that has been")
    standing = _closed_buckets(connection, _standing(connection, account, act), act.now)
    is_found = standing.balance
    if at != act.now:
        is_found = _balance_at(connection, standing.account, at)
    said = Assertion(stated, is_found, at)
    write_posting(connection, *posting.asserted(standing, act.now, key=act.key, who=act.who, reason=act.reason))
    (number,) = connection.execute("SELECT max(number) FROM entry WHERE account = ?", (standing.account,)).fetchone()
    mark(connection, standing, act.now)
    connection.execute(
        "INSERT INTO assertion (entry, at, stated, found) VALUES (?, ?, ?, ?)", (number, said.at, stated, is_found)
    )
    if not said.holds:
        detail = (
            f"{account}: {act.who} states a balance of {format_nano(stated)} at {format_rfc3339(said.at)}, the ledger"
            f" has {format_nano(is_found)}"
        )
        connection.execute(
            "INSERT INTO exceptional (key, kind, tenant, source, switch, call_id, detail, at)"
            " VALUES (?, 'balance_assertion', ?, 'person', '', '', ?, ?)",
            (f"balance_assertion:{number}", account.tenant, detail, act.now),
        )
    return said


def _balance_at(connection: Link, account: int, at: Instant) -> int:
    """Return what the entries until an instant add up to. Raises Refused where they have left the store."""
    begins = archived_before(connection)
    if at < begins:
        raise Refused(f"entries until {format_rfc3339(begins)} are archived: state the balance at a later instant")
    query = (
        "SELECT coalesce(sum(amount), 0) + coalesce((SELECT balance FROM opening WHERE opening.account = ?), 0)"
        " FROM entry WHERE account = ? AND at <= ?"
    )
    return int(connection.execute(query, (account, account, at)).fetchone()[0])


def give_units(connection: Link, account: Key, bundle: str, units: int, expires_at: Instant | None, act: Act) -> bool:
    """Give units once, of a bundle without a period; return whether the key had done so before. Raises Refused."""
    standing = objects.standing_of(connection, *account)
    meter, expires = _once_meter(connection, account, bundle, standing), expires_at or 0
    query = "SELECT name, units, expires_at FROM unit_grant WHERE account = ? AND key = ?"
    earlier = connection.execute(query, (standing.account, act.key or None)).fetchone()
    if earlier is not None:
        if tuple(earlier) != (meter.name, units, expires):
            kept = f"that expire {format_rfc3339(earlier[2])}" if earlier[2] else "that never expire"
            raise KeyConflict(
                f"key {act.key!r} was used before, for {earlier[1]} units of {bundle_of(earlier[0])} {kept}"
            )
        return True
    open_spec(connection, account)
    if expires and expires <= act.now:
        raise Refused("these units would have expired already: state an expiry to come")
    there = meter.carried - meter.used
    has_expired = 0 < meter.expires_at <= act.now
    if has_expired and meter.held:
        raise Refused(f"calls hold units of {bundle} that have expired: wait until they end, or use another bundle")
    if not has_expired and there and meter.expires_at != expires:
        kept = format_rfc3339(meter.expires_at) if meter.expires_at else "never"
        raise Refused(f"units of {bundle} are left that expire {kept}: state the same, or use another bundle")
    if (0 if has_expired else there) + units > UNITS_GIVEN_MAX:
        raise Refused(f"an account has at most {UNITS_GIVEN_MAX} units of a bundle")
    after = given(meter, units, expires, act.now)
    if after.period > meter.period and meter.carried:
        why = f"{there} that were left had expired, the others were used"
        _grant_row(connection, meter, -meter.carried, Act("", "expiry", why, act.now))
    meter = after
    _grant_row(connection, meter, units, act)
    connection.execute(
        f"INSERT INTO meter ({_METER}) VALUES ({', '.join('?' * len(meter))}) ON CONFLICT (account, name) DO UPDATE"
        " SET period = excluded.period, used = excluded.used, carried = excluded.carried,"
        " expires_at = excluded.expires_at",
        tuple(meter),
    )
    return False


def _once_meter(connection: Link, account: Key, bundle: str, standing: Standing) -> Meter:
    spec = objects.found(connection, ("bundle", account.tenant, bundle))
    if not isinstance(spec, BundleSpec) or spec.account != account.id:
        raise Refused(f"account {account} has no bundle {bundle}")
    if spec.period != ONCE:
        raise Refused(f'bundle {bundle} has units of each {spec.period}: units are given to one with period = "{ONCE}"')
    name = bundle_meter(bundle, ONCE)
    row = connection.execute(
        f"SELECT {_METER} FROM meter WHERE account = ? AND name = ?{connection.locking}", (standing.account, name)
    ).fetchone()
    return Meter(standing.account, name) if row is None else Meter._make(row)


def _grant_row(connection: Link, meter: Meter, units: int, act: Act) -> None:
    connection.execute(
        "INSERT INTO unit_grant (account, name, at, units, expires_at, key, who, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (meter.account, meter.name, act.now, units, meter.expires_at, act.key or None, act.who, act.reason),
    )


def _standing(connection: Link, account: Key, act: Act) -> Standing:
    if len(act.key) > KEY_LENGTH_MAX:
        raise Refused(f"a key has at most {KEY_LENGTH_MAX} characters")
    return objects.standing_of(connection, *account)


def _both(connection: Link, giver: Key, taker: Key) -> tuple[Standing, Standing]:
    """Return two standings, locked in the order of their numbers, which is everybody's."""
    rows = connection.execute(
        f"SELECT id, {', '.join(READ)} FROM account WHERE role = 'customer' AND tenant = ? AND id IN (?, ?)"
        f" ORDER BY number{connection.locking}",
        (giver.tenant, giver.id, taker.id),
    )
    standings = {name: standing_of(row) for name, *row in rows}
    for account in (giver, taker):
        if account.id not in standings:
            raise Refused(objects.no_account(account))
    return standings[giver.id], standings[taker.id]


def _earlier(connection: Link, standing: Standing, act: Act) -> tuple[str, int, str, int | None] | None:
    """Return kind, amount, bucket and, of an archived transfer, the taker of what was done under the same key."""
    row = connection.execute(_KEY_USED, (standing.account, act.key or None) * 2).fetchone()
    return None if row is None else (row[0], row[1], row[2], row[3])


def _words(kind: str, amount: int, bucket: str) -> str:
    """Return what a key was used for: ``a top up of 5 into bucket spring``."""
    where = f"bucket {bucket}" if bucket else "the main balance"
    article = "an" if kind == "adjust" else "a"
    return f"{article} {kind.replace('_', ' ')} of {format_nano(amount)} in {where}"


def open_spec(connection: Link, account: Key) -> AccountSpec:
    """Return what is configured of an account that can be given something. Raises Refused."""
    spec = objects.found(connection, ("account", *account))
    if not isinstance(spec, AccountSpec):
        raise Refused(objects.no_account(account))
    if spec.status is Status.CLOSED:
        raise Refused(f"account {account} is closed: nothing is given to it, or taken; an adjustment can still be made")
    return spec


def _closed_buckets(connection: Link, standing: Standing, now: Instant) -> Standing:
    """Take what has expired and is free. Raises Refused, before it writes anything, where that does not fit."""
    try:
        posted = posting.expire(standing, now)
    except Overflow as error:
        raise Refused(f"what has expired cannot be taken: {error}; adjust the main balance first") from error
    for after, entry in posted:
        write_posting(connection, after, entry)
        standing = after
    return standing


def _write(connection: Link, posted: Iterable[posting.Posting] | str, now: Instant) -> None:
    """Write entries, and take what has expired and they left free. Raises Refused for a refusal."""
    if isinstance(posted, str):
        raise Refused(posted)
    standings = {}
    for after, entry in posted:
        write_posting(connection, after, entry)
        standings[after.account] = after
    for number in sorted(standings):
        mark(connection, _closed_buckets(connection, standings[number], now), now)


def mark(connection: Link, standing: Standing, now: Instant) -> None:
    """Suspend an account whose money has come to its end, resume one that has some again."""
    query = "SELECT tenant, id FROM account WHERE number = ?"
    key = Key(*connection.execute(query, (standing.account,)).fetchone())
    spec = objects.found(connection, ("account", *key))
    if isinstance(spec, AccountSpec):
        for after, entry in posting.marked(standing, spec.empty_limit, now):
            write_posting(connection, after, entry)
