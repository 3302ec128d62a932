"""Priced calls with known answers (tests/vectors/rating_vectors.json): reproduced, or different by a stated policy.

Every vector is asked of the real core (vector_tables, vector_answers). One that we do not reproduce stands in DIFFERENT
with what Tollway answers instead, so that a change of policy is seen, and with the sentence of the specification that
makes us differ; docs/known-answers.md is held to the same table.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.rating.vector_answers import MONEY, TOO_LARGE, Answer, agrees, answered, expected
from tests.unit.rating.vector_tables import Vector

ROOT = Path(__file__).parents[3]
FILE = ROOT / "tests" / "vectors" / "rating_vectors.json"
DOCUMENT = ROOT / "docs" / "known-answers.md"
VECTORS: list[Vector] = json.loads(FILE.read_text("utf-8"))["vectors"]
BY_ID: dict[str, Vector] = {vector["id"]: vector for vector in VECTORS}


class Different(NamedTuple):
    """What Tollway answers instead, and why."""

    answer: Answer
    reason: str


FROM_THE_SECOND = (
    'a bundle is used by the second: the call "goes on at the normal rate, from the second where the bundle ended" '
    "(section 2, Bundles); it has no steps of its own"
)
NO_PRICE = '"used before money" (section 2, Bundles): what a bundle covers to its end costs no money, no fee either'
ONE_BALANCE = (
    '"available = balance + credit_limit - reserved" (section 1, Account): there is one balance, and none in it stops '
    "the use of another"
)
DEBT = (
    '"what a prepaid account cannot pay down to -credit_limit is an uncollected debt on it, part of the charge" '
    "(section 3): a call that took place is charged"
)
LARGEST = (
    '"Balance is credits minus debits" (section 1, Account), and one credit is at most 1000000000 units so that sums '
    "fit 64 bits; the cost is the same"
)

DIFFERENT: dict[str, Different] = {
    "cgr-031": Different(
        {"cost": "1800"},
        '"connect_fee plus the blocks\' prices" (section 2, Charge) has a least amount and no most: a dearest call '
        "shortens the grant and never the bill",
    ),
    "cgr-038": Different({"max_usage": 1800}, ONE_BALANCE),
    "cgr-046": Different({"balances_after": {"mins": "35"}}, FROM_THE_SECOND),
    "cgr-047": Different(
        {"error": "", "granted": 49, "cost": "0.91"},
        'caps and balance "shorten the grant, and refuse only when the first block does not fit" (section 3, Caps); '
        "who wants all or nothing compares the grant",
    ),
    "cgr-049": Different({"cost": "0", "balances_after": {"mins": "30", MONEY: "10"}}, NO_PRICE),
    "cgr-050": Different({"cost": "0", "balances_after": {"mins": "30", MONEY: "0"}}, NO_PRICE),
    "cgr-053": Different({"cost": "0", "balances_after": {"testb": "60", MONEY: "21"}}, FROM_THE_SECOND),
    "cgr-055": Different({"cost": "0", "balances_after": {"testb": "70"}}, FROM_THE_SECOND),
    "cgr-056": Different({"cost": "0", "balances_after": {"testb": "0", "testa": "140"}}, FROM_THE_SECOND),
    "cgr-060": Different({"balances_after": {"testb": "180", MONEY: "350"}}, NO_PRICE),
    "cgr-094": Different({"cost": "0.4", "balances_after": {MONEY: TOO_LARGE}}, LARGEST),
    "cgr-095": Different({"cost": "0.3", "balances_after": {MONEY: TOO_LARGE}}, LARGEST),
    "cgr-108": Different(
        {"order": ["route3", "route1", "route2"]},
        '"the order is LCR by cost, then quality (ASR, ACD), then weight" (section 3, Margin): the '
        "dearest is never first",
    ),
    "cgr-114": Different({"cost": "0"}, NO_PRICE),
    "cgr-120": Different({"error": "", "cost": "31", "balances_after": {MONEY: "-21"}}, DEBT),
    "cgr-123": Different({"error": "", "balances_after": {"balance_sms": "0", MONEY: "0"}}, ONE_BALANCE),
    "cgr-124": Different(
        {"cost": "0", "balances_after": {"balance_sms": "6", MONEY: "5"}},
        '"units (seconds, messages, bytes, calls) for a destination group" (section 2, Bundles): a message is one '
        "unit, whatever it is used for",
    ),
}
REPRODUCED = sorted(BY_ID.keys() - DIFFERENT.keys())


def test_no_vector_is_left_out() -> None:
    assert BY_ID.keys() >= DIFFERENT.keys()
    assert len(REPRODUCED) + len(DIFFERENT) == len(VECTORS) == 84


@pytest.mark.parametrize("name", REPRODUCED)
def test_the_answer_is_reproduced(name: str) -> None:
    said = expected(BY_ID[name])
    ours = answered(BY_ID[name])
    assert said
    assert agrees(said, ours), (said, ours)


@pytest.mark.parametrize("name", DIFFERENT)
def test_we_differ_just_as_stated(name: str) -> None:
    ours = answered(BY_ID[name])
    assert agrees(DIFFERENT[name].answer, ours), ours
    assert not agrees(expected(BY_ID[name]), ours)
    assert "(section " in DIFFERENT[name].reason


def in_words(answer: Answer) -> str:
    """Return an answer as the document writes it."""
    parts = []
    for name, value in answer.items():
        if isinstance(value, dict):
            parts.append("left: " + ", ".join(f"{each} {units}" for each, units in value.items()))
        elif isinstance(value, list):
            parts.append(f"{name} " + " > ".join(value))
        elif value != "":
            parts.append(f"{name} {value}")
    return "; ".join(parts)


def test_the_document_says_the_same() -> None:
    text = DOCUMENT.read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| cgr-")]
    assert rows == [
        f"| {name} | {in_words(expected(BY_ID[name]))} | {in_words(different.answer)} | {different.reason} |"
        for name, different in DIFFERENT.items()
    ]
    assert f"{len(REPRODUCED)} of the {len(VECTORS)} are reproduced" in text
    assert f"The other {len(DIFFERENT)} differ" in text
