"""The scenario file: good ones become finished values, and every kind of fault is told once, at its line and key."""

from pathlib import Path

import pytest

from daemon.authorize.catalog import AccountKind, Emergency, Status
from daemon.authorize.fraud_rule import FraudDirection
from daemon.charging.configuration import (
    AccountSpec,
    AsteriskSpec,
    CarrierSpec,
    Configuration,
    EndpointSpec,
    FreeswitchSpec,
    NasSpec,
    PlanFrom,
    RatePlanSpec,
    RateTableSpec,
    TenantSpec,
    build_catalog,
)
from daemon.config_files import objects
from daemon.config_files.positions import Problem
from daemon.config_files.scenario_file import Scenario, read_scenario
from daemon.kernel.ids import Direction, Key
from daemon.kernel.instant import parse_rfc3339
from daemon.kernel.money import NANO, Rounding
from daemon.rating.rate_table import RateTable

# Line numbers of the faults below count in this text.
BASE = """\
[[tenant]]
id = "main"
currency = "USD"

[[tenant]]
id = "reseller1"
parent = "main"
account = "trunk"
currency = "USD"

[[rate_table]]
id = "voice"
tenant = "main"
currency = "USD"
deck = "voice.csv"

[[rate_plan]]
id = "retail"
tenant = "main"
tables = ["voice"]

[[carrier]]
id = "carrier-a"
tenant = "main"
rate_table = "voice"
dial = "sofia/gateway/a/{number}"

[[account]]
id = "trunk"
tenant = "main"
kind = "prepaid"
currency = "USD"
rate_plan = "retail"

[[account]]
id = "alice"
tenant = "main"
kind = "prepaid"
currency = "USD"
rate_plan = "retail"
identities = [{ sip_user = "alice" }]

[[account]]
id = "erin"
tenant = "reseller1"
kind = "postpaid"
credit_limit = "5.00"
currency = "USD"
identities = [{ ip = "192.0.2.10" }]

[[nas]]
id = "gw1"
address = "127.0.0.1"
secret = "testing123"

[[freeswitch]]
id = "fs1"
tenant = "main"
"""
DECK = "prefix,rate\n44,0.0120\n"


def read(tmp_path: Path, text: str, deck: str = DECK) -> tuple[Scenario | None, list[Problem]]:
    (tmp_path / "scenario.toml").write_text(text)
    (tmp_path / "voice.csv").write_text(deck)
    return read_scenario(tmp_path / "scenario.toml")


def good(tmp_path: Path, text: str) -> Scenario:
    scenario, problems = read(tmp_path, text)
    assert problems == []
    assert scenario is not None
    return scenario


def changed(old: str, new: str, base: str = BASE) -> str:
    assert base.count(old) == 1, old
    return base.replace(old, new)


def test_the_base_is_good(tmp_path: Path) -> None:
    scenario = good(tmp_path, BASE)
    assert scenario.tenants == (TenantSpec("main", "USD"), TenantSpec("reseller1", "USD", "UTC", "main", "trunk"))
    assert scenario.rate_tables == (RateTableSpec("main", "voice", "USD"),)
    assert scenario.rate_plans == (RatePlanSpec("main", "retail", ("voice",)),)
    assert scenario.carriers == (CarrierSpec("main", "carrier-a", "voice", "sofia/gateway/a/{number}"),)
    alice = AccountSpec(
        "main",
        "alice",
        AccountKind.PREPAID,
        "USD",
        rate_plan=(PlanFrom("retail"),),
        identities=(EndpointSpec("alice"),),
    )
    assert scenario.accounts[1] == alice
    assert scenario.nas == (NasSpec("gw1", "main", "127.0.0.1", "testing123"),)
    assert scenario.freeswitch == (FreeswitchSpec("fs1", "main"),)
    assert [row.prefix for row in scenario.decks[Key("main", "voice")]] == ["44"]


def test_objects_come_before_what_refers_to_them(tmp_path: Path) -> None:
    kinds = [type(each).__name__ for each in good(tmp_path, BASE).objects]
    order = ["TenantSpec", "RateTableSpec", "RatePlanSpec", "CarrierSpec", "AccountSpec", "NasSpec", "FreeswitchSpec"]
    assert sorted(kinds, key=order.index) == kinds
    assert set(kinds) == set(order)


