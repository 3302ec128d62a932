"""``tollway voucher``: batches of codes that are worth money or units; BATCH is the owner's, TENANT/BATCH any other.

A code is shown once, in the file of its batch. It is never printed, and where it is read from standard input or a file
it is in no list of processes either.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from daemon import app_vouchers
from daemon.app_vouchers import (
    BATCH_SIZE_MAX,
    BUCKET_DAYS_MAX,
    TYPED_LENGTH_MAX,
    BucketKind,
    NotRedeemed,
    Redeemed,
    VoucherTerms,
    typed,
)
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused
from daemon.cli.output import dated, print_json, print_pairs, print_table, working
from daemon.cli.parameters import ID, KEY, MONEY, REASON, TIME
from daemon.kernel.ids import Key
from daemon.kernel.instant import format_rfc3339
from daemon.kernel.money import format_nano
from daemon.rating.deck import UNITS_IN_ROW_MAX

FAILURES_SHOWN = 1_000  # wrong codes that one command lists
_SERIAL = click.IntRange(1, BATCH_SIZE_MAX)


@click.group()
def voucher() -> None:
    """Make, redeem, list and block vouchers: BATCH means the owner's batch, TENANT/BATCH any other."""


@voucher.command()
@click.option("--tenant", type=ID, required=True, help="Whose accounts can redeem them.")
@click.option("--batch", type=ID, required=True, help="A name for them together; the ledger shows it.")
@click.option("--count", type=_SERIAL, required=True, help="How many.")
@click.option("--amount", type=MONEY, help="Money of each.")
@click.option("--currency", default="", help="Of the money; the tenant's where not stated.")
@click.option("--units", type=click.IntRange(1, UNITS_IN_ROW_MAX), help="Units of each, and no money.")
@click.option("--bundle", type=ID, help='Whose units: a bundle with period = "once" that each account has.')
@click.option("--bucket", type=ID, help="Into this bucket; the main balance where not stated.")
@click.option("--kind", type=click.Choice([kind.value for kind in BucketKind]), help="Of the bucket; money if unsaid.")
@click.option(
    "--bucket-days",
    type=click.IntRange(1, BUCKET_DAYS_MAX),
    help="The money lasts so many days behind that of its redemption, in a bucket named after its last day.",
)
@click.option("--expires", type=TIME, help="Until when the codes can be redeemed; RFC 3339; for ever if unsaid.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A new file for the codes, readable by its owner alone: they are not shown again.",
)
@REASON
@as_json
@chosen
def create(
    selected: Chosen, tenant: str, batch: str, count: int, amount: int | None, currency: str, units: int | None,
    bundle: str | None, bucket: str | None, kind: str | None, bucket_days: int | None, expires: int | None, out: Path,
    reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Make a batch of vouchers and write their codes to a file, this once."""
    if (amount is None) == (units is None) or (units is None) != (bundle is None):
        raise click.UsageError("a voucher is worth an --amount, or --units of a --bundle")
    if bucket is None and (kind is not None or bucket_days is not None):
        raise click.UsageError("--kind and --bucket-days are those of a --bucket")
    if amount is not None and amount <= 0:
        raise click.BadParameter("more than 0", param_hint="--amount")
    if currency and not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise click.BadParameter("three capital letters of ISO 4217", param_hint="--currency")
    terms = VoucherTerms(
        amount or 0, currency, units or 0, bundle or "", bucket or "", BucketKind(kind) if kind else BucketKind.MONEY,
        bucket_days or 0, expires,
    )  # fmt: skip
    with working("making vouchers") as show:

        def progress(done: int) -> None:
            show(f"making vouchers: {done} of {count}")

        made = Key(tenant, batch)
        selected.perform(
            lambda store: app_vouchers.create(
                store, made, count, terms, out, reason=reason or "voucher create", progress=progress
            )
        )
    if as_json:
        print_json({"tenant": tenant, "batch": batch, "count": count, "file": str(out)})
        return
    click.echo(f"{count} vouchers of batch {tenant}/{batch}; the codes are in {out}, and nowhere else")


@voucher.command()
@click.argument("account_id", metavar="ACCOUNT", type=KEY)
@click.argument("code", required=False)
@click.option("--file", type=click.File("rb"), help="Read the code from the first line of a file.")
@as_json
@chosen
def redeem(selected: Chosen, account_id: str, code: str | None, file: Any, as_json: bool) -> None:
    """Redeem a voucher for ACCOUNT. Without CODE it is read from standard input: no list of processes has it then."""
    if code is not None and file is not None:
        raise click.UsageError("state CODE or --file")
    if code is None:
        line: bytes = (file or sys.stdin.buffer).readline(TYPED_LENGTH_MAX + 2)  # and the end of the line
        code = line.decode("ascii", "replace").strip()
    known = typed(code)
    if known is None:
        raise Refused("this is no code of a voucher: a character is wrong, missing, or in another's place")
    result = selected.perform(lambda store: app_vouchers.redeem(store, account_id, known))
    if isinstance(result, NotRedeemed):
        which = f" (batch {result.batch}, serial {result.serial})" if result.batch else ""
        raise Refused(f"not redeemed: {result.detail or result.fault.value}{which}")
    value = _redeemed(result)
    if as_json:
        print_json(value)
    else:
        print_pairs(value.items())


def _redeemed(result: Redeemed) -> dict[str, Any]:
    terms = result.terms
    return {
        "account": result.account.id, "tenant": result.account.tenant, "batch": result.batch, "serial": result.serial,
        "amount": format_nano(terms.amount), "currency": terms.currency, "units": terms.units, "bundle": terms.bundle,
        "redeemed_at": format_rfc3339(result.at), "repeated": result.repeated,
    }  # fmt: skip


def _batch(row: dict[str, Any]) -> dict[str, Any]:
    times = {name: format_rfc3339(row[name]) if row[name] else None for name in ("expires_at", "blocked_at")}
    state = "unfinished" if not row["is_published"] else "blocked" if row["blocked_at"] else "in force"
    kept = {name: value for name, value in dated(row).items() if name != "is_published"}
    return {**kept, **times, "amount": format_nano(row["amount"]), "state": state}


@voucher.command("list")
@click.option("--tenant", type=ID, help="Only the batches of one tenant.")
@as_json
@chosen
def list_batches(selected: Chosen, tenant: str | None, as_json: bool) -> None:
    """List the batches with their terms, and how many of each are redeemed."""
    found = [_batch(row) for row in selected.perform(app_vouchers.batches) if tenant in (None, row["tenant"])]
    if as_json:
        print_json(found)
        return
    columns = ("tenant", "id", "at", "state", "size", "redeemed", "blocked", "amount", "currency", "units", "bundle",
               "expires_at")  # fmt: skip
    numbers = ("size", "redeemed", "blocked", "amount", "units")
    print_table(columns, [["" if row[name] is None else row[name] for name in columns] for row in found],
                numbers=numbers)  # fmt: skip


@voucher.command()
@click.argument("batch", type=KEY)
@click.option("--serial", type=_SERIAL, help="One voucher of it: what has become of it, and whose it is.")
@as_json
@chosen
def show(selected: Chosen, batch: str, serial: int | None, as_json: bool) -> None:
    """Show a batch, or one voucher of it; a code is never shown."""
    (found,) = selected.perform(lambda store: app_vouchers.batches(store, batch))
    value = _batch(found)
    if serial is not None:
        row = selected.perform(lambda store: app_vouchers.voucher(store, batch, serial))
        at = format_rfc3339(row["redeemed_at"]) if row["redeemed_at"] else None
        value = {
            "batch": found["id"], "serial": serial, "state": app_vouchers.state_of(row, found, app_vouchers.clock()),
            "tenant": row["tenant"], "account": row["account"], "redeemed_at": at,
        }  # fmt: skip
    if as_json:
        print_json(value)
    else:
        print_pairs((name, "" if item is None else item) for name, item in value.items())


@voucher.command()
@click.argument("batch", type=KEY)
@click.option("--serials", help="FIRST-LAST, or one serial; the whole batch where not stated.")
@click.option("--reason", required=True, help="Why; kept with the change and whoever made it.")
@as_json
@chosen
def block(selected: Chosen, batch: str, serials: str | None, reason: str, as_json: bool) -> None:
    """Make vouchers worthless that nobody has redeemed: stolen, lost, or never to be sold."""
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    which = None if serials is None else _serials(serials)
    count = selected.perform(lambda store: app_vouchers.block(store, batch, which, reason))
    if as_json:
        print_json({"batch": batch.rpartition("/")[2], "blocked": count})
        return
    click.echo(f"{count} vouchers of batch {batch} are blocked now that could be redeemed before")


def _serials(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    last = last if dash else first
    if any(not each.isdecimal() or len(each) > len(str(BATCH_SIZE_MAX)) for each in (first, last)):
        raise click.BadParameter("FIRST-LAST, such as 1-1000, or one serial", param_hint="--serials")
    if not 1 <= int(first) <= int(last) <= BATCH_SIZE_MAX:
        raise click.BadParameter(f"from 1 to {BATCH_SIZE_MAX}, the first first", param_hint="--serials")
    return int(first), int(last)


@voucher.command()
@click.argument("batch", type=KEY)
@click.option("--out", type=click.File("w"), default="-", help="A file; standard output where not stated.")
@as_json
@chosen
def export(selected: Chosen, batch: str, out: Any, as_json: bool) -> None:
    """Write what has become of each voucher of a batch as CSV: serial, state, tenant, account, redeemed_at; no code."""
    if as_json and out.name == "<stdout>":
        raise click.UsageError("--json tells of a file: state --out")
    write: Callable[[str], object] = out.write
    selected.perform(lambda store: app_vouchers.export(store, batch, write))
    if as_json:
        print_json({"batch": batch.rpartition("/")[2], "file": out.name})


@voucher.command()
@as_json
@chosen
def failures(selected: Chosen, as_json: bool) -> None:
    """List the newest codes that were not redeemed: when, for which account, by which token, and why."""
    found = [dated(row) for row in selected.perform(lambda store: app_vouchers.failures(store, FAILURES_SHOWN))]
    if as_json:
        print_json(found)
        return
    columns = ("at", "tenant", "account", "token", "reason", "batch", "serial")
    print_table(columns, [[row[name] for name in columns] for row in found])
