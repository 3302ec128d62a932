"""Invariants of what an account has beside its main balance, looked at by ``check``: buckets, transfers, assertions,
units that were given once.

A bucket is the sum of the entries that name it, as a standing is of all. Nothing here trusts what keeps it so.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator

import msgspec

from daemon.charging.call import Call
from daemon.kernel.money import format_nano
from daemon.ledger.account import Standing
from daemon.ledger.bucket import BUCKETS_MAX, Bucket, Buckets, in_order, total
from daemon.rating.bundle import ONCE
from daemon.store.archive_check import ArchiveCheck
from daemon.store.archives import archived_before
from daemon.store.finding import Finding
from daemon.store.link import Link
from daemon.store.standing_row import WRITTEN, row_of

_call = msgspec.json.Decoder(Call)
_decode = msgspec.json.Decoder(Buckets).decode
_DUE = WRITTEN.index("bucket_due") + 1  # in a row, behind the number
Reserved = list[tuple[int, int]]  # when open calls of an account were asked about, and what each has reserved


def buckets(connection: Link, archives: ArchiveCheck) -> Iterator[Finding]:
    """A bucket is the sum of its entries, never negative; one that has expired is held by calls from before alone."""
    if archives.faults:
        return  # which it says itself
    sums: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for (account, name), amount in archives.buckets().items():
        sums[account][name] = amount
    query = "SELECT account, bucket, sum(amount) FROM entry WHERE bucket <> '' GROUP BY account, bucket"
    for account, name, amount in connection.execute(query):
        sums[account][name] = sums[account].get(name, 0) + int(amount)
    reserved = _reserved(connection)
    query = "SELECT number, tenant, id, balance, bucket_due, buckets FROM account WHERE buckets IS NOT NULL"
    for number, tenant, name, balance, due, text in connection.execute(query):
        subject = f"{tenant}/{name}"
        try:
            there = _decode(text)
        except msgspec.DecodeError as error:
            yield Finding("buckets", subject, f"they cannot be read: {error}")
            continue
        for detail in _faults(there, sums.pop(number, {}), reserved[number]):
            yield Finding("buckets", subject, detail)
        said = row_of(Standing(number, balance, buckets=there))[_DUE]
        if due != said:
            yield Finding("buckets", subject, f"they are looked for at {due}, the first of them expires at {said}")
    for number, names in sorted(sums.items()):
        for name, amount in names.items():
            if amount:
                detail = f"{name} is not there, its entries add up to {format_nano(amount)}"
                yield Finding("buckets", f"account {number}", detail)


def _faults(there: Buckets, sums: dict[str, int], reserved: Reserved) -> Iterator[str]:
    for each in there:
        added = sums.pop(each.id, 0)
        if each.amount != added:
            yield f"{each.id} holds {format_nano(each.amount)}, its entries add up to {format_nano(added)}"
        if each.amount < 0:
            yield f"{each.id} is negative: {format_nano(each.amount)}"
    for name, amount in sums.items():
        if amount:
            yield f"{name} is not there, its entries add up to {format_nano(amount)}"
    if in_order(there) != there or len({each.id for each in there}) != len(there):
        yield "they are not in the order of their use, or one is there twice"
    if len(there) > BUCKETS_MAX:
        yield f"there are {len(there)} of them, at most {BUCKETS_MAX} may be"
    yield from _unheld([each for each in there if each.held is not None], reserved)


def _unheld(closing: list[Bucket], reserved: Reserved) -> Iterator[str]:
    for each in closing:
        held, holding = each.held or 0, sum(amount for since, amount in reserved if each.pays(since))
        if held > holding or each.amount > held:
            yield (
                f"{each.id} has expired and holds {format_nano(each.amount)} for calls that say {format_nano(held)};"
                f" those from before its expiry hold {format_nano(holding)}"
            )
    kept, most = total(tuple(closing)), max((each.held or 0 for each in closing), default=0)
    if kept > most and all(each.amount <= (each.held or 0) for each in closing):
        yield f"those that have expired hold {format_nano(kept)}, calls no more than {format_nano(most)}"


def _reserved(connection: Link) -> defaultdict[int, Reserved]:
    found: defaultdict[int, Reserved] = defaultdict(list)
    for (body,) in connection.execute("SELECT body FROM call WHERE is_open = 1"):
        with contextlib.suppress(msgspec.DecodeError):
            call = _call.decode(body)
            for level in call.levels:
                found[level.account].append((call.requested_at, level.reserved))
    return found


def transfers(connection: Link) -> Iterator[Finding]:
    """A transfer is two entries of two accounts, and moves as much as it takes."""
    query = (
        "SELECT grant_id, sum(amount), count(*), count(DISTINCT account) FROM entry WHERE kind = 'transfer'"
        " GROUP BY grant_id HAVING (sum(amount) <> 0 OR count(*) <> 2 OR count(DISTINCT account) <> 2)"
        # An archiver may be between the two: what has left is held against its file.
        " AND NOT (count(*) = 1 AND EXISTS (SELECT 1 FROM archive WHERE is_done = 0))"
    )
    for reference, amount, entries, accounts in connection.execute(query):
        detail = f"{entries} entries of {accounts} accounts add up to {format_nano(int(amount))}"
        yield Finding("transfers", reference, detail)


def assertions(connection: Link) -> Iterator[Finding]:
    """What a balance was found to be when a person stated it is what the entries before it add up to."""
    query = (
        "SELECT entry.number, entry.account, found, added FROM (SELECT assertion.entry, found, (SELECT"
        " coalesce(sum(amount), 0) FROM entry AS before WHERE before.account = mine.account"
        " AND before.number < mine.number AND (before.at <= assertion.at OR assertion.at = mine.at))"
        " + coalesce((SELECT balance FROM opening WHERE opening.account = mine.account), 0) AS added"
        " FROM assertion JOIN entry AS mine ON mine.number = assertion.entry"
        " WHERE assertion.at >= ?) AS said"
        " JOIN entry ON entry.number = said.entry WHERE found <> added"
    )
    horizon = archived_before(connection)  # a balance of a time that has left cannot be added up here
    for number, account, said, added in connection.execute(query, (horizon,)):
        detail = f"account {account}: found {format_nano(said)}, the entries add up to {format_nano(int(added))}"
        yield Finding("assertions", f"entry {number}", detail)
    query = (
        "SELECT number, kind, amount FROM entry LEFT JOIN assertion ON assertion.entry = entry.number"
        " WHERE (kind = 'balance_assertion' AND (amount <> 0 OR entry IS NULL))"
        " OR (kind <> 'balance_assertion' AND entry IS NOT NULL)"
    )
    for number, kind, amount in connection.execute(query):
        detail = f"{kind} of {format_nano(amount)}: an assertion moves nothing and has what was stated beside it"
        yield Finding("assertions", f"entry {number}", detail)


def given_units(connection: Link) -> Iterator[Finding]:
    """What a meter without a period was given is the sum of its grants, and nothing is used that was not given."""
    given: Counter[tuple[int, str]] = Counter()
    for account, name, units in connection.execute("SELECT account, name, sum(units) FROM unit_grant GROUP BY 1, 2"):
        given[account, name] = int(units)
    query = "SELECT account, name, used, held, carried FROM meter WHERE name LIKE ?"
    for account, name, used, held, carried in connection.execute(query, (f"bundle:%:{ONCE}",)):
        subject, granted = f"account {account}, {name}", given.pop((account, name), 0)
        if carried != granted:
            yield Finding("units", subject, f"{carried} were given, its grants add up to {granted}")
        if used + held > carried:
            yield Finding("units", subject, f"{used} are used and {held} held of {carried} that were given")
    for (account, name), units in sorted(given.items()):
        yield Finding("units", f"account {account}, {name}", f"{units} were granted, there is no meter")