FULL = """
[[tenant]]
id = "main"
parent = ""
account = ""
currency = "EUR"
timezone = "Europe/Paris"

[[rate_table]]
id = "voice"
tenant = "main"
currency = "EUR"
timezone = "America/New_York"
deck = ""
decimals = 6
rounding = "half-even"
duration_rounding = "down"
split_bands = false
name = "voice"
override = ""
closed_limit_percent = 5

[[rate_plan]]
id = "retail"
tenant = "main"
tables = ["voice"]
inherits = ""
markup_percent = "0"
markup_per_minute = "0.00"

[[rate_plan]]
id = "retail-2027"
tenant = "main"
tables = ["voice"]

[[carrier]]
id = "carrier-a"
tenant = "main"
rate_table = "voice"
dial = "sofia/external/{number}@192.0.2.1:5060;transport=tcp"
channels = 0
status = "suspended"
tech_prefix = "*7#+"

[[account]]
id = "acme"
tenant = "main"
kind = "postpaid"
currency = "EUR"
balance = "-3.5"
credit_limit = "unlimited"
rate_plan = [{ plan = "retail" }, { plan = "retail-2027", from = "2027-01-01T00:00:00+01:00" }]
inbound_rate_plan = [{ plan = "retail", from = 2026-06-01T12:00:00.25Z }]
country = "FR"
status = "closed"
timezone = "Europe/Paris"
channels = { total = 3, inbound = 2, outbound = 1 }
over_channels = "refuse"
channel_surcharge = "0.00"
calls_per_second = 10
max_call_seconds = 3600
max_call_charge = "50.00"
daily_spend = "100.00"
margin_floor_percent = "-2.5"
margin_floor_per_minute = "0.000000001"
class_of_service = ""
overrides = []
identities = [
    { sip_user = "acme", ha1 = "0123456789abcdef0123456789abcdef" },
    { ip = "2001:db8::/32", tech_prefix = "77" },
    { caller = "+33155512300", via = "gw1" },
    { pin = "48213377", via = "token:ivr" },
    { did = "33155512399" },
    { did = "33155512400-33155512499", from = "2026-01-01T00:00:00Z", until = "2027-01-01T00:00:00Z" },
]

[[nas]]
id = "gw1"
tenant = "main"
address = "198.51.100.0/24"
trust_user_name = true
disconnect = ""
coa = ""
id_domain = "switch-1"
secret = "of its own, in ünicode"
profile = "cisco"
require_message_authenticator = true
routing = false

[[freeswitch]]
id = "fs1"
id_domain = "switch-1"
strip_digits = 1
charged_contexts = ["default", "public"]
cgr_aliases = true
host = "fs1.example"
port = 8022
password = "of its own"
routing = true

[[asterisk]]
id = "ast1"
id_domain = "switch-2"
host = "ast1.example"
port = 5039
username = "billing"
secret = "of its own too"
numbers = "national"
country = "GB"
"""


def test_every_key_becomes_its_value(tmp_path: Path) -> None:
    scenario = good(tmp_path, FULL)
    assert scenario.rate_tables == (
        RateTableSpec(
            "main", "voice", "EUR", "America/New_York", 6, Rounding.HALF_EVEN, Rounding.DOWN, 5, name="voice"
        ),
    )
    dial = "sofia/external/{number}@192.0.2.1:5060;transport=tcp"
    assert scenario.carriers == (CarrierSpec("main", "carrier-a", "voice", dial, 0, Status.SUSPENDED, "*7#+"),)
    [acme] = scenario.accounts
    assert acme == AccountSpec(
        tenant="main", id="acme", kind=AccountKind.POSTPAID, currency="EUR", balance=-3_500_000_000, credit_limit=None,
        rate_plan=(PlanFrom("retail"), PlanFrom("retail-2027", parse_rfc3339("2026-12-31T23:00:00Z"))),
        inbound_rate_plan=(PlanFrom("retail", parse_rfc3339("2026-06-01T12:00:00.25Z")),), country="FR",
        status=Status.CLOSED, timezone="Europe/Paris", channels_total=3, channels_in=2, channels_out=1,
        calls_per_second=10, daily_spend=100 * NANO, max_call_seconds=3600, max_call_charge=50 * NANO,
        margin_floor_percent=-2_500_000_000, margin_floor_per_minute=1,
        identities=(
            EndpointSpec(sip_user="acme", ha1="0123456789abcdef0123456789abcdef"),
            EndpointSpec(ip="2001:db8::/32", tech_prefix="77"), EndpointSpec(caller="33155512300", via="gw1"),
            EndpointSpec(pin="48213377", via="ivr"), EndpointSpec(did="33155512399"),
            EndpointSpec(did="33155512400", did_last="33155512499", begins=1_767_225_600 * 10**6,
                         ends=1_798_761_600 * 10**6),
        ),
    )  # fmt: skip
    assert scenario.nas == (
        NasSpec(
            "gw1", "main", "198.51.100.0/24", "of its own, in ünicode", "cisco", "switch-1", True, "", "", True, False
        ),
    )
    assert scenario.freeswitch == (
        FreeswitchSpec(
            "fs1", "main", "fs1.example", 8022, "of its own", "switch-1", 1, ("default", "public"), True, True
        ),
    )
    assert scenario.asterisk == (
        AsteriskSpec(
            "ast1", "main", "ast1.example", 5039, "billing", "of its own too", "switch-2", True, "national", "GB"
        ),
    )
    assert scenario.decks == {}


