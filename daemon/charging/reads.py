"""What a transaction has to load, told before it begins: by its question or report, and by who is known to pay.

A call that is loaded brings its own accounts and meters; only what no loaded call can name is named here.
"""

import msgspec

from daemon.authorize.catalog import AccountTerms, Catalog
from daemon.authorize.decision import Denied
from daemon.authorize.metering import account_meters
from daemon.authorize.quote import Quote
from daemon.charging.event import CallReport, MessageKey
from daemon.charging.ports import Reads


def of_question(id_domain: str, call_id: str, message: MessageKey | None, *quotes: Quote | None) -> Reads:
    """Return what a question needs: the earlier calls of its id, and where it may go ahead the payers of each side."""
    accounts: tuple[int, ...] = ()
    meters: tuple[tuple[int, str], ...] = ()
    for quote in quotes:
        if quote is not None:
            accounts, meters = accounts + quote.accounts, meters + quote.meters
    return Reads(
        accounts=tuple(dict.fromkeys(accounts)),
        calls=((id_domain, call_id),),
        messages=(message.key,) if message is not None else (),
        meters=tuple(dict.fromkeys(meters)) if meters else (),
    )


def of_refusal(id_domain: str, call_id: str, message: MessageKey | None, first: AccountTerms | None) -> Reads:
    """Return what a question needs that the configuration refuses: the account that may be suspended before that."""
    reads = of_question(id_domain, call_id, message)
    return reads if first is None else msgspec.structs.replace(reads, accounts=(first.number,))


def of_report(report: CallReport, quote: Quote | Denied | None, catalog: Catalog) -> Reads:
    """Return what a report needs; ``quote`` tells who pays for a call that nobody asked about, None while unsought."""
    attempt, message = report.attempt, report.message
    accounts, meters = of_payers(quote, catalog)
    return Reads(
        accounts=accounts,
        calls=((attempt.id_domain, attempt.call_id),),
        grants=(report.grant_id,) if report.grant_id else (),
        aliases=tuple((attempt.id_domain, alias) for alias in (*report.aliases, *report.weak_aliases)),
        messages=(message.key,) if message is not None else (),
        meters=meters,
    )


def of_payers(quote: Quote | Denied | None, catalog: Catalog) -> tuple[tuple[int, ...], tuple[tuple[int, str], ...]]:
    """Return the accounts and meters of a quote, or of the chain that pays for a call that was refused."""
    if quote is None:
        return (), ()
    if isinstance(quote, Quote):
        return quote.accounts, quote.meters
    chain = _payers(catalog, quote)
    meters = tuple(meter for account in chain for meter in account_meters(catalog, account))
    return tuple(account.number for account in chain), meters


def _payers(catalog: Catalog, denied: Denied) -> tuple[AccountTerms, ...]:
    terms = catalog.accounts.get(denied.account) if denied.account is not None else None
    return catalog.chain(terms) if terms is not None else ()
