"""Debian's radclient, an encoder and judge of its own, against the real server."""

import re
import time
from pathlib import Path

from daemon.kernel.money import NANO
from daemon.radius import client
from tests.integration.radius_world import SECRET, nas, radclient, world

QUESTION = """User-Name = "alice"
User-Password = "hello"
Called-Station-Id = "442079460000"
Calling-Station-Id = "18005551212"
Acct-Session-Id = "s-1"
"""
RECORD = """User-Name = "alice"
Called-Station-Id = "442079460000"
Calling-Station-Id = "18005551212"
Acct-Session-Id = "s-1"
"""


async def test_a_whole_call(tmp_path: Path) -> None:
    async with world(tmp_path, balance=2) as here:
        status, printed = await radclient(here.port("auth"), "auth", QUESTION + "Message-Authenticator = 0x00\n")
        assert status == 0, printed
        assert "Received Access-Accept" in printed
        for line in ("Session-Timeout = 200", "Acct-Interim-Interval = 60", 'h323-credit-time = "200"',
                     'h323-return-code = "0"'):  # fmt: skip
            assert line in printed
        grant = (await here.only_call()).grant_id
        assert f"Class = 0x{grant.encode().hex()}" in printed
        lines = printed.split("Received Access-Accept")[1].splitlines()
        assert "Message-Authenticator" in lines[1]  # first of all attributes
        assert await here.balance() == (2 * NANO, 2 * NANO, 1)
        for passed, kind, more in ((0, "Start", ""), (60, "Interim-Update", "Acct-Session-Time = 60\n"),
                                   (65, "Stop", "Acct-Session-Time = 125\n")):  # fmt: skip
            here.wait(passed)
            status, printed = await radclient(
                here.port("acct"),
                "acct",
                f"Acct-Status-Type = {kind}\n{RECORD}{more}Class = 0x{grant.encode().hex()}\n",
            )
            assert status == 0, printed
            assert "Received Accounting-Response" in printed
        assert await here.balance() == (2 * NANO - 1_250_000_000, 0, 0)
        (record,) = await here.records()
        assert (record.call_id, record.charge, record.billed_seconds, record.switch_seconds) == (
            "s-1", 1_250_000_000, 125, 125,
        )  # fmt: skip


async def test_refusals_carry_the_word_and_the_return_code(tmp_path: Path) -> None:
    async with world(tmp_path, balance=0) as here:
        cases = (
            (QUESTION, "balance_insufficient", 4),
            (QUESTION.replace("442079460000", "1900"), "destination_unrated", 9),
            (QUESTION.replace("442079460000", "44x"), "destination_malformed", 11),
            (QUESTION.replace("alice", "mallory"), "account_unknown", 1),
            (QUESTION.replace("hello", "guess"), "credential_wrong", 2),
        )
        for text, word, code in cases:
            begun = time.monotonic()
            status, printed = await radclient(here.port("auth"), "auth", text)
            assert status == 1
            assert "Received Access-Reject" in printed
            assert f'Reply-Message = "{word}"' in printed
            assert f'h323-return-code = "{code}"' in printed
            assert time.monotonic() - begun >= (1.0 if word == "credential_wrong" else 0.0)
        assert await here.balance() == (0, 0, 0)


async def test_not_enough_is_another_code_than_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, balance=0) as here:
        text = QUESTION.replace("442079460000", "33140000000")
        number = here.catalog().accounts[next(iter(here.catalog().accounts))].number
        await here.store.administer(
            lambda connection: connection.execute("UPDATE account SET balance = 100000000 WHERE number = ?", (number,))
        )
        _, printed = await radclient(here.port("auth"), "auth", text)
        assert 'h323-return-code = "12"' in printed


async def test_chap_and_digest_prove_too(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        chap = QUESTION.replace("User-Password", "CHAP-Password")
        assert (await radclient(here.port("auth"), "auth", chap))[0] == 0
        assert (await radclient(here.port("auth"), "auth", chap.replace("hello", "hell0")))[0] == 1


async def test_status_server_is_answered_on_both_ports(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        for port, reply in (("auth", "Access-Accept"), ("acct", "Accounting-Response")):
            status, printed = await radclient(here.port(port), "status", "Message-Authenticator = 0x00\n")
            assert status == 0, printed
            assert f"Received {reply}" in printed


async def test_a_client_that_must_sign_and_does_not_gets_silence(tmp_path: Path) -> None:
    async with world(tmp_path, require_message_authenticator=True) as here:
        status, printed = await radclient(here.port("auth"), "auth", QUESTION, "-t", "0.3", "-r", "1")
        assert status == 1
        assert "No reply" in printed
        assert here.tally.discarded("message_authenticator_missing") >= 1
        assert (await radclient(here.port("auth"), "auth", QUESTION + "Message-Authenticator = 0x00\n"))[0] == 0


async def test_many_calls_at_once_are_each_charged_once(tmp_path: Path) -> None:
    async with world(tmp_path, balance=1000) as here:
        packets = "\n".join(
            f'Acct-Status-Type = Stop\nUser-Name = "1001"\nCalled-Station-Id = "442079460000"\n'
            f'Acct-Session-Id = "many-{number}"\nAcct-Session-Time = {number}\n'
            for number in range(1, 101)
        )
        status, printed = await radclient(here.port("acct"), "acct", packets, "-p", "64")
        assert status == 0, printed
        assert printed.count("Received Accounting-Response") == 100
        records = await here.records()
        assert sorted(record.billed_seconds for record in records) == list(range(1, 101))
        assert await here.charged() == sum(range(1, 101)) * 10_000_000
        assert await here.balance() == (1000 * NANO - sum(range(1, 101)) * 10_000_000, 0, 0)


async def test_our_own_client_says_the_same(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        server = ("127.0.0.1", here.port("auth"))
        pairs = client.parse_pairs(QUESTION.splitlines())
        reply = await client.send(server, SECRET, 1, pairs, timeout=2, retries=1)
        assert reply.code == 2
        assert reply.values("Session-Timeout") == [2500]
        assert reply.values("h323-credit-time") == ["2500"]
        _, printed = await radclient(here.port("auth"), "auth", QUESTION.replace("s-1", "s-2"))
        names = re.findall(r"^\t([\w-]+) =", printed.split("Received")[1], re.MULTILINE)
        assert "Reply-Message" in names  # the first grant holds it all


async def test_kamailio_and_sippy_get_what_they_read(tmp_path: Path) -> None:
    async with world(tmp_path, "kamailio") as here:
        server = ("127.0.0.1", here.port("auth"))
        pairs = client.parse_pairs(QUESTION.splitlines())
        reply = await client.send(server, SECRET, 1, pairs, profile="kamailio")
        assert reply.values("SIP-AVP") == ["tollway_quota_seconds#2500"]
        here.clients = [nas("cisco")]
        again = await client.send(server, SECRET, 1, [*pairs[:-1], ("Acct-Session-Id", "s-3")])
        assert again.values("h323-return-code") == ["h323-return-code=4"]