def test_where_calls_in_come_from(tmp_path: Path) -> None:
    more = (
        'profile = "cisco"\ndirection = "inbound"\ninbound_from = ["Telephony", "198.51.100.0/24"]\nboth_sides = true'
    )
    (nas,) = good(tmp_path, BASE.replace(PEER, f"{PEER}\n{more}")).nas
    assert (nas.direction, nas.inbound_from, nas.both_sides) == (
        Direction.INBOUND, ("Telephony", "198.51.100.0/24"), True,
    )  # fmt: skip


def test_a_scenario_makes_a_catalog(tmp_path: Path) -> None:
    scenario = good(tmp_path, BASE)
    table, errors = RateTable.from_rows(scenario.decks[Key("main", "voice")], table="voice", version=1, currency="USD")
    assert errors == []
    assert table is not None
    configuration = Configuration(
        1, scenario.tenants, scenario.rate_tables, scenario.rate_plans, scenario.carriers, scenario.accounts,
        scenario.nas, scenario.freeswitch, scenario.asterisk,
    )  # fmt: skip
    numbers = {("customer", spec.tenant, spec.id): place for place, spec in enumerate(scenario.accounts)}
    numbers["carrier", "main", "carrier-a"] = 99
    catalog = build_catalog(configuration, {Key("main", "voice"): table}, numbers, Emergency())
    erin = catalog.accounts[Key("reseller1", "erin")]
    assert [level.key.id for level in catalog.chain(erin)] == ["erin", "trunk"]
    assert catalog.endpoints.sip_users["alice"][0].account == Key("main", "alice")


@pytest.mark.parametrize(
    ("carrier", "stated", "routing"),
    [(True, "", True), (False, "", False), (True, "routing = false", False), (False, "routing = true", True)],
)
def test_the_daemon_routes_where_the_owner_has_a_carrier_or_as_stated(
    tmp_path: Path, carrier: bool, stated: str, routing: bool
) -> None:
    text = changed('address = "127.0.0.1"', f'address = "127.0.0.1"\n{stated}')
    if not carrier:
        start = text.index("[[carrier]]")
        text = text[:start] + text[text.index("[[account]]") :]
    assert good(tmp_path, text).nas[0].routing is routing


ALICE = 'identities = [{ sip_user = "alice" }]'  # line 41 of BASE
WHO = "account[alice].identities[0]"
TABLES, TABLE, PEER = 'tables = ["voice"]', 'deck = "voice.csv"', 'secret = "testing123"'
SWITCH = 'id = "fs1"\ntenant = "main"\n'
DIALLED = 'rate_table = "voice"\ndial = "sofia/gateway/a/{number}"'
DIAL = "carrier[carrier-a].dial"
CARRIER = 'id = "carrier-a"\ntenant = "main"'
TRUNK = 'kind = "prepaid"\ncurrency = "USD"\nrate_plan = "retail"\n\n'

