"""Every hostile packet of the vectors against the servers: counted once, for its reason, and then a good request."""

from collections import Counter
from pathlib import Path

import pytest

from daemon.radius.client import build
from tests.integration.radius_world import World, read, socket, world
from tests.unit.radius.vectors import BY_ID

pytestmark = pytest.mark.virtual_time

SECRET = "testing123"  # theirs
REJECT, RESPONSE = 3, 5
GOOD = [("User-Name", "alice"), ("User-Password", "hello"), ("Called-Station-Id", "442079460000")]
# Where each is sent, why it is not taken, and the code of its answer; None: silence.
NEGATIVE: dict[str, tuple[str, str, int | None]] = {
    "neg-acct-bad-authenticator": ("acct", "authenticator", None),
    "neg-acct-zero-authenticator": ("acct", "authenticator", None),
    "neg-acct-padding": ("acct", "padding", RESPONSE),
    "neg-acct-int-3-octets": ("acct", "invalid_record", RESPONSE),
    "neg-acct-no-session-id": ("acct", "invalid_record", RESPONSE),
    "neg-acct-status-99": ("acct", "invalid_record", RESPONSE),
    "neg-auth-bad-ma": ("auth", "message_authenticator", None),
    "neg-auth-pap-and-chap": ("auth", "credential", REJECT),
    "neg-auth-password-15": ("auth", "credential", REJECT),
    "neg-len-4097": ("auth", "malformed", None),
}


def test_no_hostile_vector_is_left_out() -> None:
    assert NEGATIVE.keys() == {name for name in BY_ID if name.startswith("neg-")}


async def test_each_is_counted_once_for_its_reason_and_a_good_request_succeeds_after_it(tmp_path: Path) -> None:
    async with world(tmp_path, secret=SECRET) as here:
        for number, (name, (listener, reason, code)) in enumerate(NEGATIVE.items()):
            before = _counts(here)
            async with socket() as switch:
                data = bytes.fromhex(BY_ID[name]["hex"])
                if code is None:
                    assert await switch.silent(data, here.port(listener)), name
                else:
                    assert read(await switch.ask(data, here.port(listener))).code == code, name
            assert _counts(here) - before == Counter({(f"radius_{listener}", reason): 1}), name
            await _good(here, number)


def _counts(here: World) -> Counter[tuple[str, ...]]:
    return Counter({key[1:]: n for key, n in here.tally.counts.items() if key[0] == "tollway_discarded_total"})


async def _good(here: World, number: int) -> None:
    """Ask and report on both listeners."""
    call, key = ("Acct-Session-Id", f"good{number}"), SECRET.encode()
    stop = [("Acct-Status-Type", "Stop"), ("Acct-Session-Time", "1"), *GOOD[::2], call]
    before = _counts(here)
    async with socket() as switch:
        question = build(1, [*GOOD, call], key, number)
        assert read(await switch.ask(question, here.port("auth"))).code == 2
        assert read(await switch.ask(build(4, stop, key, number), here.port("acct"))).code == RESPONSE
    assert _counts(here) == before
