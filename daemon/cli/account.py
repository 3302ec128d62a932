"""``tollway account``: customers, their money, and who changed what; ``ID`` is the owner's, ``TENANT/ID`` any.

Money moves by entries only: a top-up has a key, so that repeating the command never pays twice.
"""

from typing import Any

import click

from daemon.app_commands import AccountKind, AccountView, EntryKind, NewAccount, Opened, clock
from daemon.authorize.catalog import Status
from daemon.cli.command import Chosen, as_json, chosen
from daemon.cli.failure import Refused
from daemon.cli.output import dated, print_json, print_pairs, print_table
from daemon.cli.parameters import CREDIT, ID, KEY, MONEY, REASON, UNLIMITED
from daemon.kernel.money import format_nano

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
        "currency": spec.currency, "balance": format_nano(standing.balance), "reserved": format_nano(standing.reserved),
        "uncollected": format_nano(standing.uncollected),
        "available": UNLIMITED if left is None else format_nano(left),
        "credit_limit": UNLIMITED if limit is None else format_nano(limit),
        "rate_plan": max(begun, key=lambda plan: plan.begins).plan if begun else "",
        "channels": {
            "inbound": standing.channels_in, "outbound": standing.channels_out, "total": standing.channels,
        },
    }  # fmt: skip


def _print_account(view: AccountView, *, json: bool, also: dict[str, Any] | None = None) -> None:
    value = {**account_value(view), **(also or {})}
    if json:
        print_json(value)
        return
    channels = value.pop("channels")
    value["channels"] = f"{channels['total']} in use ({channels['inbound']} in, {channels['outbound']} out)"
    print_pairs(value.items())


async def _found(store: Opened, text: str) -> AccountView:
    view = await store.account(text)
    if view is None:
        raise Refused(f"there is no account {await store.key(text)}")
    return view


@account.command("list")
@click.option("--tenant", type=ID, help="Only the accounts of one tenant.")
@as_json
@chosen
def list_accounts(selected: Chosen, tenant: str | None, as_json: bool) -> None:
    """List the accounts with their money and their channels in use."""
    views = selected.perform(lambda store: store.accounts())
    values = [account_value(view) for view in views if tenant in (None, view.spec.tenant)]
    if as_json:
        print_json(values)
        return
    columns = ("tenant", "id", "kind", "status", "balance", "reserved", "available", "currency", "rate_plan")
    rows = [[value[name] for name in columns] + [value["channels"]["total"]] for value in values]
    print_table((*columns, "calls"), rows, numbers=("balance", "reserved", "available", "calls"))


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@as_json
@chosen
def show(selected: Chosen, account_id: str, as_json: bool) -> None:
    """Show one account: what it has, what is held for calls, what a new call may use."""
    _print_account(selected.perform(lambda store: _found(store, account_id)), json=as_json)


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@click.option("--kind", type=click.Choice([kind.value for kind in AccountKind]), required=True, help="Pays when.")
@click.option("--currency", default="", help="ISO 4217; must be the tenant's, which is the default.")
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
@click.argument("amount", type=MONEY)
@click.option("--key", required=True, help="The same key and amount again change nothing; another amount is refused.")
@REASON
@as_json
@chosen
def topup(selected: Chosen, account_id: str, amount: int, key: str, reason: str, as_json: bool) -> None:
    """Add money to an account, once for each key."""
    if amount <= 0:
        raise click.BadParameter("a top-up is more than 0; to take money away there is adjust", param_hint="AMOUNT")
    _credit(selected, account_id, EntryKind.TOP_UP, amount, _key(key), reason, json=as_json)


@account.command(context_settings=_NEGATIVE_AMOUNTS)
@click.argument("account_id", metavar="ID", type=KEY)
@click.argument("amount", type=MONEY)
@click.option("--key", default="", help="The same key and amount again change nothing.")
@click.option("--reason", required=True, help="Why; kept with the entry and whoever made it.")
@as_json
@chosen
def adjust(selected: Chosen, account_id: str, amount: int, key: str, reason: str, as_json: bool) -> None:
    """Correct an account's balance by an amount of either sign, with a reason."""
    if amount == 0:
        raise click.BadParameter("an adjustment of 0 changes nothing", param_hint="AMOUNT")
    if not reason.strip():
        raise click.BadParameter("say why", param_hint="--reason")
    _credit(selected, account_id, EntryKind.ADJUST, amount, _key(key) if key else "", reason, json=as_json)


def _key(key: str) -> str:
    if not 0 < len(key) <= KEY_LENGTH_MAX or not (key.isascii() and key.isprintable()):
        raise click.BadParameter(f"1 to {KEY_LENGTH_MAX} printable ASCII characters", param_hint="--key")
    return key


def _credit(
    selected: Chosen, account_id: str, kind: EntryKind, amount: int, key: str, reason: str, *, json: bool
) -> None:
    credited = selected.perform(lambda store: store.credit(account_id, kind, amount, key=key, reason=reason))
    also = {"amount": format_nano(credited.amount), "repeated": credited.repeated}
    _print_account(credited.view, json=json, also=also)


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
    _set_status(selected, account_id, Status.SUSPENDED, reason, json=as_json)


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@REASON
@as_json
@chosen
def resume(selected: Chosen, account_id: str, reason: str, as_json: bool) -> None:
    """Let a suspended account call again."""
    _set_status(selected, account_id, Status.ACTIVE, reason, json=as_json)


@account.command()
@click.argument("account_id", metavar="ID", type=KEY)
@as_json
@chosen
def history(selected: Chosen, account_id: str, as_json: bool) -> None:
    """Show an account's newest entries in the ledger, archived ones too, and who changed it, when and why."""

    async def read(store: Opened) -> dict[str, Any]:
        await _found(store, account_id)
        entries, changes = await store.history(account_id)
        return {"entries": [_entry(entry) for entry in entries], "changes": [dated(change) for change in changes]}

    value = selected.perform(read)
    if as_json:
        print_json(value)
        return
    columns = ["at", "kind", "amount", "pending", "balance_after", "reserved_after", "grant_id", "key", "who", "reason"]
    if any(entry["archive"] for entry in value["entries"]):
        columns.append("archive")
    rows = [[_blank(entry[name]) for name in columns] for entry in value["entries"]]
    print_table(columns, rows, numbers=("amount", "pending", "balance_after", "reserved_after"))
    names = ("at", "act", "detail", "who", "reason")
    print_table(names, [[_blank(change[name]) for name in names] for change in value["changes"]])


def _blank(value: object) -> object:
    return "" if value is None else value


def _entry(row: dict[str, Any]) -> dict[str, Any]:
    return {**dated(row), **{name: format_nano(row[name]) for name in _MONEY}}
