"""The two roads by which ``tollway try`` speaks to the running daemon, as switches do: RADIUS and HTTP.

Every message that goes out or comes back is told to whoever watches, without passwords and tokens.
A daemon that does not answer ends the demonstration: nothing is shown that was not read from a reply.
"""

import asyncio
import http.client
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from daemon.app_commands import NasSpec, NoReply, Reply, radius_send
from daemon.cli.failure import Unavailable
from daemon.cli.radius import code_name, reached
from daemon.settings import Listener

REPLY_SECONDS = 3.0  # seconds that a RADIUS packet waits for its reply before it is sent again
REQUEST_SECONDS = 10.0  # seconds that an HTTP request may take
ACCESS_REQUEST, ACCOUNTING_REQUEST = 1, 4
HIDDEN = ("User-Password", "Message-Authenticator")

Watch = Callable[[str, str], None]  # the direction, > to the daemon or < back, and what was said
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RadiusRoad:
    """A gateway that speaks RADIUS to the daemon's listeners, as the nas that the store knows for this machine."""

    auth: Listener
    acct: Listener
    nas: NasSpec
    watch: Watch

    async def ask(self, pairs: Pairs) -> Reply:
        """Send an Access-Request. Raises Unavailable."""
        return await self._exchange(ACCESS_REQUEST, self.auth, pairs)

    async def account(self, pairs: Pairs) -> Reply:
        """Send an Accounting-Request. Raises Unavailable."""
        return await self._exchange(ACCOUNTING_REQUEST, self.acct, pairs)

    async def _exchange(self, code: int, place: Listener, pairs: Pairs) -> Reply:
        self.watch(">", f"{code_name(code)}: {_written(pairs)}")
        try:
            reply = await radius_send(
                reached(place), self.nas.secret, code, pairs, REPLY_SECONDS, profile=self.nas.profile
            )
        except (NoReply, OSError) as error:
            raise Unavailable(f"{place.host}:{place.port} (RADIUS): {error}") from error
        self.watch("<", f"{code_name(reply.code)}: {_written(reply.attributes)}".rstrip(": "))
        return reply


def _written(pairs: Iterable[Sequence[object]]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in pairs if name not in HIDDEN)


@dataclass(frozen=True, slots=True)
class HttpRoad:
    """A switch that speaks HTTP to the daemon, with a token."""

    listener: Listener
    token: str
    watch: Watch

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send one request and return the reply's body. Raises Unavailable for any other status than 200."""
        self.watch(">", f"POST {path} {msgspec.json.encode(body).decode()}")
        status, reply = await self.request("POST", path, body)
        self.watch("<", f"{status} {reply.decode('utf-8', 'replace')}")
        if status != 200:
            raise Unavailable(f"the daemon answered {status} to POST {path}")
        value: dict[str, Any] = msgspec.json.decode(reply)
        return value

    async def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Send one request, and return status and body. Raises Unavailable where nobody answers."""
        return await asyncio.to_thread(self._request, method, path, body)

    def _request(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        place = self.listener
        connection = http.client.HTTPConnection(*reached(place), timeout=REQUEST_SECONDS)
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"no daemon answers at http://{place.host}:{place.port} ({error}): start it with 'tollway run'"
            ) from error
        finally:
            connection.close()
