"""What an explanation says of each rule: the one place of its words, one function for each rule.

They are called only where somebody asked for an explanation, or for the reason of a refusal: a grant that nobody asks
to be explained makes none of them. They are given the values that the rule compared. Amounts are nano-units.
"""

from collections.abc import Iterable
from dataclasses import replace

from daemon.authorize.attempt import CallAttempt
from daemon.authorize.catalog import AccountKind, AccountTerms
from daemon.authorize.decision import Level, Route, Rule
from daemon.authorize.quality import SAMPLE_MIN, WINDOW_HOURS, Quality
from daemon.authorize.route_order import Candidate
from daemon.kernel.money import NANO, Rounding, divide, format_nano
from daemon.rating.bundle import Part
from daemon.rating.tariff import Tariff


def account(terms: AccountTerms, attempt: CallAttempt) -> Rule:
    return Rule("account", True, f"{terms.key} pays, {attempt.direction.value}")


def status() -> Rule:
    return Rule("status", True, "the account is active")


def credential() -> Rule:
    return Rule("credential", True, "what was sent of the password was accepted")


def destination(called: str, dialled: str, tech_prefix: str) -> Rule:
    """Say which number is rated, and what was made of the one that came."""
    digits = dialled.removeprefix("+")
    if digits == called:
        return Rule("destination", True, called)
    taken_off = f", tech prefix {tech_prefix} off" if tech_prefix and digits.startswith(tech_prefix) else ""
    return Rule("destination", True, f"{called}, dialled {dialled}{taken_off}")


def rate(tariff: Tariff) -> Rule:
    return Rule("rate", True, _priced_by(tariff))


def _priced_by(tariff: Tariff) -> str:
    return (
        f"prefix {tariff.prefix} of {tariff.table} version {tariff.deck_version}: {format_nano(tariff.rate)} "
        f"{tariff.currency} a minute, {tariff.first_seconds}/{tariff.next_seconds}"
        f"{f', {tariff.conversion}' if tariff.conversion is not None else ''}"
    )


def carriers(top: AccountTerms, count: int) -> Rule:
    return Rule("carrier", True, f"carriers with a valid rate: {count}", level=top.key)


def place(top: AccountTerms, number: int, found: Candidate) -> Rule:
    """Say why a carrier has its place: what it was compared by, in the order of comparing."""
    minute = f"{format_nano(divide(found.cost, NANO, Rounding.UP))} {top.currency} for the first minute"
    carrier = found.carrier
    detail = f"{number}. {carrier.key.id}: {minute}, {_quality(found.quality)}, weight {carrier.weight}"
    return Rule("carrier", True, detail, level=top.key)


def _quality(quality: Quality | None) -> str:
    if quality is None:
        return f"fewer than {SAMPLE_MIN} attempts in {WINDOW_HOURS} hours"
    asr = f"ASR {quality.asr // 10}.{quality.asr % 10} % of {quality.attempts} (grade {quality.asr_grade})"
    return f"{asr}, ACD {quality.acd} s (grade {quality.acd_grade})"


def carrier_calls_per_second(top: AccountTerms, route: Route, calls: int, limit: int) -> Rule:
    detail = f"{route.carrier.id}: {calls_in_second(calls, limit)}"
    return Rule("carrier_calls_per_second", False, detail, level=top.key)


def carrier_channels(top: AccountTerms, route: Route, used: int, limit: int) -> Rule:
    return Rule("carrier_channels", False, f"{route.carrier.id}: {used} in use, {_at_most(limit)}", level=top.key)


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


def channels(limits: Iterable[tuple[str, int, int | None]]) -> Rule:
    """Say of each limit (its name, what is in use, None: no limit) how far it is."""
    return Rule("channels", True, "; ".join(f"{used} in use ({name}), {_at_most(most)}" for name, used, most in limits))


def _at_most(limit: int | None) -> str:
    return "no limit" if limit is None else f"at most {limit}"


def max_call_charge(level: Level, block: int, most: int) -> Rule:
    return Rule("max_call_charge", True, block_and_most(level, block, most))


def block_and_most(level: Level, block: int, most: int) -> str:
    return f"{_block(level, block)}, a call may cost at most {_money(level, most)}"


def _money(level: Level, nano: int) -> str:
    return f"{format_nano(nano)} {level.currency}"


def _block(level: Level, nano: int) -> str:
    return f"the first block costs {_money(level, nano)}"


def channel_surcharge(terms: AccountTerms, level: Level, *, above: bool) -> Rule:
    call, minute = _money(level, terms.channel_surcharge), _money(level, terms.channel_surcharge_per_minute)
    detail = f"over its channels: {call} a call and {minute} a minute beside the price"
    return Rule("channel_surcharge", True, detail, level=terms.key if above else None)


def spend(rule: str, level: Level, block: int, left: int, of: str) -> Rule:
    return Rule(rule, True, block_and_spend(level, block, left, of))


def block_and_spend(level: Level, block: int, left: int, of: str) -> str:
    return f"{_block(level, block)}, {_money(level, left)} is left of {of}"


def balance(terms: AccountTerms, level: Level, block: int, money: int, seconds: int) -> Rule:
    return Rule("balance", True, f"{block_and_money(terms, level, block, money)}: {seconds} seconds")


def block_and_money(terms: AccountTerms, level: Level, block: int, money: int) -> str:
    if terms.credit_limit is None and block > money:
        return f"{_block(level, block)}; the ledger can hold {_money(level, money)} more of debt"
    shown = "unlimited credit" if terms.credit_limit is None else _money(level, money)
    return f"{_block(level, block)}, {shown} is available"


def margin(top: AccountTerms, paying: int, free: int, compared_at: str) -> Rule:
    return Rule("margin", True, f"carriers that keep the floor: {paying} of {free}{compared_at}", level=top.key)


def conversion(level: Level, missing: str, *, above: bool) -> Rule:
    return Rule("conversion", False, f"{level.key}: {missing}", level=level.key if above else None)


def upstream(terms: AccountTerms, rule: Rule) -> Rule:
    """Return a rule of a level above the payer, for the eyes of its tenant."""
    return replace(rule, level=terms.key)


def grant(terms: AccountTerms, level: Level, seconds: int) -> Rule:
    kind = "reserved" if terms.kind is AccountKind.PREPAID else "reserved against the credit limit"
    return Rule("grant", True, f"{seconds} seconds, {format_nano(level.reserved)} {level.currency} {kind}")
