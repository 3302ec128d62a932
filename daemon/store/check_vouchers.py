"""Invariants of vouchers, and of accounts that the rule suspended, looked at by ``check``.

What was redeemed of a batch is what its vouchers brought: each one's money is one entry of the ledger (or, where that
has left the store, one spent key), each one's units one grant, and no entry is a voucher's that nobody redeemed.
"""

from collections.abc import Iterator

from daemon.kernel.money import format_nano
from daemon.store.finding import Finding
from daemon.store.link import Link

_KEY = "'voucher:' || voucher_batch.id || ':' || serial"  # as voucher_acts.key_of makes it
_REDEEMED = "voucher JOIN voucher_batch ON voucher_batch.number = voucher.batch"


def redemptions(connection: Link) -> Iterator[Finding]:
    """A redeemed voucher brought what it is worth, once; what is entered as a voucher's was redeemed."""
    query = (  # the least, where a key is there twice: of that "unique keys" tells
        f"SELECT voucher_batch.tenant, voucher_batch.id, serial, voucher_batch.amount, voucher_batch.units, coalesce("
        f"(SELECT min(entry.amount) FROM entry WHERE entry.account = voucher.account AND entry.key = {_KEY}"
        " AND kind = 'voucher'), (SELECT min(spent_key.amount) FROM spent_key WHERE spent_key.account = voucher.account"
        f" AND spent_key.key = {_KEY} AND kind = 'voucher'), 0),"
        " coalesce((SELECT min(unit_grant.units) FROM unit_grant WHERE unit_grant.account = voucher.account"
        f" AND unit_grant.key = {_KEY}), 0) FROM {_REDEEMED} WHERE voucher.account IS NOT NULL"
    )
    for tenant, batch, serial, amount, units, brought, given in connection.execute(query):
        if (amount, units) != (brought, given):
            worth = f"it is worth {format_nano(amount)} and {units} units"
            detail = f"{worth}, and brought {format_nano(brought)} and {given} units"
            yield Finding("vouchers", f"{tenant}/{batch} serial {serial}", detail)
    for table in ("entry", "spent_key"):
        query = (
            f"SELECT account, key, amount FROM {table} WHERE kind = 'voucher' AND NOT EXISTS (SELECT 1 FROM {_REDEEMED}"
            f" WHERE voucher.account = {table}.account AND {_KEY} = {table}.key)"
        )
        for account, key, amount in connection.execute(query):
            detail = f"{format_nano(amount)} of {key}, which it has not redeemed"
            yield Finding("vouchers", f"account {account}", detail)


def batches(connection: Link) -> Iterator[Finding]:
    """A published batch has all of its vouchers, and an unpublished one no redeemed one."""
    query = (
        "SELECT tenant, id, size, is_published, (SELECT count(*) FROM voucher WHERE batch = number),"
        " (SELECT count(*) FROM voucher WHERE batch = number AND account IS NOT NULL) FROM voucher_batch"
    )
    for tenant, name, size, is_published, there, redeemed in connection.execute(query):
        if is_published and there != size:
            yield Finding("vouchers", f"{tenant}/{name}", f"{size} were made, {there} are there")
        if redeemed and not is_published:
            yield Finding("vouchers", f"{tenant}/{name}", f"{redeemed} are redeemed of a batch that was never finished")


def suspensions(connection: Link) -> Iterator[Finding]:
    """An account is suspended by the rule where its newest entry of the rule says so. One that has left is believed."""
    query = (
        "SELECT account.tenant, account.id, suspended_at, kind, entry.at FROM account JOIN entry ON entry.number ="
        " (SELECT max(number) FROM entry AS mark WHERE mark.account = account.number"
        " AND mark.kind IN ('suspend', 'resume'))"
    )
    for tenant, name, suspended_at, kind, at in connection.execute(query):
        if suspended_at != (at if kind == "suspend" else 0):
            detail = f"it is suspended since {suspended_at or 'never'}, its newest entry of the rule is {kind} at {at}"
            yield Finding("suspensions", f"{tenant}/{name}", detail)
