"""Every invariant that ``db check`` holds the store to: its name, what holds, and what to do where it does not.

The list is closed: a finding names one of these, docs/operations/check.md tells the same, and each is broken by a test.
What to do begins with the least: nothing here is mended by writing to the store by hand.
"""

from typing import Final, NamedTuple

BACKUP: Final = "the store was written to past the daemon, or its disk is failing: look at the log of the disk, and go"
BACK: Final = f"{BACKUP} back to a backup in which db check finds nothing (docs/operations/backup.md)"


class Invariant(NamedTuple):
    """What holds of a store, and what an operator does where it does not."""

    law: str
    mend: str


INVARIANTS: Final = {
    "file": Invariant(
        "the file of SQLite is whole, page by page",
        "stop the daemon, look at the disk, and go back to the newest backup in which db check finds nothing",
    ),
    "server": Invariant(
        "PostgreSQL keeps what it says that it has committed: fsync and full_page_writes are on",
        "turn the setting on, and reload the server; what was committed meanwhile may have been lost in a crash",
    ),
    "schema": Invariant(
        "the schema is this release's: its one revision, every index, and no trigger or view",
        "run 'tollway db upgrade' where the revision is older; where an index is missing, or something is there that"
        " acts on its own, go back to a backup",
    ),
    "whole numbers": Invariant("no amount is anything but an integer of nano-units or of units", BACK),
    "standings": Invariant(
        "what an account has is the sum of its entries and of what left with archives: balance, reserved, uncollected,"
        " channels",
        f"{BACKUP} back to a backup, or put the balance right with 'tollway account adjust' once it is known which of"
        " both is true",
    ),
    "running balances": Invariant("each entry says what it left: the sum of its account's entries up to it", BACK),
    "entries": Invariant(
        "an entry moves what its kind moves, names a call or a person as its kind does, and has the time of the record"
        " that made it",
        BACK,
    ),
    "open calls": Invariant(
        "what an account has reserved, and its channels in use, are those of its open calls",
        f"{BACKUP} back to a backup; what is held too much refuses calls, and 'tollway account show' tells how much",
    ),
    "held by calls": Invariant(
        "what the entries of a call still hold is what it holds while it is open, and nothing afterwards",
        f"look at the call with 'tollway call show'; {BACK}",
    ),
    "calls": Invariant(
        "the columns of a call say what its body says, and the body can be read",
        f"'tollway call recovery' lists open calls that cannot be read; {BACK}",
    ),
    "records": Invariant(
        "every debit has its record and every refund its reversal, of the same sums; a record's columns say what its"
        " body says; a call says that it was charged what its records add up to",
        f"hold the export of the account back, look at 'tollway call show' and 'account history'; {BACK}",
    ),
    "meters": Invariant(
        "a meter has used what the records of its period say, and holds what open calls hold of it",
        f"'tollway account show' tells the units; {BACK}",
    ),
    "buckets": Invariant(
        "a bucket is the sum of the entries that name it, never negative, in the order of use, and once expired holds"
        " no more than calls from before",
        f"'tollway account show' and 'account history' tell its entries; {BACK}",
    ),
    "transfers": Invariant(
        "a transfer is two entries of two accounts, and moves as much as it takes",
        f"look at both in 'tollway account history', and adjust the side that is wrong; {BACK}",
    ),
    "assertions": Invariant(
        "what a balance was found to be when a person stated it is what the entries before add up to; an assertion"
        " moves nothing",
        BACK,
    ),
    "units": Invariant(
        "units given once are the sum of their grants, and no more is used than was given",
        f"'tollway account show' and 'account history' tell the grants; {BACK}",
    ),
    "vouchers": Invariant(
        "a redeemed voucher brought what it is worth, once, and nothing else was entered as one's; a batch is whole",
        f"'tollway voucher show BATCH --serial N' tells whose it is; {BACK}",
    ),
    "suspensions": Invariant(
        "an account is suspended by the rule where its newest entry of the rule says so",
        f"'tollway account topup' or 'adjust' makes the rule look again; {BACK}",
    ),
    "unique keys": Invariant(
        "what may be there once is there once: grants, charge keys, records, idempotency keys", BACK
    ),
    "references": Invariant("what names an account names one that exists, and what is configured has its number", BACK),
    "export batches": Invariant(
        "a tenant's batches are numbered without a gap, and each begins where the one before ends",
        "run no export until 'tollway export verify' tells which is true, and compare with what invoicing has"
        " (docs/operations/export.md)",
    ),
    "archives": Invariant(
        "what left the store is whole, in files as their manifests say, month after month, and is not in the store too",
        "bring the file or month back from where the archive folder is copied to; months that the store does not know"
        " are moved away (docs/operations/archives.md)",
    ),
    "openings": Invariant(
        "of an account, what stays behind of archived entries is what they add up to",
        f"bring the archives of this store back, see 'archives'; {BACK}",
    ),
    "spent keys": Invariant(
        "every idempotency key of an archived entry is kept, as it was, and used once",
        f"bring the archives of this store back, see 'archives'; {BACK}",
    ),
}
