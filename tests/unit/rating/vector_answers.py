"""What Tollway answers to a known answer's question, in the vector's own words.

Prices come from ``price``, ``charge`` and ``paid_stretches``, durations from ``quota``, orders of routes from
``charge`` and ``margin_holds``. An account has one balance: several of a vector are added up, and what it lacks counts
below zero, debt or not. Bundles are taken by weight; how a vector's bundle steps, prices or blocks has no counterpart.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

from daemon.kernel.instant import SECOND, format_rfc3339, parse_rfc3339
from daemon.kernel.money import MoneyError, Rounding, divide, format_nano, parse_nano
from daemon.rating.charge import bundle_units, charge, paid_stretches
from daemon.rating.explain import Priced, price
from daemon.rating.margin import margin_holds
from daemon.rating.quota import quota
from daemon.rating.rate_table import Usage
from daemon.rating.tariff import Tariff
from tests.unit.rating.vector_tables import OTHER_UNIT, SECONDS_UNIT, Vector, destination, pricing

Answer = dict[str, Any]
MONEY: Final = "money"
DEFAULT: Final = "*default"  # the vectors' balance for what no other could pay
TOO_LARGE: Final = "refused, too large"
SHORT: Final = "balance_insufficient"
OUR_WORDS: Final = {
    "UNAUTHORIZED_DESTINATION": "destination_unrated",
    "INSUFFICIENT_CREDIT": SHORT,
    "INSUFFICIENT_CREDIT_BALANCE_BLOCKER": SHORT,
}


def text(nano: int) -> str:
    """Return an amount as the vectors write it."""
    return format_nano(nano).rstrip("0").removesuffix(".")


class Asked:
    """A vector's call, priced by the core."""

    def __init__(self, vector: Vector) -> None:
        """Build the plan of its lines and find the tariff."""
        self.call, self.account = vector["call"], vector.get("account", {})
        self.usage: int = self.call["usage"]
        self.begins = parse_rfc3339(self.call["answer_time"])
        self.number = destination(self.call) if self.call["unit"] == SECONDS_UNIT else ""
        self.pricing = pricing(vector["tariff"], self.call)
        self.found = self.find(self.begins)

    def find(self, at: int) -> Any:
        """Return what the plan says of the call answered at an instant."""
        rate_type = "" if self.call["unit"] == SECONDS_UNIT else OTHER_UNIT
        return self.pricing.plan.find(self.number, at, Usage("", rate_type, horizon_seconds=2 * self.usage))

    @property
    def tariff(self) -> Tariff:
        """The tariff, where there is one."""
        assert isinstance(self.found, Tariff)
        return self.found

    def priced(self, seconds: int) -> Priced:
        """Return the explained price of a length."""
        return price(self.found, self.number, seconds, self.units, needs_number=bool(self.number))

    @cached_property
    def bundles(self) -> dict[str, int]:
        """The units of each bundle that pays for the call, in the order in which they are used."""
        kind = "seconds" if self.call["unit"] == SECONDS_UNIT else "units"
        return {each["id"]: int(each["value"]) for each in self._balances() if each["type"] == kind}

    @property
    def units(self) -> int:
        """What all bundles have left."""
        return sum(self.bundles.values())

    @cached_property
    def money(self) -> int | None:
        """The balance in nano-units, None where it is larger than any of ours."""
        own = [each for each in self._balances() if each["type"] == "money"]
        try:
            return sum(parse_nano(each["value"]) for each in own)
        except MoneyError:
            return None

    def _balances(self) -> Iterator[Vector]:
        for each in sorted(self.account.get("balances", ()), key=lambda each: -each["weight"]):
            if "destinations" not in each or self.call["destination_group"] in each["destinations"]:
                yield each

    def affordable(self) -> int:
        """Return the quota; a line whose maximum disconnects is our dearest call (SPEC section 3, Caps)."""
        line = self.pricing.line_of_band[self.tariff.band]
        most = line.rate["max_cost"]
        assert self.money is not None
        caps = [parse_nano(most["amount"])] if most is not None and most["strategy"] == "disconnect" else []
        return quota(self.tariff, min((self.money, *caps)), self.usage, self.units)

    def balances_after(self, seconds: int) -> dict[str, str]:
        """Return what is left of every bundle, and of the money."""
        used = bundle_units(self.tariff, seconds, self.units)
        after = {}
        for name, units in self.bundles.items():
            taken = min(used, units)
            used -= taken
            after[name] = str(units - taken)
        cost = charge(self.tariff, seconds, self.units).amount
        return {**after, MONEY: TOO_LARGE if self.money is None else text(self.money - cost)}


