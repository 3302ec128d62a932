"""``tollway account``: customers, their money, and who changed what; ``ID`` is the owner's, ``TENANT/ID`` any.

Money moves by entries only: a top-up has a key, so that repeating the command never pays twice.
"""

from collections.abc import Mapping
from typing import Any

import click

from daemon.app_commands import (
    AccountKind,
    AccountView,
    Assertion,
    Bucket,
    BucketKind,
    ChannelPackageSpec,
    EntryKind,
    History,
    NewAccount,
    Opened,
    Transferred,
    UnitsView,
    Wanted,
    clock,
    no_account,
)
from daemon.authorize.catalog import Status
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused
from daemon.cli.output import dated, print_json, print_notes, print_pairs, print_table
from daemon.cli.parameters import CREDIT, ID, KEY, MONEY, REASON, TIME, UNLIMITED
from daemon.kernel.instant import format_rfc3339
from daemon.kernel.money import format_nano
from daemon.ledger.bucket import PRIORITY_MAX
from daemon.rating.bundle import bundle_of
from daemon.rating.deck import UNITS_IN_ROW_MAX

EVENTS_LISTED_MAX = 10_000  # events of one listing; a terminal and a script both have an end
TOP_UP = "account topup"  # why money or units came, where nobody says
KEY_LENGTH_MAX = 200  # characters of an idempotency key, as over HTTP
_MONEY = ("amount", "pending", "uncollected", "balance_after", "reserved_after")
# A negative amount begins like an option; nothing that these commands do not know begins with a digit.
_NEGATIVE_AMOUNTS = {"ignore_unknown_options": True}


@click.group()
def account() -> None:
    """Show and change accounts: ID means the owner's account, TENANT/ID any other."""


def account_value(view: AccountView) -> dict[str, Any]:
    """Return an account as ``account show --json`` promises it."""
    spec, standing, now = view.spec, view.standing, clock()
    begun = [plan for plan in spec.rate_plan if plan.begins <= now]
    limit, left = spec.credit_limit, view.available
    return {
        "id": spec.id, "tenant": spec.tenant, "kind": spec.kind.value, "status": spec.status.value,
        "suspended_by": view.suspended_by, "currency": spec.currency, "balance": format_nano(standing.balance),
        "reserved": format_nano(standing.reserved),
        "uncollected": format_nano(standing.uncollected),
        "available": UNLIMITED if left is None else format_nano(left),
        "credit_limit": UNLIMITED if limit is None else format_nano(limit),
        "rate_plan": max(begun, key=lambda plan: plan.begins).plan if begun else "",
        "channels": {
            "inbound": standing.channels_in, "outbound": standing.channels_out, "total": standing.channels,
        },
        "main": format_nano(standing.main), "buckets": [_bucket(each) for each in standing.buckets],
    }  # fmt: skip


def _bucket(bucket: Bucket) -> dict[str, Any]:
    expires_at = None if bucket.expires_at is None else format_rfc3339(bucket.expires_at)
    return {
        "id": bucket.id, "kind": bucket.kind.value, "priority": bucket.priority, "expires_at": expires_at,
        "amount": format_nano(bucket.amount), "expired": bucket.held is not None,
    }  # fmt: skip


def _units(view: UnitsView) -> dict[str, Any]:
    return {
        "id": view.bundle, "unit": view.unit, "period": view.period, "left": view.left, "used": view.used,
        "held": view.held, "carried": view.carried,
        "expires_at": None if view.expires_at is None else format_rfc3339(view.expires_at),
    }  # fmt: skip


def _print_account(view: AccountView, *, json: bool, also: dict[str, Any] | None = None) -> None:
    value = {**account_value(view), **(also or {})}
    if json:
        print_json(value)
        return
    channels, buckets, bundles = value.pop("channels"), value.pop("buckets"), value.pop("bundles", [])
    packages = value.pop("channel_packages", [])
    value["channels"] = f"{channels['total']} in use ({channels['inbound']} in, {channels['outbound']} out)"
    if not buckets:
        del value["main"]
    print_pairs(value.items())
    _print_parts(buckets, ("amount", "priority"))
    _print_parts(bundles, ("left", "used", "held", "carried"))
    _print_parts(packages, ("total", "inbound", "outbound", "monthly_price"))


