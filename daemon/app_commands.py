"""What commands do without a running daemon: they open the store, do one thing in a transaction, and close it.

Commands see values and typed errors, never a database, a socket or an adapter; a daemon follows within a second.
"""

import asyncio
import getpass
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TypeVar

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountKind, Status
from daemon.authorize.decision import Decision, Rule
from daemon.billing_export.batch import ExportError, ExportUnavailable, sequence_of
from daemon.billing_export.export import Exported, Progress, export_again, run_exports
from daemon.billing_export.export import Refused as ExportRefused
from daemon.billing_export.source import StoreSource
from daemon.billing_export.verify import Finding, ListedBatch, list_batches, verify_exports
from daemon.charging.call import Call
from daemon.charging.configuration import (
    AccountSpec,
    Configuration,
    EndpointSpec,
    NasSpec,
    PlanFrom,
    TenantSpec,
    TokenSpec,
)
from daemon.charging.ocf import OnlineCharging
from daemon.charging.ports import Book, Reads, StoreError, StoreUnavailable
from daemon.config_files.scenario_file import Scenario
from daemon.http_api.replies import charged_so_far
from daemon.ingest.batch_columns import FileRefused
from daemon.ingest.batch_rules import AccountRule, BatchRules
from daemon.ingest.batch_summary import BatchStatus, BatchSummary
from daemon.journal import EmergencyJournal
from daemon.kernel.e164 import digits
from daemon.kernel.ids import Key, split_key
from daemon.kernel.instant import Instant
from daemon.kernel.money import Rounding, divide
from daemon.ledger.account import EntryKind, Standing
from daemon.radius.client import NoReply, Reply, parse_pairs
from daemon.radius.client import send as radius_send
from daemon.radius.inspection import decode as radius_decode
from daemon.radius.packet import LocalPacketError, RadiusError
from daemon.rating.deck import RateRow
from daemon.rating.explain import Priced, price
from daemon.rating.rate_plan import RatePlan
from daemon.rating.rate_table import Usage
from daemon.rating.tariff import Tariff
from daemon.settings import Settings
from daemon.store import SqliteStore, open_store
from daemon.store.administration import AccountView, Credited, Difference, Refused
from daemon.store.check import Finding as StoreFinding
from daemon.store.check import check_store
from daemon.store.decks import DeckChange, DeckDifference
from daemon.store.objects import note
from daemon.store.sqlite import path_of

T = TypeVar("T")

__all__ = [
    "AccountKind", "AccountView", "BatchRules", "BatchStatus", "BatchSummary", "Call", "CallAttempt", "Credited",
    "Decision", "DeckDifference", "Difference", "EntryKind", "ExportError", "ExportRefused", "ExportUnavailable",
    "Exported", "FileRefused", "Finding", "ListedBatch",
    "LocalPacketError", "NasSpec", "NewAccount", "NoReply", "Opened", "Priced", "PricedCall", "Progress", "RadiusError",
    "Refused", "Reply", "Rule", "Status", "StoreError", "StoreFinding", "StoreUnavailable", "Tariff", "TokenSpec",
    "charged_so_far", "checked", "clock", "opened", "operate", "parse_pairs", "price_file", "radius_decode",
    "radius_send", "sequence_of", "store_exists", "upgraded", "who",
]  # fmt: skip


def clock() -> Instant:
    """Return microseconds since the epoch, by the machine's clock."""
    return time.time_ns() // 1000


def who() -> str:
    """Return who acts: the login name, for the record of the change."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


@dataclass(frozen=True, slots=True)
class PricedCall:
    """A price, the tariff that it was made by (None where there is none), and the whole seconds that it is of."""

    priced: Priced
    tariff: Tariff | None
    seconds: int


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What a person states of a new account; money in nano-units, a credit limit of None is unlimited."""

    kind: AccountKind
    currency: str = ""  # empty: the tenant's
    balance: int = 0
    credit_limit: int | None = 0
    rate_plan: str = ""
    inbound_rate_plan: str = ""
    channels: int | None = None
    sip_user: str = ""
    password: str = field(default="", repr=False)


