"""Every capture of a real switch yields its table, however its octets are cut, in either form of an event."""

import json
import random
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import quote, unquote

import msgspec
import pytest

from daemon.esl.events import HEADERS_OF, Event
from daemon.esl.wire import DisconnectNotice, Encoding, EventBody
from daemon.kernel.money import parse_nano
from tests.integration.esl_captures import (
    FORMS,
    LOAD,
    NAMES,
    RULES,
    TABLES,
    Account,
    capture,
    decoded,
    drawn_up,
    edited,
    events_of,
    messages,
    table,
    whole,
)

SPLITS = 50  # random ways to cut each capture
PIECES_MAX = 200  # pieces that one of them has at most
SEED = 20_261_123
SMALL = [name for name in NAMES if name != LOAD]
HOSTILE = "x\nvariable_tollway_account: victim\n"  # the display name of hostile-callerid, as the caller sent it


def both(names: list[str]) -> list[str]:
    """Name each capture's two files."""
    return [f"{name}.{form}" for name in names for form in FORMS]


def named(file: str) -> str:
    """Return the capture that a file holds."""
    return file.rpartition(".")[0]


def cut(octets: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut octets at random places."""
    places = sorted(chance.randrange(len(octets)) for _ in range(chance.randint(1, PIECES_MAX)))
    for start, end in zip([0, *places], [*places, len(octets)], strict=True):
        yield octets[start:end]


def test_there_is_a_table_for_each_capture() -> None:
    assert len(NAMES) == 20
    assert sorted(path.stem for path in TABLES.glob("*.toml")) == NAMES


@pytest.mark.parametrize("file", both(NAMES))
def test_a_capture_yields_its_table(file: str) -> None:
    assert drawn_up(events_of(file)) == table(named(file))


@pytest.mark.parametrize("file", both(SMALL))
def test_a_capture_in_random_pieces_yields_its_table(file: str) -> None:
    for number in range(SPLITS):
        chance = random.Random(f"{SEED} {file} {number}")
        assert drawn_up(decoded(messages(cut(capture(file), chance)))) == table(named(file)), number


@pytest.mark.parametrize("file", both([LOAD]))
def test_the_load_in_random_pieces_says_what_the_whole_says(file: str) -> None:
    """What was said is compared word by word: the table is what those words come to, as shown above."""
    for number in range(SPLITS):
        chance = random.Random(f"{SEED} {file} {number}")
        assert messages(cut(capture(file), chance)) == list(whole(file)), number


@pytest.mark.parametrize("file", both(SMALL))
def test_a_capture_byte_by_byte_yields_its_table(file: str) -> None:
    octets = capture(file)
    assert drawn_up(decoded(messages(octets[at : at + 1] for at in range(len(octets))))) == table(named(file))


def test_both_forms_of_an_event_are_the_same_event() -> None:
    """Only what the switch counted or repeated between the two connections may differ, and nothing that we read is."""
    for name in NAMES:
        spoken = [
            [msgspec.to_builtins(event) for event in events_of(f"{name}.{form}") if event.name.startswith("CHANNEL_")]
            for form in FORMS
        ]
        assert spoken[0] == spoken[1], name


@pytest.mark.parametrize("name", SMALL)
def test_a_capture_that_lacks_a_leg_does_not_yield_its_table(name: str) -> None:
    heard = events_of(f"{name}.json")
    for uuid in table(name).roles:
        rest = [event for event in heard if not event.channel.startswith(uuid)]
        assert len(rest) < len(heard)
        assert drawn_up(rest) != table(name), uuid


@pytest.mark.parametrize("name", NAMES)
def test_each_table_agrees_with_what_the_switch_said(name: str) -> None:
    """Read without the daemon: its legs, its instants and its seconds are those of the capture."""
    said: dict[str, dict[str, str]] = {}
    for message in whole(f"{name}.json"):
        event = json.loads(message.body) if isinstance(message, EventBody) else {}
        if event.get("Event-Name") == "CHANNEL_HANGUP_COMPLETE":
            said[event["Unique-ID"][:8]] = event
    written = tomllib.loads((TABLES / f"{name}.toml").read_text())["leg"]
    uuids = {leg["name"]: leg["uuid"] for leg in written}
    assert set(uuids.values()) == set(said)
    for leg in written:
        for line in leg.get("pays", ()):
            own = said[leg["uuid"]]
            assert line["answered_at"] == int(said[uuids[line["answered_by"]]]["Caller-Channel-Answered-Time"])
            assert line["microseconds"] == int(own["Caller-Channel-Hangup-Time"]) - line["answered_at"]
            assert line["seconds"] == -(-line["microseconds"] // 1_000_000)
            assert (line["switch_seconds"], line["cause"]) == (int(own["variable_billsec"]), own["Hangup-Cause"])
            assert line["account"] == own["variable_tollway_account"]


def test_the_load_costs_what_a_script_of_the_standard_library_says() -> None:
    script = str(TABLES / "make_load_table.py")
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60, check=False)
    print(run.stdout)
    assert run.returncode == 0, "load-500-calls.toml is not what make_load_table.py writes"
    account = drawn_up(events_of(f"{LOAD}.json"))
    assert len({line.uuid for line in account.pays}) == len(account.pays) == 500
    assert account.total() == parse_nano("24.6160")
    wrong = [parse_nano(part.rpartition(" ")[2]) for part in run.stdout.strip().split("; ")[1].split(", ")]
    assert len(wrong) == 3
    assert account.total() not in wrong


def test_the_load_rated_with_the_dialplans_digit_costs_something_else() -> None:
    with_digit = drawn_up(events_of(f"{LOAD}.json"), replace(RULES, strip_digits=0))
    assert with_digit.total() == parse_nano("38.0100")


def test_the_link_of_a_switch_that_shuts_down_is_told_so() -> None:
    for form in FORMS:
        said = whole(f"shutdown-mid-call.{form}")
        assert said[-1] == DisconnectNotice("The system is being shut down.", lingers=False)


def test_a_loopback_leg_that_carries_an_account_pays_nothing_either() -> None:
    """A dialplan may well set the account on the second leg, which goes through the same context as the caller's."""
    heard = [
        msgspec.structs.replace(event, tollway_account="acme") if event.channel_name.startswith("loopback/") else event
        for event in events_of("loopback-leg.json")
    ]
    assert drawn_up(heard) == table("loopback-leg")


# Disorder: the switch hands events out by several threads, and a link may repeat or lose one.


@pytest.mark.parametrize("name", SMALL)
def test_an_event_twice_changes_nothing(name: str) -> None:
    heard = list(events_of(f"{name}.json"))
    for at in range(len(heard)):
        assert drawn_up(heard[: at + 1] + heard[at:]) == table(name), heard[at].name


@pytest.mark.parametrize("name", SMALL)
def test_all_events_twice_change_nothing(name: str) -> None:
    heard = events_of(f"{name}.json")
    assert drawn_up(heard + heard) == table(name)
    assert drawn_up(event for event in heard for _ in range(2)) == table(name)


@pytest.mark.parametrize("name", SMALL)
def test_events_that_change_places_change_no_charge(name: str) -> None:
    heard = list(events_of(f"{name}.json"))
    for at in range(len(heard) - 1):
        swapped = [*heard[:at], heard[at + 1], heard[at], *heard[at + 2 :]]
        assert drawn_up(swapped) == table(name), (heard[at].name, heard[at + 1].name)


@pytest.mark.parametrize("name", SMALL)
def test_an_event_that_never_comes_changes_no_charge(name: str) -> None:
    """Each but the last word of a leg; with CHANNEL_HANGUP the true cause and some milliseconds may be lost."""
    heard = list(events_of(f"{name}.json"))
    for at, event in enumerate(heard):
        if event.name == "CHANNEL_HANGUP_COMPLETE":
            continue
        account, due = drawn_up(heard[:at] + heard[at + 1 :]), table(name)
        assert account.roles == due.roles
        assert account.exceptions == due.exceptions
        assert charges(account) == charges(due), event.name


def charges(account: Account) -> list[tuple[object, ...]]:
    """Return what is paid, less what the end's own event tells beside it."""
    return [(line.uuid, line.part, line.account, line.number, line.seconds, line.charge) for line in account.pays]


# A caller's display name is never anything but a display name.


def test_a_hostile_display_name_pays_for_nobody_and_is_one_exception() -> None:
    for form in FORMS:
        account = drawn_up(events_of(f"hostile-callerid.{form}"))
        assert not account.pays
        assert account.exceptions == ["26aa16fd"]
        assert not any(event.tollway_account for event in events_of(f"hostile-callerid.{form}"))


def with_display_name(form: str, name: str) -> list[EventBody]:
    """Return the events of bridge-answered as they are where its caller has another display name."""
    spelled = {
        "json": (b'"Alice Example"', json.dumps(name).encode()),
        "plain": (b": Alice%20Example\n", b": " + quote(name).encode() + b"\n"),
    }[form]
    octets = b"".join(edited(capture(f"bridge-answered.{form}"), lambda body: body.replace(*spelled)))
    said = messages([octets])
    assert len(said) == len(whole(f"bridge-answered.{form}"))
    assert octets.count(spelled[1]) > 20
    return [message for message in said if isinstance(message, EventBody)]


@pytest.mark.parametrize("form", FORMS)
def test_the_hostile_display_name_on_a_paid_call_changes_nothing(form: str) -> None:
    assert drawn_up(decoded(with_display_name(form, HOSTILE))) == table("bridge-answered")


@pytest.mark.parametrize(
    "variable", sorted({"Unique-ID", "Hangup-Cause", "variable_tollway_destination", "Other-Type"})
)
@pytest.mark.parametrize("form", FORMS)
def test_no_header_can_be_put_into_a_display_name(form: str, variable: str) -> None:
    for line_end in ("\n", "\r\n", "\n\n"):
        hostile = f"x{line_end}{variable}: victim{line_end}"
        assert drawn_up(decoded(with_display_name(form, hostile))) == table("bridge-answered")


def wrong_plain(body: EventBody, *, first_wins: bool) -> Event:
    """Read a plain event as one must not: URL-decoded before it is split into lines."""
    assert body.encoding is Encoding.PLAIN
    fields = {encoded: name for name, encoded in HEADERS_OF.items()}
    found: dict[str, str] = {}
    for line in unquote(body.body.decode()).split("\n"):
        header, colon, value = line.partition(": ")
        if colon and header in fields and not (first_wins and fields[header] in found):
            found[fields[header]] = value
    return Event(**found)


@pytest.mark.parametrize("first_wins", [True, False])
def test_a_parser_that_decodes_before_it_splits_fails_the_table_of_the_hostile_caller(first_wins: bool) -> None:
    wrong = partial(wrong_plain, first_wins=first_wins)
    heard = decoded(whole("hostile-callerid.plain"), wrong)
    assert any(event.tollway_account == "victim" for event in heard)
    assert drawn_up(heard) != table("hostile-callerid")


def test_a_parser_that_decodes_before_it_splits_lets_the_victim_pay() -> None:
    spoken = with_display_name("plain", HOSTILE)
    misread = drawn_up(decoded(spoken, partial(wrong_plain, first_wins=True)))
    assert [line.account for line in misread.pays] == ["victim"]
    assert misread != table("bridge-answered")


@pytest.mark.parametrize("name", [name for name in SMALL if name != "hostile-callerid"])
def test_the_wrong_parser_is_wrong_only_about_line_ends(name: str) -> None:
    """So the two tests above fail it for its one fault: on calls without line ends it yields the table."""
    heard = decoded(whole(f"{name}.plain"), partial(wrong_plain, first_wins=True))
    assert drawn_up(heard) == table(name)