def _print_parts(parts: list[dict[str, Any]], numbers: tuple[str, ...]) -> None:
    if parts:
        print_table(tuple(parts[0]), [[_blank(value) for value in part.values()] for part in parts], numbers=numbers)


async def _found(store: Opened, text: str) -> AccountView:
    view = await store.account(text)
    if view is None:
        raise Refused(no_account(await store.key(text)))
    return view


@account.command("list")
@click.option("--tenant", type=ID, help="Only the accounts of one tenant.")
@as_json
@chosen
def list_accounts(selected: Chosen, tenant: str | None, as_json: bool) -> None:
    """List the accounts with their money and their channels in use."""

    async def read(store: Opened) -> list[AccountView]:
        await store.known_tenant(tenant)
        return await store.accounts()

    views = selected.perform(read)
    values = [account_value(view) for view in views if tenant in (None, view.spec.tenant)]
    if as_json:
        print_json(values)
        return
    columns = (
        "tenant",
        "id",
        "kind",
        "status",
        "suspended_by",
        "balance",
        "reserved",
        "available",
        "currency",
        "rate_plan",
    )
    rows = [[value[name] for name in columns] + [value["channels"]["total"]] for value in values]
    print_table((*columns, "calls"), rows, numbers=("balance", "reserved", "available", "calls"))


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@as_json
@chosen
def show(selected: Chosen, account_id: str, as_json: bool) -> None:
    """Show one account: its money, buckets, bundles and channel packages, what is held, what a new call may use."""

    async def read(store: Opened) -> tuple[AccountView, list[UnitsView], list[ChannelPackageSpec]]:
        view = await _found(store, account_id)
        stated = (await store.configuration()).channel_packages
        mine = [each for each in stated if (each.tenant, each.account) == (view.spec.tenant, view.spec.id)]
        return view, await store.units(view), mine

    view, units, packages = selected.perform(read)
    also = {"bundles": [_units(each) for each in units], "channel_packages": [package_value(each) for each in packages]}
    _print_account(view, json=as_json, also=also)