# what replaces what in BASE, line, key, a piece of the message
FAULTS = [
    # money and times
    (ALICE, "balance = 25", 41, "account[alice].balance", 'write money as a text: "25"'),
    (ALICE, "balance = 25.5", 41, "account[alice].balance", 'write money as a text: "25.5"'),
    (ALICE, "balance = inf", 41, "account[alice].balance", 'write money as a text: "25.00"'),
    (ALICE, 'balance = "1,000.00"', 41, "account[alice].balance", "plain decimal"),
    (ALICE, 'balance = "0.0000000001"', 41, "account[alice].balance", "at most 9 places"),
    (ALICE, 'balance = "1000000001"', 41, "account[alice].balance", "above the limit"),
    (ALICE, "balance = true", 41, "account[alice].balance", "write a text"),
    (ALICE, 'daily_spend = "-1"', 41, "account[alice].daily_spend", "is negative"),
    (ALICE, 'margin_floor_percent = "100.1"', 41, "account[alice].margin_floor_percent", 'from "-100" to "100"'),
    (ALICE, "margin_floor_percent = 5", 41, "account[alice].margin_floor_percent", 'write money as a text: "5"'),
    (ALICE, 'credit_limit = "unlimited"', 41, "account[alice].credit_limit", "for a prepaid account"),
    (ALICE, 'inbound_kind = "postpaid"', 35, "account[alice].inbound_credit_limit", "states how far it may owe"),
    (ALICE, 'inbound_credit_limit = "1.00"', 41, "account[alice].inbound_credit_limit", "belongs to an inbound_kind"),
    ('credit_limit = "5.00"\n', "", 43, "account[erin].credit_limit", "a postpaid account states how far it may owe"),
    (ALICE, 'inbound_rate_plan = [{ plan = "retail", from = "2026-01-01 00:00" }]', 41,
     "account[alice].inbound_rate_plan[0].from", "RFC 3339"),
    (ALICE, 'inbound_rate_plan = [{ plan = "retail", from = 2026-01-01 }]', 41,
     "account[alice].inbound_rate_plan[0].from", "is a date or a time"),
    (ALICE, 'inbound_rate_plan = [{ plan = "retail" }, { plan = "retail" }]', 41,
     "account[alice].inbound_rate_plan[1].from", "start of an earlier plan"),
    (ALICE, 'inbound_rate_plan = [{ from = "2026-01-01T00:00:00Z" }]', 41,
     "account[alice].inbound_rate_plan[0].plan", "is missing"),
    (ALICE, 'timezone = "../../etc/passwd"', 41, "account[alice].timezone", "tz database"),
    (ALICE, 'country = "USA"', 41, "account[alice].country", "ISO 3166"),
    (ALICE, 'over_channels = "surcharge"', 41, "account[alice].over_channels", "for nothing"),
    # ids and references
    ('id = "alice"', 'id = "-alice"', 36, "account[1].id", "is no id"),
    ('id = "alice"', 'id = "trunk"', 36, "account[trunk].id", "is the id of the account in line 28 too"),
    ('id = "alice"\n', "", 35, "account[1].id", "is missing"),
    (f'tenant = "main"\n{TRUNK}', f'tenant = "mine"\n{TRUNK}', 30, "account[trunk].tenant", "there is no tenant mine"),
    (TABLES, 'tables = ["vioce"]', 20, "rate_plan[retail].tables[0]", "did you mean voice?"),
    ('tables = ["voice"]', "tables = []", 20, "rate_plan[retail].tables", "or what the plan inherits"),
    (TABLES, 'tables = ["voice", "voice"]', 20, "rate_plan[retail].tables[1]", "in the plan twice"),
    ('rate_table = "voice"', 'rate_table = "buy"', 25, "carrier[carrier-a].rate_table", "no rate_table buy"),
    (ALICE, 'inbound_rate_plan = "inbound"', 41, "account[alice].inbound_rate_plan", "there is no rate_plan inbound"),
    # tenants
    ('parent = "main"', 'parent = "mine"', 7, "tenant[reseller1].parent", "there is no tenant mine"),
    ('parent = "main"', 'parent = "reseller1"', 7, "tenant[reseller1].parent", "reseller1 -> reseller1"),
    ('parent = "main"\naccount = "trunk"\n', "", 5, "tenant[reseller1].parent", "one is the owner"),
    ('account = "trunk"\n', "", 5, "tenant[reseller1].account", "name the tenant's own account with main"),
    ('account = "trunk"', 'account = "erin"', 8, "tenant[reseller1].account", "no account erin of tenant main"),
    ('id = "main"\n', 'id = "main"\naccount = "alice"\n', 3, "tenant[main].account", "take it out or state the parent"),
    ('parent = "main"\naccount = "trunk"\ncurrency = "USD"', 'parent = "main"\naccount = "trunk"\ncurrency = "EUR"', 9,
     "tenant[reseller1].currency", 'add a [[conversion]] from = "USD", to = "EUR"'),
    # currencies: a customer's and its tenant's, a plan's and the account's, a carrier's and the owner's
    ('credit_limit = "5.00"\ncurrency = "USD"', 'credit_limit = "5.00"\ncurrency = "EUR"', 48, "account[erin].currency",
     "tenant reseller1 is charged in USD"),
    (DIALLED, 'rate_table = "buy"\ndial = "{number}"\n[[rate_table]]\nid = "buy"\ntenant = "main"\ncurrency = "EUR"',
     25, "carrier[carrier-a].rate_table", "is priced in EUR"),
    ('currency = "USD"\nrate_plan = "retail"\nidentities', 'currency = "EUR"\nidentities', 39,
     "account[alice].currency", "a carrier of the owner is paid in USD"),
    # who pays
    (ALICE, "identities = [{}]", 41, WHO, "states none"),
    (ALICE, 'identities = [{ sip_user = "a", did = "44" }]', 41, WHO, "states sip_user and did"),
    (ALICE, 'identities = [{ sip_user = "a b" }]', 41, WHO + ".sip_user", "without blanks"),
    (ALICE, 'identities = [{ sip_user = "a", password = "" }]', 41, WHO + ".password", "octets"),
    (ALICE, 'identities = [{ sip_user = "a", ha1 = "abc" }]', 41, WHO + ".ha1", "hexadecimal"),
    (ALICE, f'identities = [{{ sip_user = "a", password = "p", ha1 = "{"0" * 32}" }}]', 41,
     WHO + ".ha1", "keep one of the two"),
    (ALICE, 'identities = [{ ip = "192.0.2.11", password = "p" }]', 41, WHO + ".password",
     "belongs to sip_user"),
    (ALICE, 'identities = [{ did = "44", via = "gw1" }]', 41, WHO + ".via", "caller or pin"),
    (ALICE, 'identities = [{ ip = "0.0.0.0/0" }]', 41, WHO + ".ip", "every address"),
    (ALICE, 'identities = [{ ip = "192.0.2.300" }]', 41, WHO + ".ip", "nor a network"),
    (ALICE, 'identities = [{ caller = "44" }]', 41, WHO, "vouches"),
    (ALICE, 'identities = [{ caller = "44x", via = "gw1" }]', 41, WHO + ".caller", "18 digits"),
    (ALICE, 'identities = [{ pin = "123", via = "gw1" }]', 41, WHO + ".pin", "4 to 18 digits"),
    (ALICE, 'identities = [{ pin = "1234", via = "gw2" }]', 41, WHO + ".via", "token:gw2"),
    (ALICE, 'identities = [{ pin = "1234", via = "192.0.2.0/24" }]', 41, WHO + ".via", "no network"),
    (ALICE, 'identities = [{ pin = "1234", via = "token:" }]', 41, WHO + ".via", "is no id"),
    (ALICE, 'identities = [{ caller = "441-449", via = "gw1" }]', 41, WHO + ".caller", "only a did may be a range"),
    (ALICE, 'identities = [{ did = "449-441" }]', 41, WHO + ".did", "is no range"),
    (ALICE, 'identities = [{ did = "441-4499" }]', 41, WHO + ".did", "as many digits"),
    (ALICE, 'identities = [{ did = "441-44x" }]', 41, WHO + ".did", "is not a number"),
    (ALICE, 'identities = [{ sip_user = "a", from = "2026-01-01T00:00:00Z" }]', 41, WHO + ".from", "belongs to did"),
    (ALICE, 'identities = [{ did = "44", from = "2026-02-01T00:00:00Z", until = "2026-02-01T00:00:00Z" }]', 41,
     WHO + ".until", "is no later than its begin"),
    (ALICE, 'identities = [{ did = "44", numbers = "e164" }]', 41, WHO + ".numbers", "not to did"),
    (ALICE, 'identities = [{ sip_user = "a", numbers = "local" }]', 41, WHO + ".numbers", "is not one of"),
    (ALICE, 'identities = [{ sip_user = "a", numbers = "national" }]', 41, WHO + ".country", "needs it"),
    (ALICE, 'identities = [{ sip_user = "a", numbers = "national", country = "ZZ" }]', 41, WHO + ".country",
     "is no ISO"),
    (ALICE, 'identities = [{ sip_user = "a", country = "GB" }]', 41, WHO + ".country", "says nothing without numbers"),
    (ALICE, 'identities = [{ ip = "10.0.0.1", numbers = "e164", national_prefix = "0" }]', 41,
     WHO + ".national_prefix", "belongs to numbers"),
    (ALICE, 'identities = [{ ip = "10.0.0.1", numbers = "e164", international_prefix = "x" }]', 41,
     WHO + ".international_prefix", "is no dialling prefix"),
    (ALICE, 'identities = [{ did = "441-449" }, { did = "445" }]', 41, "account[alice].identities[1].did", "twice"),
    ("[[nas]]\n", '[[nas]]\nnumbers = "national"\n', 51, "nas[gw1].country", "needs the country whose"),
    (ALICE, 'identities = [{ sip_user = "a" },\n{ sip_user = "a" }]', 42,
     "account[alice].identities[1].sip_user", "twice"),
    (ALICE, 'identities = [{ ip = "192.0.2.10" }]', 49, "account[erin].identities[0].ip", "of account main/alice"),
    (ALICE, 'identities = { sip_user = "a" }', 41, "account[alice].identities", "list in square brackets"),
    # peers
    ('address = "127.0.0.1"', 'address = "192.0.2.1"', 54, "nas[gw1].secret", "is well known"),
    (PEER, 'secret = ""', 54, "nas[gw1].secret", "1 to 128 octets"),
    ('address = "127.0.0.1"', 'address = "127.0.0.1/8"', 53, "nas[gw1].address", "write 127.0.0.0/8"),
    ('id = "fs1"', 'id = "fs1"\nhost = "192.0.2.1"', 56, "freeswitch[fs1].password", "is well known"),
    ('id = "fs1"', 'id = "fs1"\nhost = "fs 1"', 58, "freeswitch[fs1].host", "is no host"),
    ('id = "fs1"', 'id = "fs1"\nport = 0', 58, "freeswitch[fs1].port", "from 1 to 65535"),
    ('id = "fs1"', 'id = "fs1"\nstrip_digits = true', 58, "freeswitch[fs1].strip_digits", "whole number"),
    ('id = "fs1"', 'id = "fs1"\ncharged_contexts = [""]', 58, "freeswitch[fs1].charged_contexts[0]", "is empty"),
    (SWITCH, 'id = "fs1"\ntenant = "main"\n[[freeswitch]]\nid = "fs2"\n', 59, "freeswitch[fs2]",
     "one link serves one switch"),
    (SWITCH, 'id = "gw1"\nid_domain = ""\ntenant = "reseller1"\n', 58, "freeswitch[gw1].id_domain",
     "of another tenant"),
    (SWITCH, 'id = "fs1"\nstatus = "suspended"\n', 58, "freeswitch[fs1].status", "is not one of active, closed"),
    # which way its calls go
    (PEER, 'secret = "testing123"\ndirection = "sideways"', 55, "nas[gw1].direction", "not one of outbound, inbound"),
    (PEER, 'secret = "testing123"\ninbound_from = ["198.51.100.1/24"]', 55, "nas[gw1].inbound_from[0]",
     "write 198.51.100.0/24"),
    (PEER, 'secret = "testing123"\ninbound_from = ["a\\u0007"]', 55, "nas[gw1].inbound_from[0]",
     "control character"),
    (PEER, 'secret = "testing123"\nprofile = "kamailio"\ninbound_from = ["x"]', 56, "nas[gw1].inbound_from",
     "state direction, or let the proxy send tollway_direction"),
    (PEER, 'secret = "testing123"\ninbound_from = ["198.51.100.1"]', 55, "nas[gw1].inbound_from", "cisco, freeswitch"),
    (PEER, f'secret = "testing123"\ninbound_from = {["x"] * 257}', 55, "nas[gw1].inbound_from", "256 at most"),
    # what cannot be dialled
    ('"sofia/gateway/a/{number}"', '"sofia/gateway/a"', 26, DIAL, "lacks {number}"),
    ('"sofia/gateway/a/{number}"', '"a/{number},b/{number}"', 26, DIAL, "a dial string is"),
    ('"sofia/gateway/a/{number}"', '"[x=1]a/{number}"', 26, DIAL, "a dial string is"),
    ('"sofia/gateway/a/{number}"', '"a/${number}"', 26, DIAL, "a dial string is"),
    (CARRIER, 'id = "carrier-a"\ntenant = "reseller1"', 24, "carrier[carrier-a].tenant", "the owner's carriers alone"),
    # known, and not honoured by this release
    (ALICE, 'over_channels = "allow"', 41, "account[alice].over_channels", "is not one of refuse, surcharge"),
    (ALICE, 'channel_surcharge = "-0.01"', 41, "account[alice].channel_surcharge", "is negative"),
    (ALICE, 'warn = "all"', 41, "account[alice].warn", "is not one of caller, callee, both"),
    (ALICE, "low_balance_warning_seconds = 3601", 41, "account[alice].low_balance_warning_seconds", "3600"),
    (ALICE, "cutoff_warning_seconds = -1", 41, "account[alice].cutoff_warning_seconds", "0"),
    (ALICE, 'low_balance_warning = "-1"', 41, "account[alice].low_balance_warning", "is negative"),
    (TABLES, 'tables = ["voice"]\nmarkup_per_minute = 0', 21, "rate_plan[retail].markup_per_minute",
     "write money as a text"),
    (TABLE, 'deck = "voice.csv"\nsplit_bands = 0', 16, "rate_table[voice].split_bands", "write true or false"),
    (PEER, 'secret = "testing123"\ncoa = "127.0.0.1:3799"', 55, "nas[gw1].coa", "this release"),
    (PEER, 'secret = "testing123"\ndisconnect = "127.0.0.1:3799"', 55, "nas[gw1].disconnect", "this release"),
    ("[[nas]]\n", '[[asterisk]]\nid = "ast1"\nport = 0\n[[nas]]\n', 53, "asterisk[ast1].port", "from 1 to 65535"),
    ("[[nas]]\n", '[[asterisk]]\nid = "ast1"\nhost = "192.0.2.1"\nsecret = "amp111"\n[[nas]]\n', 54,
     "asterisk[ast1].secret", "is well known"),
    ("[[nas]]\n", '[[asterisk]]\nid = "ast1"\n[[asterisk]]\nid = "ast2"\nhost = "localhost"\n[[nas]]\n', 55,
     "asterisk[ast2].host", "FastAGI knows a switch by its address"),
    # shape
    ("[[carrier]]", "[carrier]", 22, "carrier", "with two brackets"),
    ("[[nas]]\n", "[[nsa]]\n[[nas]]\n", 51, "nsa", "did you mean [[nas]]?"),
    ("[[nas]]\n", "[emergency]\n[[nas]]\n", 51, "emergency", "write [emergency] in tollway.toml"),
    (ALICE, 'colour = "blue"', 41, "account[alice].colour", "is an unknown key"),
    (ALICE, "channels = 2", 41, "account[alice].channels", "write a table"),
    (ALICE, "channels = { total = 1.5 }", 41, "account[alice].channels.total", "whole number"),
    (ALICE, "channels = {\ttotal = 1, in = 1 }", 41, "account[alice].channels.in", "unknown key"),
    # decks
    (TABLE, 'deck = "vioce.csv"', 15, "rate_table[voice].deck", "cannot be read: No such file"),
    (TABLE, 'deck = "."', 15, "rate_table[voice].deck", "no regular file"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "message"), FAULTS)
