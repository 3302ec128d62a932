"""What rules saw, as the store keeps it: the newest ``EVENTS_KEPT``, each told once, with the suspension it asks for.

An event is written by the transaction that saw it. A daemon tells it and marks it; where the rule suspends, the status
of the account is changed by the same transaction, on record with the rule as who. A person who resumes the account ends
what is still to do.
"""

from collections.abc import Sequence
from dataclasses import replace

from daemon.authorize.catalog import Status
from daemon.authorize.fraud_rule import FraudAct
from daemon.charging.configuration import AccountSpec
from daemon.charging.ports import Event
from daemon.kernel.ids import Key
from daemon.store import objects
from daemon.store.link import Link
from daemon.store.recovery import Recoveries

EVENTS_KEPT = 100_000  # events; some 20 MB, and more than anybody reads
_NAMES = Event._fields
_COLUMNS = ", ".join(_NAMES)


class Events(Recoveries):
    """The store's side of events."""

    async def events_to_do(self, limit: int) -> Sequence[tuple[int, Event]]:
        """Return at most ``limit`` events, each with its number, for which nothing was done yet, oldest first."""
        query = f"SELECT number, {_COLUMNS} FROM event WHERE is_done = 0 ORDER BY number LIMIT ?"
        return [(number, Event(*row)) for number, *row in await self.rows(query, (limit,))]

    async def do_event(self, number: int, event: Event) -> bool:
        """Put on record that an event was told, with the suspension that it asks for; tell whether nobody had."""
        now = self._now()

        def work(link: Link) -> bool:
            query = f"SELECT is_done FROM event WHERE number = ?{link.locking}"
            row = link.execute(query, (number,)).fetchone()
            if row is None or row[0]:
                return False
            link.execute("UPDATE event SET is_done = 1 WHERE number = ?", (number,))
            link.execute("DELETE FROM event WHERE number <= ?", (number - EVENTS_KEPT,))
            spec = objects.found(link, ("account", event.tenant, event.account))
            suspends = event.act == FraudAct.SUSPEND.value and isinstance(spec, AccountSpec)
            if suspends and isinstance(spec, AccountSpec) and spec.status is Status.ACTIVE:
                who = f"{event.kind} rule {event.rule}"
                objects.make_so(link, replace(spec, status=Status.SUSPENDED), who, event.detail, now)
                objects.bump(link)
            return True

        return await self.administer(work)

    async def events(self, key: Key | None = None, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest events of an account, or of all, newest first."""
        names = ("number", *_NAMES)
        where, values = ("WHERE tenant = ? AND account = ? ", tuple(key)) if key is not None else ("", ())
        query = f"SELECT {', '.join(names)} FROM event {where}ORDER BY number DESC LIMIT ?"
        return [dict(zip(names, row, strict=True)) for row in await self.rows(query, (*values, limit))]
