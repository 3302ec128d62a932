"""What happens to vouchers inside one transaction: redeemed once, blocked, counted where a code is wrong.

A code is kept as a keyed hash that can be looked up, and as nothing else. The account's row is locked first, so that
the wrong codes of one account are counted one after the other; whose a voucher is is set where it is nobody's, so that
of two that redeem at once, on whichever daemon, one does. The money is an entry of the ledger in the same transaction.
"""

import hmac
import secrets
from typing import Any, Final

from daemon.charging.configuration import AccountSpec
from daemon.charging.voucher import (
    ACCOUNT_FAILURES_MAX,
    BATCH_SIZE_MAX,
    FAILURES_SECONDS,
    TOKEN_FAILURES_MAX,
    Fault,
    NotRedeemed,
    Redeemed,
    VoucherTerms,
)
from daemon.kernel.ids import ID_LENGTH_MAX, Key
from daemon.kernel.instant import DAY, SECOND, Instant, format_rfc3339
from daemon.ledger.account import EntryKind
from daemon.ledger.bucket import BucketKind, Wanted
from daemon.store import account_acts, objects
from daemon.store.account_acts import Act
from daemon.store.link import Link
from daemon.store.objects import Refused

SALT_SIZE: Final = 32  # octets
DIGEST_SIZE: Final = 16  # octets kept of the hash: two of a million million codes are alike once in 10^14 stores
FAILURES_KEPT: Final = 30 * DAY  # microseconds for which an operator can look at wrong codes
PRUNED: Final = 2  # old wrong codes taken out for each that is added: the table shrinks faster than it grows
BUCKET_LENGTH_MAX: Final = ID_LENGTH_MAX - len("-20261231")  # characters of a bucket that is named after its last day
TERMS: Final = "amount, currency, units, bundle, bucket, bucket_kind, bucket_days, expires_at"
_FOUND = (
    f"SELECT voucher_batch.tenant, voucher_batch.id, serial, account, redeemed_at, voucher.blocked_at,"
    f" voucher_batch.blocked_at, {TERMS} FROM voucher JOIN voucher_batch ON voucher_batch.number = voucher.batch"
    " WHERE digest = ? AND is_published = 1"
)


def salt_of(connection: Link) -> bytes:
    """Return what the codes of this store are hashed with; it is made when it is first needed."""
    connection.execute(
        "INSERT INTO voucher_salt (name, value) VALUES ('code', ?) ON CONFLICT (name) DO NOTHING",
        (secrets.token_bytes(SALT_SIZE),),
    )
    return bytes(connection.execute("SELECT value FROM voucher_salt WHERE name = 'code'").fetchone()[0])


def digest_of(salt: bytes, code: str) -> bytes:
    """Return what is kept of a code."""
    return hmac.digest(salt, code.encode(), "sha256")[:DIGEST_SIZE]


def terms_of(row: Any) -> VoucherTerms:
    """Return the terms of the columns ``TERMS``."""
    amount, currency, units, bundle, bucket, kind, days, expires_at = row
    return VoucherTerms(amount, currency, units, bundle, bucket, BucketKind(kind), days, expires_at or None)


def key_of(batch: str, serial: int) -> str:
    """Return the key under which a voucher's money is an entry, or its units are a grant, of the account."""
    return f"voucher:{batch}:{serial}"


def redeem(connection: Link, account: Key, code: str, token: str, act: Act) -> Redeemed | NotRedeemed:
    """Redeem a code; what is not redeemed is put on record. Raises Refused where the account cannot take it."""
    standing = objects.standing_of(connection, *account)
    if token and _is_limited(connection, standing.account, token, act.now):
        return NotRedeemed(Fault.LIMITED)
    spec = account_acts.open_spec(connection, account)
    digest = digest_of(salt_of(connection), code)
    row = connection.execute(_FOUND + connection.locking, (digest,)).fetchone()
    if row is None:
        return _failed(connection, standing.account, token, NotRedeemed(Fault.UNKNOWN), act.now)
    tenant, batch, serial, holder, redeemed_at, *blocked, _, _, _, _, _, _, _, _ = row
    terms = terms_of(row[7:])
    if holder == standing.account:
        return Redeemed(account, batch, serial, terms, redeemed_at, repeated=True)
    fault = Fault.USED if holder is not None else _fault(spec, tenant, terms, any(blocked), act.now)
    if fault is not None:
        return _failed(connection, standing.account, token, NotRedeemed(fault, batch, serial), act.now)
    taken = connection.execute(
        "UPDATE voucher SET account = ?, redeemed_at = ? WHERE digest = ? AND account IS NULL RETURNING serial",
        (standing.account, act.now, digest),
    ).fetchone()
    if taken is None:
        return _failed(connection, standing.account, token, NotRedeemed(Fault.USED, batch, serial), act.now)
    _credit(connection, account, batch, serial, terms, act)
    return Redeemed(account, batch, serial, terms, act.now, repeated=False)