def test_one_fault(tmp_path: Path, old: str, new: str, line: int, key: str, message: str) -> None:
    scenario, problems = read(tmp_path, changed(old, new))
    assert scenario is None
    assert [(problem.line, problem.key) for problem in problems] == [(line, key)], problems
    assert message in problems[0].message


RULE = """
[[fraud_rule]]
id = "{id}"
tenant = "main"
{account}
kind = "group_rate"
prefixes = ["88"]
act = "suspend"
{more}
"""


def ruled(tmp_path: Path, *rules: dict[str, str]) -> tuple[Scenario | None, list[Problem]]:
    """Read BASE with rules of these ids, accounts and further lines."""
    return read(tmp_path, BASE + "".join(RULE.format(**{"account": "", "more": "calls = 1", **rule}) for rule in rules))


def test_a_rule_counts_outbound_calls_unless_it_says_otherwise(tmp_path: Path) -> None:
    scenario, problems = ruled(tmp_path, {"id": "r"}, {"id": "s", "more": 'calls = 1\ndirection = "any"'})
    assert problems == []
    assert scenario is not None
    assert [rule.direction for rule in scenario.fraud_rules] == [FraudDirection.OUTBOUND, FraudDirection.ANY]


@pytest.mark.parametrize(
    ("more", "key", "message"),
    [('spend = "0"', "spend", "more than 0"), ('spend = "-1"', "spend", "more than 0"),
     ('calls = 1\ndirection = "both"', "direction", "is not one of outbound, inbound, any")],
)  # fmt: skip
def test_a_rule_that_allows_nothing_or_counts_in_no_direction_is_a_fault(
    tmp_path: Path, more: str, key: str, message: str
) -> None:
    [problem] = ruled(tmp_path, {"id": "r", "more": more})[1]
    assert problem.key == f"fraud_rule[r].{key}"
    assert message in problem.message