def package_value(spec: ChannelPackageSpec) -> dict[str, Any]:
    """Return a channel package as ``account show --json`` promises it."""
    return {
        "id": spec.id, "total": spec.channels_total, "inbound": spec.channels_in, "outbound": spec.channels_out,
        "from": format_rfc3339(spec.begins) if spec.begins else None,
        "until": format_rfc3339(spec.ends) if spec.ends is not None else None,
        "monthly_price": format_nano(spec.monthly_price),
    }  # fmt: skip


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@click.option("--kind", type=click.Choice([kind.value for kind in AccountKind]), required=True, help="Pays when.")
@click.option("--currency", default="", help="ISO 4217; default: the tenant's. Another needs rates between both.")
@click.option("--balance", type=MONEY, default="0", help="Opening balance; negative where it begins with a debt.")
@click.option(
    "--credit-limit", type=CREDIT, help="Below zero, at most; 'unlimited' only for postpaid, which states it."
)
@click.option("--rate-plan", type=ID, default=None, help="The plan of its outbound calls.")
@click.option("--inbound-rate-plan", type=ID, default=None, help="The plan of its inbound calls.")
@click.option("--channels", type=click.IntRange(0, 1_000_000), help="Calls at once, at most.")
@click.option("--sip-user", default="", help="A SIP user whose calls it pays.")
@click.option(
    "--password", default="", envvar="TOLLWAY_PASSWORD", show_envvar=True, help="Of the SIP user; never printed."
)
@REASON
@as_json
@chosen
def create(
    selected: Chosen, account_id: str, kind: str, currency: str, balance: int, credit_limit: int | str | None,
    rate_plan: str | None, inbound_rate_plan: str | None, channels: int | None, sip_user: str, password: str,
    reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Create an account. What a scenario file states besides can be given there."""
    limit = _credit_limit(AccountKind(kind), credit_limit)
    if password and not sip_user:
        raise click.UsageError("--password belongs to --sip-user")
    new = NewAccount(
        AccountKind(kind), currency, balance, limit, rate_plan or "", inbound_rate_plan or "", channels, sip_user,
        password,
    )  # fmt: skip
    view = selected.perform(lambda store: store.create_account(account_id, new, reason=reason or "account create"))
    _print_account(view, json=as_json)


def _credit_limit(kind: AccountKind, stated: int | str | None) -> int | None:
    if stated is None and kind is AccountKind.POSTPAID:
        raise click.UsageError("a postpaid account states --credit-limit: an amount, or unlimited")
    if stated == UNLIMITED:
        if kind is AccountKind.PREPAID:
            raise click.UsageError("a prepaid account has a limit: state an amount")
        return None
    limit = int(stated or 0)
    if limit < 0:
        raise click.UsageError("--credit-limit is 0 or more")
    return limit


@account.command(context_settings=_NEGATIVE_AMOUNTS)
@click.argument("account_id", metavar="ID", type=KEY)
@click.argument("amount", type=MONEY, required=False)
@click.option("--key", required=True, help="The same key and amount again change nothing; another amount is refused.")
@click.option("--bucket", type=ID, help="Into this bucket, which is made where it is not there.")
@click.option(
    "--kind", type=click.Choice([kind.value for kind in BucketKind]), help="Of a new bucket; money if unsaid."
)
@click.option("--priority", type=click.IntRange(0, PRIORITY_MAX), help="Of a new bucket: the lower pays first; 0.")
@click.option("--expires", type=TIME, help="Until when a new bucket, or units, can be used; RFC 3339; never if unsaid.")
@click.option("--units", type=click.IntRange(1, UNITS_IN_ROW_MAX), help="Units of a bundle, and no money.")
@click.option("--bundle", type=ID, help='Whose units: a bundle with period = "once".')
@REASON
@as_json
@chosen
def topup(
    selected: Chosen, account_id: str, amount: int | None, key: str, bucket: str | None, kind: str | None,
    priority: int | None, expires: int | None, units: int | None, bundle: str | None, reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Add money to an account or to a bucket of it, or units to a bundle, once for each key."""
    if units is not None or bundle is not None:
        if units is None or bundle is None or any(given is not None for given in (amount, bucket, kind, priority)):
            raise click.UsageError("--units belong to a --bundle, and go without AMOUNT and without a bucket's options")
        _give_units(selected, account_id, bundle, units, expires, _key(key), reason or TOP_UP, json=as_json)
        return
    if amount is None:
        raise click.UsageError("state an AMOUNT, or --units of a --bundle")
    if amount <= 0:
        raise click.BadParameter("a top-up is more than 0; to take money away there is adjust", param_hint="AMOUNT")
    if bucket is None and any(given is not None for given in (kind, priority, expires)):
        raise click.UsageError("--kind, --priority and --expires are those of a --bucket")
    wanted = None if bucket is None else Wanted(bucket, BucketKind(kind) if kind else None, priority, expires)
    _credit(selected, account_id, EntryKind.TOP_UP, amount, _key(key), reason or TOP_UP, bucket=wanted, json=as_json)


def _give_units(
    selected: Chosen, account_id: str, bundle: str, units: int, expires: int | None, key: str, reason: str, *,
    json: bool,
) -> None:  # fmt: skip
    async def give(store: Opened) -> tuple[bool, AccountView, list[UnitsView]]:
        repeated = await store.give_units(account_id, bundle, units, expires, key=key, reason=reason)
        view = await _found(store, account_id)
        return repeated, view, await store.units(view)

    repeated, view, has = selected.perform(give)
    also = {"units": units, "repeated": repeated, "bundles": [_units(each) for each in has]}
    _print_account(view, json=json, also=also)


@account.command(context_settings=_NEGATIVE_AMOUNTS)
@click.argument("giver", metavar="FROM", type=KEY)
@click.argument("taker", metavar="TO", type=KEY)
@click.argument("amount", type=MONEY)
@click.option("--key", required=True, help="The same key, amount and accounts again change nothing.")
@REASON
@as_json
@chosen
def transfer(selected: Chosen, giver: str, taker: str, amount: int, key: str, reason: str, as_json: bool) -> None:
    """Move money from one account's main balance to another's of the same tenant and currency, once for each key."""
    if amount <= 0:
        raise click.BadParameter("a transfer is more than 0", param_hint="AMOUNT")
    moved: Transferred = selected.perform(
        lambda store: store.transfer(giver, taker, amount, key=_key(key), reason=reason)
    )
    views = {"from": account_value(moved.giver), "to": account_value(moved.taker)}
    if as_json:
        print_json({"amount": format_nano(moved.amount), "repeated": moved.repeated, **views})
        return
    columns = ("tenant", "id", "balance", "reserved", "available", "currency")
    rows = [[side, *(value[name] for name in columns)] for side, value in views.items()]
    print_pairs([("amount", format_nano(moved.amount)), ("repeated", moved.repeated)])
    print_table(("", *columns), rows, numbers=("balance", "reserved", "available"))


@account.command("assert", context_settings=_NEGATIVE_AMOUNTS)
@click.argument("account_id", metavar="ID", type=KEY)
@click.argument("balance", type=MONEY)
@click.option("--at", type=TIME, help="After the entries until this instant, RFC 3339; now where not stated.")
@click.option("--reason", required=True, help="Why, or by which paper; kept with the entry and whoever made it.")
@as_json
@chosen
def assert_balance(
    selected: Chosen, account_id: str, balance: int, at: int | None, reason: str, as_json: bool
) -> None:  # fmt: skip
    """State what an account's balance should be, buckets contained; a difference is listed as an exception (exit 1)."""
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    said: Assertion = selected.perform(lambda store: store.assert_balance(account_id, balance, at, reason=reason))
    value = assertion_value(said)
    if as_json:
        print_json(value)
    else:
        print_pairs(value.items())
    if not said.holds:
        raise Refused(f"the balance was {value['found']}, not {value['stated']}: it is on the exception list")


@account.command(context_settings=_NEGATIVE_AMOUNTS)
@click.argument("account_id", metavar="ID", type=KEY)
@click.argument("amount", type=MONEY)
@click.option("--key", default="", help="The same key and amount again change nothing.")
@click.option("--bucket", type=ID, help="Of this bucket, which is there; the main balance where not stated.")
@click.option("--reason", required=True, help="Why; kept with the entry and whoever made it.")
@as_json
@chosen
def adjust(
    selected: Chosen, account_id: str, amount: int, key: str, bucket: str | None, reason: str, as_json: bool
) -> None:  # fmt: skip
    """Correct an account's balance by an amount of either sign, with a reason."""
    if amount == 0:
        raise click.BadParameter("an adjustment of 0 changes nothing", param_hint="AMOUNT")
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    wanted = None if bucket is None else Wanted(bucket)
    kept = _key(key) if key else ""
    _credit(selected, account_id, EntryKind.ADJUST, amount, kept, reason, bucket=wanted, json=as_json)


def _key(key: str) -> str:
    if not 0 < len(key) <= KEY_LENGTH_MAX or not (key.isascii() and key.isprintable()):
        raise click.BadParameter(f"1 to {KEY_LENGTH_MAX} printable ASCII characters", param_hint="--key")
    return key


def _credit(
    selected: Chosen, account_id: str, kind: EntryKind, amount: int, key: str, reason: str, *,
    bucket: Wanted | None, json: bool,
) -> None:  # fmt: skip
    credited = selected.perform(
        lambda store: store.credit(account_id, kind, amount, key=key, reason=reason, bucket=bucket)
    )
    also = {"amount": format_nano(credited.amount), "repeated": credited.repeated}
    _print_account(credited.view, json=json, also=also)
    if kind is EntryKind.ADJUST and amount < 0 and bucket is None:
        _tell_beyond_credit(credited.view)


def _tell_beyond_credit(view: AccountView) -> None:
    """Say where a correction has taken an account further down than a call could."""
    limit, main = view.spec.credit_limit, view.standing.main
    if limit is not None and main < -limit:
        print_notes([
            f"the main balance {format_nano(main)} lies below the credit limit {format_nano(limit)}: a correction may,"
            " a call could not; new calls are refused until it is paid"
        ])  # fmt: skip


def _set_status(selected: Chosen, account_id: str, status: Status, reason: str, *, json: bool) -> None:
    view = selected.perform(lambda store: store.set_status(account_id, status, reason))
    _print_account(view, json=json)


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@REASON
@as_json
@chosen
def suspend(selected: Chosen, account_id: str, reason: str, as_json: bool) -> None:
    """Refuse new calls of an account; calls that run go on."""
    _set_status(selected, account_id, Status.SUSPENDED, reason or "account suspend", json=as_json)


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@REASON
@as_json
@chosen
def resume(selected: Chosen, account_id: str, reason: str, as_json: bool) -> None:
    """Let a suspended account call again; a closed one is opened by its scenario file alone."""
    _set_status(selected, account_id, Status.ACTIVE, reason or "account resume", json=as_json)


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@as_json
@chosen
def history(selected: Chosen, account_id: str, as_json: bool) -> None:
    """Show an account's newest entries in the ledger, archived ones too, units given, and who did it, when and why."""

    async def read(store: Opened) -> dict[str, Any]:
        await _found(store, account_id)
        return history_value(await store.history(account_id))

    value = selected.perform(read)
    if as_json:
        print_json(value)
        return
    columns = [
        "at", "kind", "amount", "pending", "balance_after", "reserved_after", "bucket", "grant_id", "key", "who",
        "reason",
    ]  # fmt: skip
    columns += [name for name in ("asserted", "archive") if any(entry[name] for entry in value["entries"])]
    rows = [[_shown(entry[name]) for name in columns] for entry in value["entries"]]
    print_table(columns, rows, numbers=("amount", "pending", "balance_after", "reserved_after"))
    _print_parts(value["units"], ("units",))
    names = ("at", "act", "detail", "who", "reason")
    print_table(names, [[_blank(change[name]) for name in names] for change in value["changes"]])


@account.command()
@click.argument("account_id", metavar="[ID]", type=KEY, required=False)
@click.option(
    "--limit", type=click.IntRange(1, EVENTS_LISTED_MAX), default=1000, show_default=True, help="The newest, at most."
)
@as_json
@chosen
def events(selected: Chosen, account_id: str | None, limit: int, as_json: bool) -> None:
    """List what fraud rules saw of an account, or of all, newest first."""
    found = [dated(event) for event in selected.perform(lambda store: store.events(account_id, limit))]
    columns = ("number", "at", "kind", "tenant", "account", "rule", "act", "call_id", "detail")
    if as_json:
        print_json(found)
    else:
        print_table(columns, [[event[name] for name in columns] for event in found])


def _blank(value: object) -> object:
    return "" if value is None else value


def _shown(value: Any) -> object:
    """Return a cell; of an assertion, what was stated and whether it held."""
    if isinstance(value, dict):
        held = "holds" if value["holds"] else f"found {value['found']}"
        return f"{value['stated']} at {value['at']}: {held}"
    return _blank(value)


def history_value(found: History) -> dict[str, Any]:
    """Return what happened to an account as ``account history --json`` promises it."""
    return {
        "entries": [_entry(entry, found.assertions) for entry in found.entries],
        "units": [_given(row) for row in found.units],
        "changes": [dated(change) for change in found.changes],
    }  # fmt: skip


def _given(row: dict[str, Any]) -> dict[str, Any]:
    """Return units given, or with a minus what had expired of them."""
    expires_at = format_rfc3339(row["expires_at"]) if row["expires_at"] else None
    return {
        "at": format_rfc3339(row["at"]), "bundle": bundle_of(row["name"]), "units": row["units"],
        "expires_at": expires_at, "key": row["key"], "who": row["who"], "reason": row["reason"],
    }  # fmt: skip


def _entry(row: dict[str, Any], assertions: Mapping[int, Assertion]) -> dict[str, Any]:
    said = assertions.get(row["number"])
    value = {**dated(row), **{name: format_nano(row[name]) for name in _MONEY}}
    return {**value, "asserted": None if said is None else assertion_value(said)}


def assertion_value(said: Assertion) -> dict[str, Any]:
    """Return a stated balance, and what it was."""
    return {
        "at": format_rfc3339(said.at), "stated": format_nano(said.stated), "found": format_nano(said.found),
        "difference": format_nano(said.found - said.stated), "holds": said.holds,
    }  # fmt: skip