def _fault(spec: AccountSpec, tenant: str, terms: VoucherTerms, is_blocked: bool, now: Instant) -> Fault | None:
    if tenant != spec.tenant:
        return Fault.TENANT
    if is_blocked:
        return Fault.BLOCKED
    if terms.expires_at is not None and terms.expires_at <= now:
        return Fault.EXPIRED
    return Fault.CURRENCY if terms.amount and terms.currency != spec.currency else None


def _credit(connection: Link, account: Key, batch: str, serial: int, terms: VoucherTerms, act: Act) -> None:
    named = Act(key_of(batch, serial), act.who, f"voucher {batch}, serial {serial}", act.now)
    if terms.units:
        was_used = account_acts.give_units(connection, account, terms.bundle, terms.units, None, named)
    else:
        wanted = wanted_of(terms, act.now)
        was_used = account_acts.credit(connection, account, EntryKind.VOUCHER, terms.amount, named, wanted)
    if was_used:
        raise Refused(f"the key {named.key} was used before: something else was entered under this voucher's name")


def wanted_of(terms: VoucherTerms, now: Instant) -> Wanted | None:
    """Return the bucket that money of a voucher goes into. What expires on one day shares a bucket, named after it."""
    if not terms.bucket:
        return None
    if not terms.bucket_days:
        return Wanted(terms.bucket, terms.bucket_kind)
    ends = (now // DAY + terms.bucket_days + 1) * DAY
    last = format_rfc3339(ends - DAY)[:10].replace("-", "")
    return Wanted(f"{terms.bucket}-{last}", terms.bucket_kind, None, ends)


def _is_limited(connection: Link, account: int, token: str, now: Instant) -> bool:
    since = now - FAILURES_SECONDS * SECOND
    by_account, by_token = (
        connection.execute(f"SELECT count(*) FROM voucher_failure WHERE {name} = ? AND at > ?", (value, since))
        for name, value in (("account", account), ("token", token))
    )
    found = int(by_account.fetchone()[0]), int(by_token.fetchone()[0])
    return found[0] >= ACCOUNT_FAILURES_MAX or found[1] >= TOKEN_FAILURES_MAX


def _failed(connection: Link, account: int, token: str, why: NotRedeemed, now: Instant) -> NotRedeemed:
    connection.execute(
        "INSERT INTO voucher_failure (at, account, token, reason, batch, serial) VALUES (?, ?, ?, ?, ?, ?)",
        (now, account, token, why.fault.value, why.batch, why.serial),
    )
    connection.execute(
        "DELETE FROM voucher_failure WHERE number IN (SELECT number FROM voucher_failure WHERE at < ?"
        " ORDER BY at LIMIT ?)",
        (now - FAILURES_KEPT, PRUNED),
    )
    return why


def block(connection: Link, batch: Key, serials: tuple[int, int] | None, act: Act) -> int:
    """Block a whole batch, or some serials of it; return how many could be redeemed before. Raises Refused."""
    number, is_blocked = published(connection, batch)
    first, last = serials or (1, BATCH_SIZE_MAX)
    some = "batch = ? AND serial BETWEEN ? AND ? AND account IS NULL AND blocked_at = 0"
    (count,) = connection.execute(f"SELECT count(*) FROM voucher WHERE {some}", (number, first, last)).fetchone()
    if is_blocked:
        return 0
    if serials is None:
        connection.execute("UPDATE voucher_batch SET blocked_at = ? WHERE number = ?", (act.now, number))
    else:
        connection.execute(f"UPDATE voucher SET blocked_at = ? WHERE {some}", (act.now, number, first, last))
    detail = "the whole batch" if serials is None else f"serials {first} to {last}"
    objects.note(connection, ("voucher_batch", *batch), "block", detail, act.who, act.reason, act.now)
    return int(count)


def published(connection: Link, batch: Key) -> tuple[int, bool]:
    """Return the number of a batch that was finished, and whether all of it is blocked. Raises Refused."""
    query = "SELECT number, blocked_at FROM voucher_batch WHERE tenant = ? AND id = ? AND is_published = 1"
    row = connection.execute(query, batch).fetchone()
    if row is None:
        raise Refused(f"there is no batch of vouchers {batch}")
    return row[0], bool(row[1])