def test_more_rules_than_an_account_has_windows_are_named_at_the_last_of_them(tmp_path: Path) -> None:
    of_all = [{"id": f"t{each}"} for each in range(4)]
    own = [{"id": f"a{each}", "account": 'account = "alice"'} for each in range(4)]
    assert ruled(tmp_path, *of_all, *own)[1] == []
    of_the_reseller = [{"id": f"r{each}", "account": 'account = "trunk"'} for each in range(8)]
    assert ruled(tmp_path, *of_all, *of_the_reseller)[1] == [], "rules of all customers do not watch a reseller"
    [problem] = ruled(tmp_path, *own, {"id": "a4", "account": 'account = "alice"'}, *of_all)[1]
    assert problem.key == "fraud_rule[a4]"
    assert "one of more than 8 that watch account main/alice" in problem.message
    [problem] = ruled(tmp_path, *({"id": f"t{each}"} for each in range(9)))[1]
    assert problem.key == "fraud_rule[t8]"
    assert "the customers of tenant main" in problem.message


def test_no_tenant_at_all(tmp_path: Path) -> None:
    [problem] = read(tmp_path, "")[1]
    assert (problem.line, problem.key) == (1, "tenant")
    assert "there is no tenant" in problem.message


def test_two_reseller_tenants_may_not_share_an_account(tmp_path: Path) -> None:
    more = '\n[[tenant]]\nid = "reseller2"\nparent = "main"\naccount = "trunk"\ncurrency = "USD"\n'
    [problem] = read(tmp_path, BASE + more)[1]
    assert problem.key == "tenant[reseller2].account"
    assert "tenant reseller1 too" in problem.message


