"""What an explanation says of each rule: the one place of its words, one function for each rule.

They are called only where somebody asked for an explanation, or for the reason of a refusal: a grant that nobody asks
to be explained makes none of them. They are given the values that the rule compared. Amounts are nano-units.
"""

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountKind, AccountTerms
from daemon.authorize.decision import Level, Rule
from daemon.kernel.money import format_nano
from daemon.ledger.account import Standing
from daemon.rating.bundle import Part
from daemon.rating.tariff import Tariff


def account(terms: AccountTerms, attempt: CallAttempt) -> Rule:
    return Rule("account", True, f"{terms.key} pays, {attempt.direction.value}")


def status() -> Rule:
    return Rule("status", True, "the account is active")


def rate(tariff: Tariff) -> Rule:
    return Rule("rate", True, _priced_by(tariff))


def _priced_by(tariff: Tariff) -> str:
    return (
        f"prefix {tariff.prefix} of {tariff.table} version {tariff.deck_version}: {format_nano(tariff.rate)} "
        f"{tariff.currency} a minute, {tariff.first_seconds}/{tariff.next_seconds}"
        f"{f', {tariff.conversion}' if tariff.conversion is not None else ''}"
    )


def carriers(count: int) -> Rule:
    return Rule("carrier", True, f"{count} carriers have a valid rate", private=True)


def tier(tariff: Tariff) -> Rule:
    detail = f"{tariff.volume} of the period before reach the tier from {tariff.tier}: {_priced_by(tariff)}"
    return Rule("tier", True, detail)


def bundle(part: Part) -> Rule:
    detail = f"{part.units} of unit {part.bundle.unit} are left of {part.bundle.id}, used before money"
    return Rule("bundle", True, detail)


def calls_per_second(calls: int, limit: int) -> Rule:
    return Rule("calls_per_second", True, calls_in_second(calls, limit))


def calls_in_second(calls: int, limit: int) -> str:
    return f"{calls} calls in this second, at most {limit}"


def channels(standing: Standing, limit: int | None) -> Rule:
    shown = "no limit" if limit is None else f"limit {limit}"
    return Rule("channels", True, f"{standing.channels} in use, {shown}")


def max_call_charge(block: int, most: int) -> Rule:
    return Rule("max_call_charge", True, block_and_most(block, most))


def block_and_most(block: int, most: int) -> str:
    return f"the first block costs {format_nano(block)}, a call at most {format_nano(most)}"


def channel_surcharge(terms: AccountTerms, tariff: Tariff, *, private: bool) -> Rule:
    paid = (
        f"{format_nano(tariff.surcharge)} {tariff.charged_in} a call and {format_nano(tariff.surcharge_rate)} a minute"
    )
    return Rule("channel_surcharge", True, f"{terms.key}: over its channels: {paid} beside the price", private=private)


def spend(rule: str, block: int, left: int, period: str) -> Rule:
    return Rule(rule, True, block_and_spend(block, left, period))


def block_and_spend(block: int, left: int, period: str) -> str:
    return f"the first block costs {format_nano(block)}, {format_nano(left)} is left of the {period}'s spend"


def balance(terms: AccountTerms, level: Level, block: int, money: int, seconds: int) -> Rule:
    return Rule("balance", True, f"{block_and_money(terms, level, block, money)}: {seconds} seconds")


def block_and_money(terms: AccountTerms, level: Level, block: int, money: int) -> str:
    if terms.credit_limit is None and block > money:
        return f"the first block costs {format_nano(block)}; the ledger can hold {format_nano(money)} more of debt"
    shown = "unlimited" if terms.credit_limit is None else format_nano(money)
    return f"the first block costs {format_nano(block)}, {shown} {level.currency} is available"


def margin(paying: int, free: int, compared_at: str) -> Rule:
    return Rule("margin", True, f"{paying} of {free} carriers keep the floor{compared_at}", private=True)


def conversion(level: Level, missing: str, *, private: bool) -> Rule:
    return Rule("conversion", False, f"{level.key}: {missing}", private=private)


def upstream(terms: AccountTerms, rule: Rule) -> Rule:
    """Return a rule of a level above the payer, for the eyes of its owner."""
    return Rule(rule.name, rule.passed, f"{terms.key}: {rule.detail}", private=True)


def grant(terms: AccountTerms, level: Level, seconds: int) -> Rule:
    kind = "reserved" if terms.kind is AccountKind.PREPAID else "reserved against the credit limit"
    return Rule("grant", True, f"{seconds} seconds, {format_nano(level.reserved)} {level.currency} {kind}")
