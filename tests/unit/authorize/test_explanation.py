"""An explanation has every rule in its order, and shows a tenant its own level's figures and no others'."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.authorize import words
from daemon.authorize.attempt import Identity, PlainPassword
from daemon.authorize.catalog import SipUser, Status
from daemon.authorize.decision import Decision
from daemon.authorize.denial import H323_RETURN_CODE, H323_ZERO_BALANCE, Q850, SIP, Denial
from daemon.authorize.explanation import NAMES, RULES, Outcome, Told
from daemon.kernel.dialling import Dialling, Numbers
from daemon.kernel.ids import Key
from daemon.kernel.money import NANO, parse_nano
from tests.unit.charging.desk import ALICE, BOB, RAY, TRUNK_ACCOUNT, Desk, catalog, with_account
from tests.unit.charging.test_currencies import RATES, stated, world

ROOT = Path(__file__).resolve().parents[3]
PRECEDENCE = tuple(Denial)


def tell(desk: Desk, viewer: str | None, to: str = "442071231234", payer: Key = ALICE, **changes: object) -> list[Told]:
    return list(asked(desk, viewer, to, payer, **changes)[1])


def asked(
    desk: Desk, viewer: str | None, to: str = "442071231234", payer: Key = ALICE, **changes: object
) -> tuple[Decision, tuple[Told, ...]]:
    return desk.ocf.tell(desk.attempt("x", to, payer, **changes), desk.store_standing, viewer)


def outcomes(rules: list[Told]) -> dict[str, Outcome]:
    return {rule.rule: rule.outcome for rule in rules}


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.fund(ALICE, "2.00")
    made.fund(RAY, "5.00")
    return made


def test_every_rule_is_told_in_its_order(desk: Desk) -> None:
    for viewer in (None, "main"):
        names = [rule.rule for rule in tell(desk, viewer)]
        assert list(dict.fromkeys(names)) == [name for name in NAMES if name != "downstream"]
        assert sorted(names, key=NAMES.index) == names


def test_the_rules_have_every_code_of_a_refusal_once_and_in_its_precedence() -> None:
    codes = [code for text in RULES for code in text.codes]
    assert sorted(codes, key=PRECEDENCE.index) == list(PRECEDENCE)
    # Two are asked later than their place: SPEC has carriers before the account's own limits, and money last.
    assert [code for code in codes if code is not Denial.CALL_TOO_DEAR] == [
        code for code in PRECEDENCE if code is not Denial.CALL_TOO_DEAR
    ]


def test_every_rule_that_the_code_names_is_told_and_documented() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "daemon" / "authorize").glob("*.py"))
    code += (ROOT / "daemon/charging/ocf.py").read_text()
    named = set(re.findall(r'(?:\bRule\(|refused\(\w+, )"(\w+)"', code))
    assert named <= set(NAMES)
    assert len(named) > 12
    page = (ROOT / "docs" / "explain.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(NAMES)
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, re.MULTILINE))
    assert told == {text.name: text.question for text in RULES}


def test_the_causes_of_every_code_are_documented() -> None:
    page = (ROOT / "docs" / "explain.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+)(?:, (\d+) where [a-z ]+)? \|$", page, re.MULTILINE)
    zero = {Denial.BALANCE_INSUFFICIENT: str(H323_ZERO_BALANCE)}
    assert rows == [
        (code.value, str(Q850[code]), str(SIP[code]), str(H323_RETURN_CODE[code]), zero.get(code, ""))
        for code in Denial
    ]


REFUSALS = [
    ("account", {"payer": Key("main", "nobody")}, {}),
    ("status", {}, {"status": Status.SUSPENDED}),
    ("destination", {"to": "44x"}, {}),
    ("rate", {"to": "1900555"}, {}),
    ("rate", {"to": "7"}, {}),
    ("channels", {}, {"channels_total": 0}),
    ("max_call_charge", {}, {"max_call_charge": 1}),
    ("margin", {}, {"margin_floor_percent": 99 * NANO}),
    ("daily_spend", {}, {"daily_spend": 1}),
    ("balance", {}, {"credit_limit": -5 * NANO}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "question", "terms"), REFUSALS)
def test_what_comes_after_the_refusal_was_not_asked(
    desk: Desk, rule: str, question: dict[str, object], terms: dict[str, object]
) -> None:
    desk.catalog_value = with_account(catalog(), ALICE, **terms)
    rules = tell(desk, "main", **question)  # type: ignore[arg-type]
    found = [told.outcome for told in rules]
    at = max(place for place, told in enumerate(rules) if told.rule == rule)
    assert found[at] is Outcome.REFUSED
    assert {outcome for told, outcome in zip(rules, found, strict=True) if told.rule != rule} <= {
        Outcome.PASSED, Outcome.NOT_APPLICABLE, Outcome.NOT_ASKED
    }  # fmt: skip
    assert set(found[at + 1 :]) == {Outcome.NOT_ASKED}
    # What has no price is never held against a fraud rule, whose line stands before.
    early = ["fraud"] if rule in ("destination", "rate") else []
    assert [told.rule for told in rules[:at] if told.outcome is Outcome.NOT_ASKED] == early
    assert rules[-1].detail == f"not asked: {rule} refused before"


def test_a_wrong_password_is_a_rule_of_its_own(desk: Desk) -> None:
    identity = Identity(sip_user="alice", credential=PlainPassword("guess"))
    rules = outcomes(tell(desk, "main", identity=identity))
    assert (rules["account"], rules["credential"]) == (Outcome.NOT_APPLICABLE, Outcome.REFUSED)
    assert rules["status"] is Outcome.NOT_ASKED


def test_a_password_that_decided_is_said_to_have_been_accepted(desk: Desk) -> None:
    sip_user = SipUser(ALICE, "wonder")
    found = desk.catalog_value.endpoints
    endpoints = replace(found, sip_users={"alice": (sip_user,)})
    desk.catalog_value = replace(desk.catalog_value, endpoints=endpoints)
    proved = tell(desk, "main", identity=Identity(sip_user="alice", credential=PlainPassword("wonder")))
    assert line(proved, "credential") == (Outcome.PASSED, "what was sent of the password was accepted")
    named = tell(desk, "main", identity=Identity(account="alice", credential=PlainPassword("wonder")))
    assert line(named, "credential") == (Outcome.NOT_APPLICABLE, "the call was found without a password")


def line(rules: list[Told], name: str) -> tuple[Outcome, str]:
    [found] = [(rule.outcome, rule.detail) for rule in rules if rule.rule == name and rule.level is None]
    return found


def test_the_number_that_is_rated_is_told_with_what_was_dialled(desk: Desk) -> None:
    assert line(tell(desk, "main", "+442071231234"), "destination") == (Outcome.PASSED, "442071231234")
    german = Dialling(Numbers.NATIONAL, "DE")
    told = tell(desk, "main", "00442071231234", dialling=german)
    assert line(told, "destination") == (Outcome.PASSED, "442071231234, dialled 00442071231234")
    assert words.destination("33142685300", "770033142685300", "77").detail == (
        "33142685300, dialled 770033142685300, tech prefix 77 off"
    )
    assert words.destination("33142685300", "0033142685300", "77").detail == "33142685300, dialled 0033142685300"


def test_levels_above_that_let_a_call_pass_are_told_apart_from_none(desk: Desk) -> None:
    none, passed = (Outcome.NOT_APPLICABLE, "there is none above"), (Outcome.PASSED, "they let it pass")
    assert line(tell(desk, "main"), "upstream") == none
    assert line(tell(desk, None, payer=RAY), "upstream") == passed
    assert line(tell(desk, "ray", payer=RAY), "upstream") == passed
    assert line(tell(desk, "main", payer=RAY), "upstream") == none


def test_no_words_leave_open_which_of_two_is_the_case() -> None:
    assert [text.name for text in RULES if " or " in text.absent] == []


@pytest.mark.parametrize(
    "terms", [{}, {"margin_floor_percent": 90 * NANO}, {"channels_total": 0}, {"status": Status.SUSPENDED}]
)
def test_a_tenant_below_the_owner_reads_no_carriers_id(desk: Desk, terms: dict[str, object]) -> None:
    known = with_account(catalog(), TRUNK_ACCOUNT, **terms)
    ids = [carrier.key.id for carrier in known.carriers["main"]]
    full = {"main": tuple(replace(each, channels=0) for each in known.carriers["main"])}
    for carriers in (known.carriers, full, {}):
        desk.catalog_value = replace(known, carriers=carriers)
        told = " ".join(f"{rule.detail} {rule.level}" for rule in tell(desk, "ray", payer=RAY))
        assert not [each for each in ids if each in told]
    desk.catalog_value = known
    assert "cheap" in " ".join(rule.detail for rule in tell(desk, None)), "the ids are such as could be found"


def test_an_emergency_number_asks_no_rule(desk: Desk) -> None:
    rules = tell(desk, "main", "112")
    assert {rule.outcome for rule in rules if rule.rule != "emergency"} == {Outcome.NOT_ASKED}
    assert rules[-1].detail == "not asked: an emergency number is granted from memory"


def test_a_seller_sees_both_sides_and_nobody_elses(desk: Desk) -> None:
    seller, owner = tell(desk, "ray", payer=RAY), tell(desk, "main", payer=RAY)
    told = "\n".join(f"{rule.rule} {rule.level} {rule.detail}" for rule in seller)
    assert "bought from the level above at 0.30 USD a minute for prefix 44, 1/1" in told
    assert "60 s are sold" not in told
    assert "500 s are sold at 5.00 USD and cost 2.50 USD: 2.50 USD (50.00 %) is left; the floor is 0.00 %" in told
    for hidden in ("main/", "ray-trunk", "cheap", "0.10", "100.00", "trunk"):
        assert hidden not in told
    told = "\n".join(f"{rule.rule} {rule.level} {rule.detail}" for rule in owner)
    assert "sold at 0.30 USD a minute" in told
    assert "bought from carrier cheap at 0.10 USD a minute" in told
    assert "grant main/ray-trunk 500 seconds, 2.50 USD reserved" in told
    assert "balance main/ray-trunk" in told
    for hidden in ("ray/", "rita"):
        assert hidden not in told
    assert {rule.rule for rule in owner} == {
        "downstream", "rate", "cost", "carrier", "channels", "margin", "balance", "upstream", "grant",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("to", "terms", "code"),
    [
        ("1900555", {}, "destination_blocked"), ("442071231234", {"channels_out": 0}, "channels"),
        ("442071231234", {"credit_limit": -5 * NANO}, "balance_insufficient"),
    ],
)  # fmt: skip
def test_a_refusal_below_has_a_code_and_no_figures(desk: Desk, to: str, terms: dict[str, object], code: str) -> None:
    desk.catalog_value = with_account(catalog(), RAY, **terms)
    rules = tell(desk, "main", to, RAY)
    assert (rules[0].rule, rules[0].outcome) == ("downstream", Outcome.REFUSED)
    assert rules[0].detail == f"refused below: {code}"
    assert rules[-1].detail == "not asked: downstream refused before"
    assert not [rule for rule in rules if "rita" in rule.detail or "5.00" in rule.detail]


def test_a_refusal_above_has_a_code_and_no_figures(desk: Desk) -> None:
    desk.catalog_value = with_account(catalog(), TRUNK_ACCOUNT, channels_total=0)
    below, above = tell(desk, "ray", payer=RAY), tell(desk, "main", payer=RAY)
    (told,) = (rule for rule in below if rule.outcome is Outcome.REFUSED)
    assert (told.rule, told.detail) == ("upstream", "upstream_refused: refused upstream: channels")
    refused = [(rule.rule, rule.level) for rule in above if rule.outcome is Outcome.REFUSED]
    assert refused == [("channels", TRUNK_ACCOUNT), ("upstream", None)]
    assert outcomes(above)["downstream"] is Outcome.PASSED


@pytest.mark.parametrize("viewer", ["ray", "main"])
def test_who_owns_no_carrier_learns_of_a_shared_refusal_its_code_alone(desk: Desk, viewer: str) -> None:
    desk.catalog_value = replace(catalog(), carriers={})
    (told,) = (rule for rule in tell(desk, viewer, payer=RAY) if rule.outcome is Outcome.REFUSED)
    assert told.detail == "no_carrier: no carrier has a rate in force for the number"
    desk.catalog_value = with_account(catalog(), TRUNK_ACCOUNT, margin_floor_percent=90 * NANO)
    rules = tell(desk, viewer, payer=RAY)
    (refused,) = (rule for rule in rules if rule.outcome is Outcome.REFUSED)
    assert refused.detail == "margin_below_floor: no carrier leaves the margin that a level of the chain asks for"
    assert any("90.00 %" in rule.detail for rule in rules if rule.outcome is Outcome.LEFT_OUT) == (viewer == "main")


def test_a_switch_that_routes_by_itself_is_told_of_no_margin(desk: Desk) -> None:
    rules = outcomes(tell(desk, "ray", payer=RAY, routed=False))
    assert (rules["cost"], rules["margin"], rules["carrier"]) == (
        Outcome.PASSED, Outcome.NOT_APPLICABLE, Outcome.NOT_APPLICABLE
    )  # fmt: skip


def test_a_margin_is_told_by_the_minute_with_fees_at_a_loss_and_across_currencies(desk: Desk) -> None:
    desk.catalog_value = with_account(catalog(), ALICE, margin_floor_per_minute=parse_nano("0.05"))
    dear = [rule.detail for rule in tell(desk, "main", "4930123456") if rule.rule in ("margin", "cost")]
    assert "bought from carrier cheap at 0.70 USD a minute for prefix 49, 1/1" in dear
    assert any("0.60 USD a minute and 0.01 USD a call for prefix 49" in each for each in dear)
    assert any("the floor is 0.00 % and 0.05 USD a minute" in each for each in dear)
    loss = [rule.detail for rule in tell(desk, "main", payer=RAY) if rule.outcome is Outcome.LEFT_OUT]
    assert len(loss) == 1
    assert "-0.005 USD (-100.00 %) is left" in loss[0]
    free = [rule.detail for rule in tell(desk, "main", "8001") if rule.rule == "margin"]
    assert any("0.00 USD is left" in each for each in free)
    desk.catalog_value = with_account(catalog(), ALICE, margin_floor_percent=None)
    assert any("no floor is stated" in rule.detail for rule in tell(desk, "main") if rule.rule == "margin")
    crossed = [rule.detail for rule in tell(world(), "ray", payer=RAY) if rule.rule == "margin"]
    assert len(crossed) == 1
    assert "USD to EUR at 0.95" in crossed[0]
    assert "0.005 USD" in crossed[0]


def test_a_missing_conversion_is_told_to_its_level() -> None:
    desk = world(stated("USD", "EUR", "0.95", begins=0, ends=1))
    rules = tell(desk, "ray", payer=RAY)
    assert outcomes(rules)["conversion"] is Outcome.LEFT_OUT
    assert not [rule for rule in rules if rule.rule == "margin" and rule.level is not None]
    assert len(RATES) == 3


def test_a_level_above_without_a_rate_has_no_sides_to_tell(desk: Desk) -> None:
    rules = tell(desk, "ray", "4930123456", RAY)
    assert [(rule.rule, rule.outcome) for rule in rules if rule.rule in ("cost", "upstream")] == [
        ("cost", Outcome.NOT_APPLICABLE), ("upstream", Outcome.REFUSED)
    ]  # fmt: skip


def test_what_nobody_pays_for_is_told_to_whoever_asked(desk: Desk) -> None:
    rules = tell(desk, "main", payer=Key("ray", "nobody"))
    assert rules[1].detail == "account_unknown: there is no account ray/nobody within tenant main"
    assert outcomes(tell(desk, "main", payer=BOB))["grant"] is Outcome.PASSED