def _whole_seconds(duration: Decimal, rounding: Rounding) -> int:
    """Return a duration of any number of decimals in whole seconds, rounded once, from its exact value."""
    numerator, denominator = duration.as_integer_ratio()
    return divide(numerator, denominator, rounding)


@dataclass
class Opened:
    """An open store and what commands do with it."""

    settings: Settings
    store: SqliteStore

    async def configuration(self) -> Configuration:
        """Return everything that is configured."""
        return await self.store.load_configuration()

    async def key(self, text: str) -> Key:
        """Return the key of ``ID`` (of the owner) or ``TENANT/ID``. Raises Refused in a store without an owner."""
        owner = (await self.configuration()).owner
        if not owner:
            raise Refused("the store holds no tenant yet: 'tollway apply FILE' makes them")
        return split_key(text, owner)

    async def apply(self, scenario: Scenario, *, dry_run: bool) -> Difference:
        """Make what a scenario states so."""
        return await self.store.apply(scenario.objects, scenario.decks, who=who(), dry_run=dry_run)

    async def account(self, text: str) -> AccountView | None:
        """Return one account."""
        return await self.store.account_view(await self.key(text))

    async def accounts(self) -> list[AccountView]:
        """Return all accounts."""
        return await self.store.account_views()

    async def create_account(self, text: str, new: NewAccount, *, reason: str) -> AccountView:
        """Create an account. Raises Refused where something that it names is not there, and StoreError."""
        key, configuration = await self.key(text), await self.configuration()
        tenant = next((spec for spec in configuration.tenants if spec.id == key.tenant), None)
        if tenant is None:
            raise Refused(f"there is no tenant {key.tenant}")
        _refuse_unusable(new, tenant, configuration)
        identities = (EndpointSpec(sip_user=new.sip_user, password=new.password),) if new.sip_user else ()
        spec = AccountSpec(
            key.tenant, key.id, new.kind, tenant.currency, new.balance, new.credit_limit,
            rate_plan=(PlanFrom(new.rate_plan),) if new.rate_plan else (),
            inbound_rate_plan=(PlanFrom(new.inbound_rate_plan),) if new.inbound_rate_plan else (),
            timezone=tenant.timezone, channels_total=new.channels, identities=identities,
        )  # fmt: skip
        await self.store.create_object(spec, who=who(), reason=reason)
        view = await self.store.account_view(key)
        assert view is not None, key
        return view

    async def credit(self, text: str, kind: EntryKind, amount: int, *, key: str, reason: str) -> Credited:
        """Top up or adjust an account."""
        return await self.store.credit(await self.key(text), kind, amount, key=key, who=who(), reason=reason)

    async def set_status(self, text: str, status: Status, reason: str) -> AccountView:
        """Suspend or resume an account."""
        return await self.store.set_status(await self.key(text), status, who=who(), reason=reason)

    async def history(self, text: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """Return the newest ledger entries of an account, and who changed it."""
        key = await self.key(text)
        return await self.store.entries(key), await self.store.changes_of("account", key)

    async def import_deck(
        self, text: str, rows: Sequence[RateRow], *, mode: str, effective_from: Instant | None, source: str,
        backdate: bool, dry_run: bool,
    ) -> DeckDifference:  # fmt: skip
        """Import a deck, or tell what it would change."""
        change = DeckChange(mode, effective_from, who(), source, backdate)
        return await self.store.import_deck(await self.key(text), rows, change, dry_run=dry_run)

    async def closed_limit_percent(self, text: str) -> int:
        """Return how much of a table an import may close or change without being asked twice."""
        key = await self.key(text)
        found = [spec for spec in (await self.configuration()).rate_tables if (spec.tenant, spec.id) == key]
        return found[0].closed_limit_percent if found else 0

    async def price(self, plan: str, number: str, duration: Decimal, at: Instant, override: str) -> PricedCall:
        """Price one answered call of a duration in seconds by a plan. Raises Refused where there is no such plan."""
        key, configuration = await self.key(plan), await self.configuration()
        found = next((spec for spec in configuration.rate_plans if (spec.tenant, spec.id) == key), None)
        if found is None:
            raise Refused(f"there is no rate plan {key}")
        specs = {(spec.tenant, spec.id): spec for spec in configuration.rate_tables}
        tables = [await self.store.rate_table(specs[key.tenant, name]) for name in found.tables]
        called = digits(number)
        tariffs = (
            RatePlan(found.id, tuple(tables)).tariffs(called, at, at, Usage(override)) if called is not None else ()
        )
        tariff = tariffs[0] if tariffs else None
        seconds = _whole_seconds(duration, tariff.duration_rounding if tariff is not None else Rounding.UP)
        return PricedCall(price(tariff, number, seconds), tariff, seconds)

    async def batch_rules(self, plan: str) -> BatchRules:
        """Return what a file is priced by: a plan, and what its accounts are asked. Raises Refused without the plan."""
        key, configuration = await self.key(plan), await self.configuration()
        found = next((spec for spec in configuration.rate_plans if (spec.tenant, spec.id) == key), None)
        if found is None:
            raise Refused(f"there is no rate plan {key}")
        specs = {(spec.tenant, spec.id): spec for spec in configuration.rate_tables}
        tables = [await self.store.rate_table(specs[key.tenant, name]) for name in found.tables]
        accounts: dict[str, AccountRule] = {}
        for spec in configuration.accounts:
            rule = AccountRule(zone=spec.timezone or "UTC")
            accounts[f"{spec.tenant}/{spec.id}"] = rule
            if spec.tenant == key.tenant:
                accounts[spec.id] = rule
        return BatchRules(RatePlan(found.id, tuple(tables)), accounts)

    async def explain(self, attempt: CallAttempt) -> tuple[Decision, list[Rule]]:
        """Decide about a call without effect."""
        ocf = await self.charging()
        numbers = ocf.quote_accounts(attempt)

        def read(book: Book) -> dict[int, Standing]:
            return {number: book.standing(number) for number in numbers}

        standings = await self.store.transact(Reads(accounts=numbers), read) if numbers else {}
        return ocf.explain(attempt, standings.__getitem__)

    async def charging(self) -> OnlineCharging:
        """Return the charging function over this store."""
        # Loading the daemon's adapters takes longer than most commands: only the commands about calls need them.
        from daemon.app import OUTSIDE, Following, charging_settings, emergency_of  # noqa: PLC0415

        directory = Following(self.store, emergency_of(self.settings))
        await directory.load()
        journal = EmergencyJournal(Path(self.settings.emergency.journal))
        return OnlineCharging(self.store, directory, journal, OUTSIDE, charging_settings(self.settings))

    async def open_calls(self) -> Sequence[Call]:
        """Return the live calls."""
        return await self.store.open_calls()

    async def find_calls(self, call_id: str) -> Sequence[Call]:
        """Return the calls of a call id or grant id."""
        return await self.store.find_calls(call_id)

    async def end_call(self, call: Call, reason: str) -> bool:
        """Ask whoever has the call to end it, on record; tell whether it was open and not cut before."""
        changed = (await (await self.charging()).cut(call.grant_id)).changed
        if changed:
            place, at = ("call", call.tenant, call.grant_id), clock()
            await self.store.administer(lambda book: note(book, place, "end", call.call_id, who(), reason, at))
        return changed

    async def call_changes(self, call: Call) -> list[dict[str, object]]:
        """Return what persons did to a call, when and why."""
        return await self.store.changes_of("call", Key(call.tenant, call.grant_id))

    async def has_carriers(self) -> bool:
        """Tell whether the daemon routes: where there are no carriers, switches do."""
        return bool((await self.configuration()).carriers)

    async def create_token(
        self, tenant: str, role: str, name: str, reason: str, *, replace_earlier: bool = False
    ) -> tuple[str, str]:
        """Return id and text of a new token. Raises Refused where one of that name is in force."""
        in_force = {(token.tenant, token.id) for token in await self.tokens() if not token.revoked}
        if (tenant, name) in in_force and not replace_earlier:
            raise Refused(f"token {tenant}/{name} is in force: revoke it first, or choose another name")
        return await self.store.create_token(tenant, role, name=name, who=who(), reason=reason)

    async def tokens(self) -> tuple[TokenSpec, ...]:
        """Return all tokens, without their secrets."""
        return tuple(replace(token, sha256="") for token in (await self.configuration()).tokens)

    async def revoke_token(self, text: str, reason: str) -> None:
        """Revoke a token, ``ID`` (of the owner) or ``TENANT/ID``. Raises Refused where there is none."""
        await self.store.revoke_token(*await self.key(text), who=who(), reason=reason)

    async def nas(self, name: str, address: str) -> NasSpec | None:
        """Return the RADIUS client of an id, or where that is empty the one that an address belongs to."""
        known = (await self.configuration()).nas
        return next((spec for spec in known if spec.id == name or (not name and _holds(spec.address, address))), None)

    async def exceptions(self, limit: int) -> list[dict[str, object]]:
        """Return the newest items of the exception list."""
        return await self.store.exceptions(limit)

    async def export_run(self, progress: Progress | None = None) -> list[Exported | ExportRefused]:
        """Hand off what is new."""
        directory = Path(self.settings.export.directory)
        return await run_exports(StoreSource(self.store), directory, clock(), progress=progress)

    async def export_again(self, tenant: str, sequence: int, directory: Path | None) -> Exported:
        """Write a finished batch once more: into its place, or below another directory."""
        place = directory if directory is not None else Path(self.settings.export.directory)
        return await export_again(StoreSource(self.store), place, tenant, sequence)

    async def export_list(self, tenant: str) -> list[ListedBatch]:
        """Return the batches."""
        return await list_batches(StoreSource(self.store), Path(self.settings.export.directory), tenant)

    async def export_verify(self, tenant: str) -> list[Finding]:
        """Return what is wrong with the batches on disk."""
        return await verify_exports(StoreSource(self.store), Path(self.settings.export.directory), tenant)


def _holds(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network, strict=False)
    except ValueError:
        return False


def _refuse_unusable(new: NewAccount, tenant: TenantSpec, configuration: Configuration) -> None:
    if new.currency not in ("", tenant.currency):
        raise Refused(f"tenant {tenant.id} is in {tenant.currency}; no conversion is known")
    plans = {(spec.tenant, spec.id) for spec in configuration.rate_plans}
    for plan in (new.rate_plan, new.inbound_rate_plan):
        if plan and (tenant.id, plan) not in plans:
            raise Refused(f"tenant {tenant.id} has no rate plan {plan}")
    for account in configuration.accounts:
        if new.sip_user and any(endpoint.sip_user == new.sip_user for endpoint in account.identities):
            raise Refused(f"account {account.tenant}/{account.id} claims SIP user {new.sip_user}: ambiguous calls")


def price_file(
    source: Path, target: Path, rules: BatchRules, *, restart: bool, progress: Callable[[int, int, int], None]
) -> BatchSummary:
    """Price a file of usage into another. Raises FileRefused, OSError."""
    # numpy alone takes longer to load than most commands take.
    from daemon.ingest import batch_run  # noqa: PLC0415

    return batch_run.price_file(batch_run.BatchOrder(source, target, rules, restart=restart), progress)


@asynccontextmanager
async def opened(settings: Settings, *, create: bool = False) -> AsyncIterator[Opened]:
    """Open the store for one command. Raises StoreUnavailable where there is none, or none that can be used."""
    try:
        store = await open_store(settings.store, clock, create=create)
    except StoreUnavailable:
        raise
    except (StoreError, OSError) as error:
        raise StoreUnavailable(str(error)) from error
    try:
        yield Opened(settings, store)
    finally:
        await store.close()


def operate(settings: Settings, work: Callable[[Opened], Awaitable[T]], *, create: bool = False) -> T:
    """Run one piece of work on the store."""

    async def run() -> T:
        async with opened(settings, create=create) as store:
            return await work(store)

    return asyncio.run(run())


def store_exists(settings: Settings) -> bool:
    """Tell whether there is a store where the settings say."""
    return path_of(settings.store.url).exists()


def upgraded(settings: Settings) -> Path:
    """Bring the store to this release's schema, creating it where there is none, and return its file."""

    async def run() -> None:
        async with opened(settings, create=True):
            pass

    asyncio.run(run())
    return path_of(settings.store.url)


def checked(settings: Settings) -> list[StoreFinding]:
    """Return every invariant of the ledger that does not hold."""

    async def run() -> list[StoreFinding]:
        async with opened(settings) as store:
            return await check_store(store.store)

    return asyncio.run(run())
