"""What conf/ ships: settings that are the manual of their defaults, a sample that sells, dialplans that fail closed."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from daemon.asterisk.dialplan import STALE
from daemon.authorize.attempt import CallAttempt, Identity, PlainPassword
from daemon.authorize.catalog import Catalog, Emergency
from daemon.authorize.decide import decide, prepare
from daemon.authorize.decision import Decision, Denied, Granted
from daemon.authorize.denial import Denial
from daemon.authorize.quote import Limits, Quote
from daemon.charging.configuration import Configuration, build_catalog
from daemon.config_files.kinds import ConfigKey
from daemon.config_files.positions import read_document
from daemon.config_files.reference import toml_text
from daemon.config_files.scenario_file import Scenario, read_scenario
from daemon.config_files.settings_file import SECTIONS, read_settings
from daemon.kernel.dialling import Dialling, Numbers
from daemon.kernel.ids import Key
from daemon.kernel.instant import SECOND
from daemon.ledger.account import Standing
from daemon.rating.rate_table import RateTable
from daemon.settings import Settings

CONF = Path(__file__).resolve().parents[3] / "conf"
NOW = 1_790_000_000 * SECOND
PREFIXES_MIN = 60  # in a deck of the sample: enough to try what one dials


# -- tollway.toml


def test_the_settings_file_states_the_defaults() -> None:
    settings, problems = read_settings(CONF / "tollway.toml")
    assert problems == []
    assert settings == replace(Settings(), path=str(CONF / "tollway.toml"))


def keys() -> Iterator[tuple[str, ConfigKey]]:
    return ((name, key) for name, table in SECTIONS.items() for key in table.keys)


@pytest.mark.parametrize(("section", "key"), list(keys()), ids=[f"{name}.{key.name}" for name, key in keys()])
def test_the_settings_file_explains_every_key(section: str, key: ConfigKey) -> None:
    document = read_document(CONF / "tollway.toml")
    assert (section, key.name) in document.lines, "a key that the manual does not show"
    above = document.text.splitlines()[: document.line_of((section, key.name)) - 1]
    comment = above_it(above)
    assert f"Default: {toml_text(key.default)}." in comment
    bounds = re.search(r"([0-9]+) to ([0-9]+)$", key.kind.type)
    if bounds is not None:
        assert bounds[0] in comment
        assert key.kind.type.split(",")[0] in comment.lower()


def above_it(lines: list[str]) -> str:
    """Return the comment that stands above a line, which may be above the header of its section."""
    found: list[str] = []
    for line in reversed(lines):
        if line.startswith("#"):
            found.insert(0, line.removeprefix("#").strip())
        elif not line.startswith("["):
            break
    return " ".join(found)


# -- the sample


@pytest.fixture(scope="module")
def sample() -> Scenario:
    scenario, problems = read_scenario(CONF / "sample" / "scenario.toml")
    assert problems == []
    assert scenario is not None
    return scenario


@pytest.fixture(scope="module")
def catalog(sample: Scenario) -> Catalog:
    tables = {}
    for spec in sample.rate_tables:
        key = Key(spec.tenant, spec.id)
        table, errors = RateTable.from_rows(
            sample.decks[key], table=spec.id, version=1, currency=spec.currency, decimals=spec.decimals,
            rounding=spec.rounding, duration_rounding=spec.duration_rounding,
        )  # fmt: skip
        assert errors == []
        assert table is not None
        tables[key] = table
    configuration = Configuration(
        1, sample.tenants, sample.rate_tables, sample.rate_plans, sample.carriers, sample.accounts, sample.nas
    )
    numbers = {("customer", spec.tenant, spec.id): place for place, spec in enumerate(sample.accounts)}
    numbers |= {("carrier", spec.tenant, spec.id): 1000 + place for place, spec in enumerate(sample.carriers)}
    return build_catalog(configuration, tables, numbers, Emergency())


def call(sample: Scenario, catalog: Catalog, user: str, called: str, password: str = "") -> Decision:
    """Decide a call of a SIP user over a road like RADIUS, every account as it is at its opening."""
    identity = Identity(sip_user=user, credential=PlainPassword(password or f"{user}-password"))
    attempt = CallAttempt("gw1", "1", "main", "radius", "gw1", identity, called)
    quote = prepare(catalog, attempt, NOW, Limits())
    if not isinstance(quote, Quote):
        return quote
    opening = {catalog.accounts[Key(spec.tenant, spec.id)].number: spec.balance for spec in sample.accounts}
    return decide(quote, lambda number: Standing(number, balance=opening.get(number, 0)), Limits(), NOW, "g")


def test_the_sample_holds_who_is_promised(sample: Scenario) -> None:
    assert [tenant.id for tenant in sample.tenants if not tenant.parent] == ["main"]
    assert [(tenant.id, tenant.account) for tenant in sample.tenants if tenant.parent] == [
        ("reseller1", "reseller1-trunk")
    ]
    assert [carrier.id for carrier in sample.carriers] == ["carrier-a"]
    assert sample.freeswitch == ()
    assert [(nas.address, nas.secret) for nas in sample.nas] == [("127.0.0.1", "testing123")]
    assert any(identity.did for account in sample.accounts for identity in account.identities)


def test_the_decks_are_of_a_size_to_try_things(sample: Scenario) -> None:
    for key, rows in sample.decks.items():
        assert len({row.prefix for row in rows}) >= PREFIXES_MIN, key
    retail = {row.prefix: row for row in sample.decks[Key("main", "retail-voice")]}
    increments = {(row.terms.first_seconds, row.terms.next_seconds) for row in retail.values()}
    assert {(1, 1), (6, 6), (30, 6), (60, 60), (60, 1)} <= increments
    assert retail["1900"].terms.blocked
    assert retail["1800"].rate == 0
    assert {"1", "1212", "44", "4420", "447", "33", "336", "49", "4915", "91", "52", "521", "34", "39", "61", "81",
            "86", "7", "971"} <= retail.keys()  # fmt: skip


def test_every_price_of_the_sample_keeps_the_floor_at_every_level(sample: Scenario, catalog: Catalog) -> None:
    """Every number that is sold finds its carrier, for the owner's customers and for the reseller's."""
    for user, tenant in (("alice", "main"), ("bob", "main"), ("erin", "reseller1")):
        for row in sample.decks[Key(tenant, "retail-voice")]:
            if not row.terms.blocked:
                decision = call(sample, catalog, user, row.prefix.ljust(11, "5"))
                assert isinstance(decision, Granted), (user, row.prefix, decision)
                assert len(decision.routes) == 1
                assert len(decision.levels) == (2 if tenant == "reseller1" else 1)


def test_the_accounts_of_the_sample_are_as_their_comments_say(sample: Scenario, catalog: Catalog) -> None:
    carol = call(sample, catalog, "carol", "442071231234")
    assert isinstance(carol, Granted)
    assert 3 <= carol.seconds <= 15, "a few seconds of talk"
    denials = {
        "dave": Denial.ACCOUNT_SUSPENDED,
        "nobody": Denial.ACCOUNT_UNKNOWN,
    }
    for user, denial in denials.items():
        decision = call(sample, catalog, user, "442071231234")
        assert isinstance(decision, Denied)
        assert decision.denial is denial
    wrong = call(sample, catalog, "alice", "442071231234", "not-hers")
    assert isinstance(wrong, Denied)
    assert wrong.denial is Denial.CREDENTIAL_WRONG
    blocked = call(sample, catalog, "alice", "19005551234")
    assert isinstance(blocked, Denied)
    assert blocked.denial is Denial.DESTINATION_BLOCKED


# -- dialplans


def dialplan() -> ElementTree.Element:
    return ElementTree.parse(CONF / "freeswitch" / "dialplan" / "tollway.xml").getroot()


def actions(extension: ElementTree.Element) -> list[tuple[str, str]]:
    found = extension.iter("action")
    return [(action.get("application", ""), action.get("data", "")) for action in found]


def conditions(extension: ElementTree.Element) -> dict[str, str]:
    return {each.get("field", ""): each.get("expression", "") for each in extension.iter("condition")}


def test_the_dialplan_clears_what_an_earlier_answer_left_before_it_asks() -> None:
    asking = [each for each in dialplan().iter("extension") if ("park", "") in actions(each)]
    assert len(asking) == 1
    done = actions(asking[0])
    asked = done.index(("set", "tollway_request=true"))
    assert done[asked + 1] == ("park", "")
    for name in ("tollway_result", "tollway_quota_seconds", "tollway_routes"):
        assert done.index(("unset", name)) < asked
    timeouts = [data for application, data in done[:asked] if application == "set" and data.startswith("park_timeout=")]
    assert len(timeouts) == 1
    assert re.fullmatch(r"park_timeout=[1-9]:[A-Z_]+", timeouts[0])
    assert [application for application, _ in done[asked + 2 :]] == ["hangup"]


def test_the_dialplan_bridges_only_what_was_granted_with_a_limit() -> None:
    bridging = [each for each in dialplan().iter("extension") if any(name == "bridge" for name, _ in actions(each))]
    assert len(bridging) == 2
    for extension in bridging:
        stated = conditions(extension)
        if extension.get("name") == "tollway-emergency":
            assert stated == {"destination_number": f"^({'|'.join(Settings().emergency.numbers)})$"}
            continue
        assert stated["${tollway_result}"] == "^GRANTED$"
        assert stated["${tollway_quota_seconds}"] == "^[1-9][0-9]*$"
        # No condition lets the extension go on when it does not hold.
        assert all(each.get("break") is None for each in extension.iter("condition"))


@pytest.mark.parametrize(
    ("dialled", "read"),
    [
        ("+442079460000", "442079460000"), ("00442079460000", "442079460000"), ("030123456", "4930123456"),
        ("115", "115"),
    ],
)  # fmt: skip
def test_the_dialplan_hands_the_number_over_as_it_was_dialled(dialled: str, read: str) -> None:
    """A plus that the dialplan took off would make a foreign number a national one."""
    [asking] = [each for each in dialplan().iter("extension") if ("park", "") in actions(each)]
    match = re.match(conditions(asking)["destination_number"], dialled)
    assert match is not None
    stated = {name: value for _, data in actions(asking) for name, _, value in [data.partition("=")]}
    variables = {
        name: match.expand(value.replace("$", "\\")) for name, value in stated.items() if re.match(r"\$[0-9]$", value)
    }
    assert variables == {"tollway_destination": dialled, "dialled_digits": dialled.removeprefix("+")}
    assert Dialling(Numbers.NATIONAL, "DE").normal(variables["tollway_destination"]) == read
    assert re.match(conditions(asking)["destination_number"], "sip:+44207") is None


def test_a_granted_call_goes_to_a_context_that_callers_do_not_reach() -> None:
    root = dialplan()
    [next_] = [data for _, data in actions(root) if data.startswith("tollway_next=")]
    assert next_ == "tollway_next=GRANTED XML tollway-granted"
    context = next(each for each in root.iter("context") if each.get("name") == "tollway-granted")
    last = list(context.iter("extension"))[-1]
    assert conditions(last) == {"": ""}
    assert actions(last) == [("hangup", "CALL_REJECTED")]


def test_the_event_socket_of_the_sample_is_for_this_machine_alone() -> None:
    root = ElementTree.parse(CONF / "freeswitch" / "autoload_configs" / "event_socket.conf.xml").getroot()
    stated = {each.get("name"): each.get("value") for each in root.iter("param")}
    assert stated["listen-ip"] == "127.0.0.1"
    assert stated["apply-inbound-acl"] == "loopback.auto"


def test_the_kamailio_script_asks_nobody_about_an_emergency_number() -> None:
    script = (CONF / "kamailio" / "tollway.cfg").read_text()
    route = script[script.index("route[TOLLWAY_AUTHORIZE]") : script.index("route[TOLLWAY_WITHINDLG]")]
    bypass = f'if ($rU =~ "^({"|".join(Settings().emergency.numbers)})$") {{'
    assert bypass in route
    passed = route[route.index(bypass) : route.index("route(TOLLWAY_BEGUN);")]
    assert "return;" in passed
    assert "exit;" not in passed
    assert "radius_" not in passed
    assert route.index(bypass) < min(route.index("sl_send_reply("), route.index("radius_proxy_authorize("))


def in_order(text: str, *parts: str) -> None:
    places = [text.index(each) for each in parts]
    assert places == sorted(places)


def test_the_kamailio_script_grants_only_with_a_limit() -> None:
    script = (CONF / "kamailio" / "tollway.cfg").read_text()
    route = script[script.index("route[TOLLWAY_AUTHORIZE]") : script.index("route[TOLLWAY_WITHINDLG]")]
    for question in ("radius_proxy_authorize(", "radius_load_callee_avps("):
        place = route.index(question)
        before, after = route.rindex("route(TOLLWAY_BEGUN);", 0, place), route.index("route(TOLLWAY_GRANTED);", place)
        assert before < place < after
    begun, granted = (route[route.index(f"route[TOLLWAY_{name}]") :] for name in ("BEGUN", "GRANTED"))
    in_order(begun, "setflag(FLT_TOLLWAY);", "t_newtran()", "$avp(tollway_quota_seconds) = $null;")
    in_order(granted, "$avp(tollway_quota_seconds) == $null", "$dlg_ctx(timeout_bye) = 1;", "dlg_manage()")
    # The limit is the grant's, and nothing begins it anew.
    assert 'modparam("dialog", "timeout_avp", "$avp(tollway_quota_seconds)")' in script
    assert 'modparam("dialog", "timeout_noreset", 1)' in script
    # Every refusal that is sent is the end of the script.
    refusals = re.split(r"(?:sl_)?send_reply\(|sl_reply_error\(", route)[1:]
    assert len(refusals) >= 8
    assert all(re.match(r"[^;]*;\s*(}\s*else|}\s*exit;|exit;)", part) for part in refusals)
    assert script.count("{") == script.count("}")
    # Of each Call-ID one call is asked about, and only then is it asked.
    in_order(begun, "t_newtran()", 'sht_lock("tollway=>$ci");', '"482"', "$sht(tollway=>$ci) = $ft;", "$avp(")
    # The end of a call that the proxy cuts is reported by the proxy: nobody else does.
    assert "acc_rad_request(" in script[script.index("event_route[tm:local-request]") :]


def asterisk(name: str) -> list[str]:
    """Return the lines of a file for Asterisk, without comments."""
    lines = (CONF / "asterisk" / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(";") and not line.startswith(" ;")]


def asking() -> list[str]:
    """Return the applications of the extension that asks, in their order."""
    lines = asterisk("extensions.conf")
    begins = lines.index("[tollway-ask]") + 1
    return [re.sub(r"^(exten|same) => (s,)?(1|n)(\(\w+\))?,", "", line) for line in lines[begins:]]


def test_the_extensions_clear_what_an_earlier_answer_left_before_they_ask() -> None:
    steps = asking()
    asked = next(place for place, step in enumerate(steps) if step.startswith("AGI("))
    assert steps[asked] == "AGI(${TOLLWAY_AGI}/authorize,${CHANNEL(accountcode)},${TOLLWAY_NUMBER})"
    assert steps[:asked] == [f"Set({name}=)" for name in STALE]


def test_the_extensions_dial_only_what_was_granted_with_a_limit() -> None:
    steps = asking()
    asked = next(place for place, step in enumerate(steps) if step.startswith("AGI("))
    assert steps[asked + 1] == 'GotoIf($["${TOLLWAY_RESULT}" = "GRANTED"]?:refused)'
    assert steps[asked + 2] == 'GotoIf(${REGEX("^[1-9][0-9]*$" ${TOLLWAY_QUOTA_MS})}?:refused)'
    dialling = [place for place, step in enumerate(steps) if step.startswith("Dial(")]
    assert len(dialling) == 1
    assert dialling[0] > asked + 2
    assert steps[dialling[0]] == "Dial(${TOLLWAY_DIAL},60,${TOLLWAY_LIMIT})"
    assert Settings().charging.ring_seconds > 60
    assert steps[-1].startswith("Hangup(")


def test_the_extensions_ask_nobody_about_an_emergency_number() -> None:
    lines = asterisk("extensions.conf")
    dialled = {line.split(",")[0].removeprefix("exten => ") for line in lines if "@emergency" in line}
    assert dialled == set(Settings().emergency.numbers)


def test_a_caller_of_asterisk_reaches_one_context_and_no_limit_of_his_own() -> None:
    lines = asterisk("extensions.conf")
    patterns = [line for line in lines if line.startswith("exten => _")]
    assert [line.partition(",")[0] for line in patterns] == ["exten => _X.", "exten => _+X."]
    assert all(line.endswith("Set(TOLLWAY_NUMBER=${EXTEN})") for line in patterns)
    assert not any(line.startswith("exten => T,") or "TIMEOUT(" in line for line in lines)


def test_nobody_can_log_in_to_the_manager_as_it_is_shipped() -> None:
    lines = asterisk("manager.conf")
    assert not any(line.startswith("secret") for line in lines)
    assert {"bindaddr = 127.0.0.1", "timestampevents = yes", "deny = 0.0.0.0/0.0.0.0"} <= set(lines)
    assert [line for line in lines if line.startswith(("read", "write"))] == ["read = call", "write = call,reporting"]
