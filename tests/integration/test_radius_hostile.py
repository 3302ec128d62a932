"""Every packet of the vectors against the real server: answered or met with silence as stated, then a good one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.authorize.catalog import Status
from daemon.charging.call import CallState
from daemon.charging.ports import Book, Reads
from daemon.kernel.instant import SECOND
from daemon.kernel.money import NANO
from daemon.radius import server as server_module
from daemon.radius.authenticator import response_is_authentic
from daemon.radius.client import build
from daemon.settings import Listener
from tests.integration.radius_world import ACME, SECRET, access, accounting, read, resigned, socket, world
from tests.unit.radius.vectors import BY_ID, VECTORS

pytestmark = pytest.mark.virtual_time

GOOD = [("User-Name", "alice"), ("User-Password", "hello"), ("Called-Station-Id", "442079460000")]
STOP = [("Acct-Status-Type", "Stop"), ("User-Name", "alice"), ("Called-Station-Id", "442079460000")]
LISTENERS = {1: "auth", 4: "acct", 12: "auth"}
SILENT = {
    "rfc2865-7.3-req2-erratum": "malformed",
    "neg-acct-bad-authenticator": "authenticator",
    "neg-acct-zero-authenticator": "authenticator",
    "neg-auth-bad-ma": "message_authenticator",
    "neg-len-4097": "malformed",
}
REQUESTS = [v for v in VECTORS if v["kind"] == "packet" and bytes.fromhex(v["hex"])[0] in LISTENERS and v["secret"]]


@pytest.mark.parametrize("vector", REQUESTS, ids=lambda vector: str(vector["id"]))
async def test_a_vector_is_answered_as_stated_and_a_good_request_succeeds_after_it(
    tmp_path: Path, vector: dict[str, Any]
) -> None:
    data, name = bytes.fromhex(vector["hex"]), vector["id"]
    profile = {"sip-101": "kamailio", "opensips": "opensips"}.get(vector.get("dictionary_profile", ""), "generic")
    async with world(tmp_path, profile, secret=vector["secret"]) as here, socket() as switch:
        port = here.port(LISTENERS[data[0]])
        if name in SILENT:
            assert await switch.silent(data, port)
            assert here.tally.discarded(SILENT[name]) == 1
        else:
            answer = await switch.ask(data, port)
            assert read(answer).identifier == data[1]
            assert read(answer).code in {1: (2, 3), 4: (5,), 12: (2,)}[data[0]]
            assert await switch.ask(data, port) == answer
        key = vector["secret"].encode()
        good = read(await switch.ask(build(1, [*GOOD, ("Acct-Session-Id", "good")], key, 250), here.port("auth")))
        assert good.code == 2 or good.first(18) == b"balance_insufficient"


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("neg-auth-pap-and-chap", b"credential_wrong"),
        ("neg-auth-password-15", b"credential_wrong"),
        ("radclient-empty_user", b"account_unknown"),
        ("radclient-pap_16", b"credential_wrong"),
        ("rfc5090-6-req1", b"credential_wrong"),
    ],
)
async def test_what_breaks_the_rules_of_credentials_is_rejected(tmp_path: Path, name: str, word: bytes) -> None:
    async with world(tmp_path, secret=BY_ID[name]["secret"]) as here, socket() as switch:
        reply = read(await switch.ask(bytes.fromhex(BY_ID[name]["hex"]), here.port("auth")))
        assert (reply.code, reply.first(18)) == (3, word)


async def test_a_forged_signature_does_not_touch_the_duplicate_cache(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        request = access([*GOOD, ("Acct-Session-Id", "s")])
        forged = request[:22] + bytes(16) + request[38:]
        assert await switch.silent(forged, here.port("auth"))
        first = await switch.ask(request, here.port("auth"))
        assert read(first).code == 2
        assert await switch.silent(forged, here.port("auth"))
        assert await switch.ask(request, here.port("auth")) == first
        assert here.tally.discarded("message_authenticator") == 2


async def test_what_is_not_from_a_known_client_gets_silence(tmp_path: Path) -> None:
    async with world(tmp_path, address="192.0.2.1") as here, socket() as switch:
        assert await switch.silent(access(GOOD), here.port("auth"))
        assert here.tally.discarded("unknown_client") == 1
        here.clients = [type(here.clients[0])("gw1", "main", "127.0.0.0/8", SECRET, routing=False)]
        assert read(await switch.ask(access(GOOD), here.port("auth"))).code == 2  # a reload needs nothing more


async def test_codes_that_the_port_does_not_serve_get_silence(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        key = SECRET.encode()
        for code, port in ((4, "auth"), (1, "acct"), (2, "auth"), (40, "acct"), (43, "auth"), (255, "auth")):
            assert await switch.silent(build(code, [], key), here.port(port), 0.05)
        assert here.tally.discarded("code") == 6


async def test_status_server_and_eap_without_a_signature_get_silence(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        for code in (12, 1):
            packet = build(code, [("EAP-Message", "0x0200")] if code == 1 else [], SECRET.encode())
            unsigned = packet[:2] + (len(packet) - 18).to_bytes(2, "big") + packet[4:20] + packet[38:]
            assert await switch.silent(unsigned, here.port("auth"), 0.05)
        assert here.tally.discarded("message_authenticator_missing") == 2


async def test_more_proxy_state_than_a_reply_holds_gets_silence(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        crowded = access([*GOOD, *[("Proxy-State", "0x" + "ab" * 250)] * 9])
        assert await switch.silent(crowded, here.port("auth"))
        assert here.tally.discarded("proxy_state") == 1


async def test_records_that_cannot_be_charged_are_kept_whole_and_acknowledged(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        packets = [
            resigned(bytes.fromhex(BY_ID[name]["hex"]))
            for name in ("neg-acct-int-3-octets", "neg-acct-no-session-id", "neg-acct-status-99")
        ]
        for packet in packets * 2:
            assert read(await switch.ask(packet, here.port("acct"))).code == 5
        listed = await here.store.exceptions()
        assert [item["kind"] for item in listed] == ["invalid_record"] * 3
        for packet in packets:
            assert sum(packet.hex() in str(item["detail"]) for item in listed) == 1
        assert await here.records() == []


@pytest.mark.parametrize(
    ("name", "profile", "seconds", "charge"),
    [
        ("radclient-acct_stop", "cisco", 185, None),
        ("sw-fs-cdr-stop", "freeswitch", 185, 1_850_000_000),
        ("radclient-acct_freeswitch_stop", "freeswitch", 21, None),
        ("sw-fs-xmlradius-stop", "freeswitch", 185, 1_850_000_000),
        ("sw-sippy-stop", "sippy", 185, 1_850_000_000),
        ("sw-asterisk-cdr-noanswer", "asterisk", 0, None),
    ],
)
async def test_a_switchs_own_stop_is_charged_for_its_own_seconds(
    tmp_path: Path, name: str, profile: str, seconds: int, charge: int | None
) -> None:
    async with world(tmp_path, profile) as here, socket() as switch:
        packet = resigned(bytes.fromhex(BY_ID[name]["hex"]))
        assert read(await switch.ask(packet, here.port("acct"))).code == 5
        records = await here.records()
        assert [record.charge for record in records] == ([charge] if charge is not None else [])
        assert [record.duration_us for record in records] == ([seconds * SECOND] if charge is not None else [])
        kinds = await here.exceptions()
        if charge is not None:
            assert kinds == ["unauthorised"]
        elif seconds:
            assert set(kinds) <= {"no_account", "unrated"}
            assert kinds, "an answered call that cannot be charged is never silently free"


async def test_kamailios_pair_is_charged_by_the_difference(tmp_path: Path) -> None:
    async with world(tmp_path, "kamailio") as here, socket() as switch:
        parties = [("User-Name", "1001"), ("Called-Station-Id", "442079460000")]
        for number, name in enumerate(("sw-kamailio-start", "sw-kamailio-stop")):
            shown = BY_ID[name]["expect"]["attributes"]
            pairs = [(attribute, str(value)) for attribute, value in shown]
            request = accounting([*pairs, *parties], number, "kamailio")
            assert read(await switch.ask(request, here.port("acct"))).code == 5
        (record,) = await here.records()
        assert (record.duration_us, record.charge) == (185 * SECOND, 1_850_000_000)


async def test_freeswitchs_start_is_an_attempt_and_its_b_leg_pays_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, "freeswitch") as here, socket() as switch:
        start = resigned(bytes.fromhex(BY_ID["sw-fs-cdr-start"]["hex"]))
        for _ in range(2):
            assert read(await switch.ask(start, here.port("acct"))).code == 5
        assert await here.store.open_calls() == []
        b_leg = [
            *STOP, ("Acct-Session-Id", "b-leg"), ("Acct-Session-Time", "60"), ("Freeswitch-Direction", "outbound"),
            ("Freeswitch-Dst", "442079460000"),
        ]  # fmt: skip
        assert read(await switch.ask(accounting(b_leg), here.port("acct"))).code == 5
        assert await here.records() == []
        question = [*GOOD, ("Acct-Session-Id", "b-leg")]  # but one that was granted under its own id is charged
        assert read(await switch.ask(access(question), here.port("auth"))).code == 2
        again = [("Acct-Session-Time", "61") if pair[0] == "Acct-Session-Time" else pair for pair in b_leg]
        assert read(await switch.ask(accounting(again, 2), here.port("acct"))).code == 5
        assert [record.billed_seconds for record in await here.records()] == [61]


async def test_the_leg_that_does_not_pay_is_listed_only_where_none_does(tmp_path: Path) -> None:
    conf = ("h323-conf-id", "8C1F1E9A 3A524D0B 9F1A2A4B D2D9B4F7")
    originate = [*STOP, ("Acct-Session-Time", "60"), ("h323-call-origin", "originate")]
    answer = [*STOP, ("Acct-Session-Time", "60"), ("h323-call-origin", "answer")]
    async with world(tmp_path, "cisco") as here, socket() as switch:
        await switch.ask(accounting([*answer, conf, ("Acct-Session-Id", "1")], 1), here.port("acct"))
        for number in (2, 3):
            leg = [*originate, conf, ("Acct-Session-Id", str(number))]
            await switch.ask(accounting(leg, number), here.port("acct"))
        assert [record.charge for record in await here.records()] == [600_000_000]
        assert await here.exceptions() == ["unauthorised"]
        lonely = [*originate, ("h323-conf-id", "FFFF"), ("Acct-Session-Id", "4")]
        await switch.ask(accounting(lonely, 4), here.port("acct"))
        assert await here.exceptions() == ["leg_without_call", "unauthorised"]


async def test_a_register_is_authenticated_and_reserves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, "kamailio", trust_user_name=False) as here, socket() as switch:
        accepted = read(
            await switch.ask(access([("User-Name", "alice"), *_register_digest("hello")]), here.port("auth"))
        )
        assert (accepted.code, [key for key, _ in accepted.attributes]) == (2, [80])
        for number, (user, password, word) in enumerate(
            (
                ("alice", "guess", b"credential_wrong"),
                ("nobody", "hello", b"account_unknown"),
                ("", "hello", b"account_unknown"),
            )
        ):
            pairs = [*([("User-Name", user)] if user else []), *_register_digest(password)]
            refused = read(await switch.ask(access(pairs, number), here.port("auth")))
            assert (refused.code, refused.first(18)) == (3, word)
        await here.store.set_status(ACME, Status.SUSPENDED, who="test", reason="test")
        await here.reload()
        refused = read(
            await switch.ask(access([("User-Name", "alice"), *_register_digest("hello")]), here.port("auth"))
        )
        assert refused.first(18) == b"account_suspended"
        assert await here.balance() == (25 * NANO, 0, 0)
        assert await here.store.open_calls() == []


def _register_digest(password: str) -> list[tuple[str, str]]:
    from daemon.radius.digest import Digest, _hex, response

    stated = Digest("", "alice", "example.com", "abc", "REGISTER", "sip:example.com")
    answer = response(_hex("alice", "example.com", password), stated)
    assert answer is not None
    members = ((1, "example.com"), (2, "abc"), (3, "REGISTER"), (4, "sip:example.com"), (10, "alice"))
    packed = b"".join(bytes((kind, len(text) + 2)) + text.encode() for kind, text in members)
    return [("raw.206", answer), ("raw.207", "0x" + packed.hex())]


async def test_an_emergency_call_is_granted_with_any_credential_and_reserves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, balance=0) as here, socket() as switch:
        for number, pairs in enumerate(
            (
                [("User-Name", "nobody"), ("User-Password", "x")],
                [("User-Name", "alice"), ("User-Password", "x"), ("CHAP-Password", "x")],
                [],
            )
        ):
            request = access([*pairs, ("Called-Station-Id", "112"), ("Acct-Session-Id", f"e{number}")], number)
            reply = read(await switch.ask(request, here.port("auth")))
            assert reply.code == 2
            assert reply.first(27) == (86_400).to_bytes(4, "big")
            assert reply.first(25) is None
        assert len(here.journal.lines) == 3
        assert await here.balance() == (0, 0, 0)


async def test_overload_refuses_questions_and_leaves_beginnings_before_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here, socket() as switch:
        monkeypatch.setattr(server_module, "IN_FLIGHT_MAX", 0)
        refused = read(await switch.ask(access(GOOD), here.port("auth")))
        assert (refused.code, refused.first(18)) == (3, b"overloaded")
        monkeypatch.setattr(server_module, "IN_FLIGHT_MAX", 1)
        monkeypatch.setattr(server_module, "IN_FLIGHT_BEGINNINGS_MAX", 0)
        start = accounting([("Acct-Status-Type", "Start"), *STOP[1:], ("Acct-Session-Id", "s")], 3)
        assert await switch.silent(start, here.port("acct"))
        assert here.tally.discarded("overloaded") == 1
        stop = accounting([*STOP, ("Acct-Session-Id", "s"), ("Acct-Session-Time", "60")], 4)
        assert read(await switch.ask(stop, here.port("acct"))).code == 5
        monkeypatch.setattr(server_module, "IN_FLIGHT_BEGINNINGS_MAX", 1)
        assert read(await switch.ask(start, here.port("acct"))).code == 5  # the repeat is worked on


async def test_a_wrong_password_is_told_a_second_later_and_every_other_refusal_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, balance=0) as here, socket() as switch:
        clock = asyncio.get_running_loop().time
        for changed, word, seconds in (
            ({}, b"balance_insufficient", 0.0),
            ({"Called-Station-Id": "1900"}, b"destination_unrated", 0.0),
            ({"Called-Station-Id": "44x"}, b"destination_malformed", 0.0),
            ({"User-Name": "mallory"}, b"account_unknown", 0.0),
            ({"User-Password": "guess"}, b"credential_wrong", 1.0),
        ):
            began = clock()
            refused = read(await switch.ask(access([*(dict(GOOD) | changed).items()]), here.port("auth")))
            assert (refused.code, refused.first(18)) == (3, word)
            assert clock() - began == pytest.approx(seconds, abs=0.01)


async def test_a_fault_of_ours_gets_silence_and_the_next_request_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here, socket() as switch:
        with monkeypatch.context() as patch:
            patch.setattr(here.ocf, "authorize", None)
            assert await switch.silent(access(GOOD), here.port("auth"))
        assert here.tally.discarded("internal_error") == 1
        assert read(await switch.ask(access(GOOD), here.port("auth"))).code == 2


async def test_noise_never_stops_the_server(tmp_path: Path) -> None:
    async with world(tmp_path) as here, socket() as switch:
        record = accounting([*STOP, ("Acct-Session-Id", "n"), ("Acct-Session-Time", "60")])
        for place in range(len(record)):
            switch.send(record[:place] + bytes((record[place] ^ 0x55,)) + record[place + 1 :], here.port("acct"))
            switch.send(record[:place], here.port("acct"))
        await asyncio.sleep(0.1)
        while not switch.received.empty():
            switch.received.get_nowait()
        assert read(await switch.ask(record, here.port("acct"))).code == 5
        assert [r.charge for r in await here.records()] == [600_000_000]
        assert (await here.only_call()).state is CallState.SETTLED


async def test_a_listener_that_is_off_is_no_listener(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        await here.servers.stop()
        await here.servers.start(Listener(), Listener("127.0.0.1", 0))
        with pytest.raises(KeyError):
            here.port("auth")
        async with socket() as switch:
            record = accounting([*STOP, ("Acct-Session-Id", "n"), ("Acct-Session-Time", "60")])
            assert read(await switch.ask(record, here.port("acct"))).code == 5


async def test_a_new_request_with_the_identifier_of_one_in_flight_is_the_only_one_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as here, socket() as switch:
        transact = here.store.transact

        async def slow(reads: Reads, decide: Callable[[Book], object]) -> object:
            result = await transact(reads, decide)
            await asyncio.sleep(0.1)
            return result

        monkeypatch.setattr(here.store, "transact", slow)
        first, second = (access([*GOOD, ("Acct-Session-Id", f"s{number}")], 7) for number in range(2))
        switch.send(first, here.port("auth"))
        await asyncio.sleep(0.03)
        answer = read(await switch.ask(second, here.port("auth")))
        assert response_is_authentic(answer, read(second).authenticator, SECRET.encode())
        assert here.tally.discarded("superseded") == 1
        assert switch.received.empty()