def intervals(asked: Asked) -> list[dict[str, str]]:
    """Return the runs of blocks of one rate, band and length, the fee with the first."""
    runs: list[list[int]] = []
    tariff, alike = asked.tariff, (-1, -1, -1)
    for position, length, blocks, rate, rates in paid_stretches(tariff, asked.usage):
        amount = divide(blocks * length * rate, tariff.per, Rounding.UP)
        if (length, rate, rates) != alike:
            runs.append([position, position, 0 if runs else tariff.connect_fee])
            alike = (length, rate, rates)
        runs[-1][1] += blocks * length
        runs[-1][2] += amount
    return [
        {
            "start": _whole_seconds(asked.begins + start * SECOND),
            "end": _whole_seconds(asked.begins + end * SECOND),
            "cost": text(cost),
        }
        for start, end, cost in runs
    ]


def _whole_seconds(instant: int) -> str:
    return format_rfc3339(instant).replace(".000000Z", "Z")


def priced(vector: Vector) -> Answer:
    """Answer what a call costs; a later chunk of it is the difference of two charges, one chunk earlier and now."""
    asked = Asked(vector)
    found = asked.priced(asked.usage)
    if found.reason:
        return {"error": found.reason}
    if not asked.call.get("first_chunk", True):
        asked.begins -= asked.usage * SECOND
        asked.found = asked.find(asked.begins)
        sooner, later = asked.priced(asked.usage), asked.priced(2 * asked.usage)
        fee = later.connect_fee - sooner.connect_fee
        return {"cost": text(later.charge - sooner.charge), "connect_fee_charged": text(fee)}
    return {
        "error": "",
        "cost": text(found.charge),
        "connect_fee": text(found.connect_fee),
        "matched_prefix": found.prefix,
        "intervals": intervals(asked),
        "interval_count": len(intervals(asked)),
        "selected_rule_index": asked.pricing.line_of_band[asked.tariff.band].place,
    }


def debited(vector: Vector) -> Answer:
    """Answer what a call that took place takes from its account."""
    asked = Asked(vector)
    found = asked.priced(asked.usage)
    return {"error": found.reason, "cost": text(found.charge), "balances_after": asked.balances_after(asked.usage)}


def granted(vector: Vector) -> Answer:
    """Answer how long a call may last, and what it takes if it lasts so long."""
    asked = Asked(vector)
    seconds = asked.affordable()
    found = asked.priced(seconds)
    return {
        "error": "" if seconds else SHORT,
        "granted": seconds,
        "cost": text(found.charge),
        "balances_after": asked.balances_after(seconds),
    }


def authorised(vector: Vector) -> Answer:
    """Answer how long a call may last."""
    return {"max_usage": Asked(vector).affordable()}


def routed(vector: Vector) -> Answer:
    """Answer in which order carriers are tried: by cost, then weight; the most they may cost is a price to keep."""
    offers: list[tuple[int, int, str]] = []
    for route in vector["routes"]:
        buy = Asked({"tariff": route["tariff"], "call": vector["call"]}).tariff
        seconds = vector["call"]["usage"]
        sell = Tariff("sold", 1, "", "", buy.currency, 0, connect_fee=parse_nano(vector.get("max_cost", "1000")))
        if margin_holds(sell, buy, seconds, 0, 0):
            offers.append((charge(buy, seconds).amount, -route["weight"], route["id"]))
    return {"order": [name for _, _, name in sorted(offers)]}


KINDS: Final = {
    "cost": priced,
    "cost_error": priced,
    "intervals": priced,
    "rule_selection": priced,
    "debit": debited,
    "max_debit": granted,
    "max_usage": authorised,
    "lcr": routed,
}


def answered(vector: Vector) -> Answer:
    """Return what Tollway says; a kind that nobody knows is a KeyError."""
    return KINDS[vector["kind"]](vector)


def expected(vector: Vector) -> Answer:
    """Return what a vector says, its balances of money added up and its words for errors ours."""
    said: Answer = dict(vector["expected"])
    if "error" in said:
        said["error"] = OUR_WORDS[said["error"]]
    if "balance_total_after" in said:
        said["balances_after"] = {"total": said.pop("balance_total_after")}
    if "balances_after" in said:
        said["balances_after"] = _money_added_up(said["balances_after"], vector["account"]["balances"])
    return said


def _money_added_up(after: dict[str, str], balances: Sequence[Vector]) -> dict[str, str]:
    bundles = {each["id"] for each in balances if each["type"] != "money"}
    left = {name: units for name, units in after.items() if name in bundles}
    if left.keys() == after.keys():
        return left
    # Not by parse_nano: some balances of the vectors are larger than it takes.
    nano = sum(_nano(units) for name, units in after.items() if name not in bundles)
    return {**left, MONEY: text(nano)}


def _nano(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    return int(whole + fraction.ljust(9, "0"))


def agrees(said: Any, ours: Any) -> bool:
    """Tell whether everything that is said is also ours, which may say more."""
    if isinstance(said, dict):
        return all(name in ours and agrees(value, ours[name]) for name, value in said.items())
    if isinstance(said, list) and isinstance(ours, list):
        return len(said) == len(ours) and all(map(agrees, said, ours))
    return bool(said == ours)