def test_an_owner_without_carriers_may_keep_accounts_in_several_currencies(tmp_path: Path) -> None:
    text = changed('currency = "USD"\nrate_plan = "retail"\nidentities', 'currency = "EUR"\nidentities')
    start = text.index("[[carrier]]")
    assert read(tmp_path, text[:start] + text[text.index("[[account]]") :])[1] == []


def test_siblings_may_use_one_sip_user_unless_one_peer_carries_both(tmp_path: Path) -> None:
    second = """
[[account]]
id = "trunk2"
tenant = "main"
kind = "prepaid"
currency = "USD"

[[tenant]]
id = "reseller2"
parent = "main"
account = "trunk2"
currency = "USD"

[[account]]
id = "erin"
tenant = "reseller2"
kind = "prepaid"
currency = "USD"
identities = [{ ip = "192.0.2.10" }]
"""
    [problem] = read(tmp_path, BASE + second)[1]
    assert problem.key == "account[erin].identities[0].ip"
    assert "account reseller1/erin" in problem.message
    own = changed('id = "gw1"\n', 'id = "gw1"\ntenant = "reseller1"\n')
    own = changed(SWITCH, 'id = "fs1"\ntenant = "reseller2"\n', own)
    assert read(tmp_path, own + second)[1] == []


def test_a_peer_must_see_the_account_that_it_vouches_for(tmp_path: Path) -> None:
    text = changed('id = "gw1"\n', 'id = "gw1"\ntenant = "reseller1"\n')
    [problem] = read(tmp_path, changed(ALICE, 'identities = [{ caller = "44", via = "gw1" }]', text))[1]
    assert problem.key == "account[alice].identities[0].via"
    assert "does not carry calls of tenant main" in problem.message


