"""How often one may ask, who sees the daemon's own figures, and what a refused token leaves behind."""

from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from daemon.http_api.access import NAMES_MAX, Counted, Door, Unauthenticated
from daemon.settings import HttpSection
from tests.unit.http_api.http_world import START, HttpWorld, good, http_world, refused, token

pytestmark = pytest.mark.virtual_time

FEW = HttpSection(requests_per_second_token=3, requests_per_second_peer=8)


async def test_a_token_over_its_limit_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with http_world(tmp_path, FEW) as world:
        for number in range(3):
            good(await world.ask(f"c{number}", account="rich"))
        over = await world.ask("c4", account="rich")
        assert refused(over) == (429, "too_many")
        assert over.headers["retry-after"] == "1"
        assert refused(await world.send("GET", "/v1/calls", "switch"))[0] == 429
        assert good(await world.send("GET", "/v1/calls", "read")), "another token has its own count"
        assert refused(await world.report("end", "c0"))[0] == 429
        world.wait(1)
        good(await world.ask("c4", account="rich"))
        assert "tollway_discarded_total" in (await world.send("GET", "/metrics")).text


async def test_an_emergency_call_is_never_over_a_limit(tmp_path: Path) -> None:
    async with http_world(tmp_path, FEW) as world:
        for number in range(12):
            answer = await world.ask(f"c{number}", account="rich")
        assert refused(answer) == (429, "too_many")
        granted = good(await world.ask("sos", to="112"))
        assert (granted["result"], granted["emergency"]) == ("granted", True)
        explained = await world.post("/v1/authorize?explain=true", {**SOS, "to": "112"})
        assert refused(explained)[0] == 429
        assert refused(await world.post("/v1/authorize", {"to": "112"}))[0] == 429, (
            "what cannot be read is no emergency"
        )


SOS = {"call_id": "sos", "account": "alice", "from": "1", "direction": "outbound"}


async def test_an_address_has_a_limit_whatever_it_shows(tmp_path: Path) -> None:
    async with http_world(tmp_path, FEW) as world:
        told = [(await world.send("GET", "/v1/calls", f"guess{number}")).status_code for number in range(10)]
        assert told == [401] * 8 + [429] * 2
        assert refused(await world.send("GET", "/v1/calls", "read")) == (429, "too_many")


async def test_no_limit_is_none(tmp_path: Path) -> None:
    async with http_world(tmp_path, HttpSection(0, 0)) as world:
        assert {(await world.send("GET", "/v1/calls", "read")).status_code for _ in range(50)} == {200}


async def test_refused_tokens_are_counted_and_logged_once_a_minute(tmp_path: Path) -> None:
    async with http_world(tmp_path) as world:
        with capture_logs() as lines:
            for number in range(5):
                assert (await world.send("GET", "/v1/calls", f"secret-guess{number}")).status_code == 401
            await world.send("GET", "/v1/calls", "billing")
            world.wait(60)
            await world.send("GET", "/v1/calls", "secret-guess")
        assert [(line["event"], line["reason"]) for line in lines] == [("a token was refused", "unknown")] * 2
        assert "secret" not in str(lines)
        figures = (await world.send("GET", "/metrics")).text
        assert 'tollway_tokens_refused_total{reason="unknown"} 6.0' in figures
        assert 'tollway_tokens_refused_total{reason="role"} 1.0' in figures


async def _seen(world: HttpWorld, path: str, name: str = "", **headers: str) -> httpx.Response:
    return await world.send("GET", path, name, headers=headers)


@pytest.mark.parametrize("metrics", ["loopback", "token", "open"])
async def test_the_daemons_own_figures_are_the_operators(tmp_path: Path, metrics: str) -> None:
    async with http_world(tmp_path, HttpSection(metrics=metrics)) as world:
        here = await _seen(world, "/metrics")
        assert here.status_code == (401 if metrics == "token" else 200)
        proxied = await _seen(world, "/metrics", **{"X-Forwarded-For": "198.51.100.7"})
        assert proxied.status_code == (200 if metrics == "open" else 401)
        if metrics == "open":
            return
        for name, status in (("read", 200), ("switch", 403), ("ray-read", 403), ("wrong", 401)):
            found = await _seen(world, "/metrics", name, forwarded="for=198.51.100.7")
            assert found.status_code == status, name
        ready = good(await _seen(world, "/readyz", forwarded="for=198.51.100.7"))
        assert ready == {"ready": True, "store": "writable"}, "what is not told is not told as none either"


def test_an_expired_token_is_in_force_no_more() -> None:
    spec, now = token("soon", "main", "read", expires_at=START), [START - 1]
    door = Door(lambda: {spec.sha256: spec}, lambda: now[0], _Silent(), lambda: "main")
    scope = {"headers": [(b"authorization", b"Bearer soon")], "client": None}
    assert door.admit(scope, "read") is spec
    now[0] = START
    with pytest.raises(Unauthenticated) as expired:
        door.admit(scope, "read")
    assert expired.value.reason == "expired"
    assert b"no token in force has this text" in expired.value.body
    assert not door.is_operator(scope), "who has no address is not on this machine"


class _Silent:
    def count(self, name: str, **labels: str) -> None:
        """Count nothing."""


def test_names_are_counted_apart_up_to_a_bound() -> None:
    counted = Counted()
    for number in range(NAMES_MAX + 10):
        assert counted.add(f"peer{number}", 1) == max(1, number - NAMES_MAX + 1)
    assert counted.add("peer0", 1) == 2
    assert counted.add("peer0", 2) == 1