def test_a_token_that_exists_may_vouch(tmp_path: Path) -> None:
    (tmp_path / "voice.csv").write_text(DECK)
    file = tmp_path / "scenario.toml"
    file.write_text(changed(ALICE, 'identities = [{ pin = "1234", via = "ivr" }]'))
    assert [problem.key for problem in read_scenario(file)[1]] == ["account[alice].identities[0].via"]
    scenario, problems = read_scenario(file, token_ids={"ivr"})
    assert problems == []
    assert scenario is not None
    assert scenario.accounts[1].identities[0].via == "ivr"


@pytest.mark.parametrize(
    ("address", "overlaps"),
    [("127.0.0.1", True), ("127.0.0.0/30", True), ("127.0.0.2", False), ("::1", False), ("127.0.0.0/8", True)],
)
def test_networks_of_clients_never_overlap(tmp_path: Path, address: str, overlaps: bool) -> None:
    more = f'\n[[nas]]\nid = "gw0"\naddress = "{address}"\nsecret = "x"\n'
    problems = read(tmp_path, BASE + more)[1]
    assert [(problem.line, problem.key) for problem in problems] == ([(62, "nas[gw0].address")] if overlaps else [])


def test_what_a_closed_peer_had_another_may_have(tmp_path: Path) -> None:
    closed = (
        '\n[[nas]]\nid = "gw0"\naddress = "127.0.0.1"\nsecret = "x"\nstatus = "closed"\n'
        '\n[[freeswitch]]\nid = "fs0"\nstatus = "closed"\n[[asterisk]]\nid = "a0"\n'
        '\n[[asterisk]]\nid = "a1"\nstatus = "closed"\n'
    )
    scenario, problems = read(tmp_path, BASE + closed)
    assert not problems
    assert scenario is not None
    assert [peer.status for peer in scenario.nas] == [Status.ACTIVE, Status.CLOSED]


def test_tables_of_one_name_in_a_plan_need_overrides_that_differ(tmp_path: Path) -> None:
    table = '\n[[rate_table]]\nid = "sms"\nname = "voice"\ntenant = "main"\ncurrency = "USD"\n'
    text = changed(TABLES, 'tables = ["voice", "sms"]') + table
    [problem] = read(tmp_path, text)[1]
    assert problem.key == "rate_plan[retail].tables[1]"
    assert "has the name of voice" in problem.message
    first = changed(TABLE, 'deck = "voice.csv"\noverride = "^VOICE$"', text)
    assert read(tmp_path, first)[1] == []
    assert read(tmp_path, text.replace('name = "voice"', 'name = "sms"'))[1] == []


def test_a_tree_of_tenants_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "TENANT_DEPTH_MAX", 1)
    monkeypatch.setattr("daemon.config_files.scenario_checks.TENANT_DEPTH_MAX", 1)
    [problem] = read(tmp_path, BASE)[1]
    assert problem.key == "tenant[reseller1].parent"
    assert "deeper than 1" in problem.message


def test_a_faulty_object_is_no_dangling_reference(tmp_path: Path) -> None:
    problems = read(tmp_path, changed('tenant = "main"\ntables', "tenant = 5\ntables"))[1]
    assert [problem.key for problem in problems] == ["rate_plan[retail].tenant"]
    problems = read(tmp_path, changed('id = "retail"', "id = 5"))[1]
    assert [problem.key for problem in problems] == ["rate_plan[0].id"]


def test_a_circle_of_tenants_is_told_once_at_the_first_of_them(tmp_path: Path) -> None:
    text = changed('id = "main"\n', 'id = "main"\nparent = "reseller1"\naccount = "erin"\n')
    problems = read(tmp_path, text)[1]
    assert [(problem.line, problem.key) for problem in problems] == [(3, "tenant[main].parent")]
    assert "main -> reseller1 -> main" in problems[0].message


DECK_FAULTS = [
    ("prefix,rate\n44,0.01\n44,0.02\n", 3, ""),
    ("prefix,rate,rate_type\n44,0.01,per_fortnight\n", 2, ""),
    ("prefix,rate,time_band\n44,0.01,peak\n", 2, ""),
    ("prefix,destination,rate\n,France,0.01\n", 2, "destination"),
    ("prefix,rate\n44,0.01\n45\n", 3, ""),
    ("prefix\n44\n", 1, ""),
    ("", 1, ""),
    ("prefix,rate,effective_from\n44,0.01,2026-01-01\n", 2, "effective_from"),
]


@pytest.mark.parametrize(("deck", "line", "column"), DECK_FAULTS)
def test_faults_of_a_deck_have_its_name_and_lines(tmp_path: Path, deck: str, line: int, column: str) -> None:
    scenario, problems = read(tmp_path, BASE, deck)
    assert scenario is None
    assert (problems[0].file, problems[0].line, problems[0].key) == (str(tmp_path / "voice.csv"), line, column)
