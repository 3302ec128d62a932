"""The objects of a scenario made so, pages at a time: those that were not there are written set-wise.

A file may state a hundred thousand accounts. One statement seeks a page of them, one more a table writes those that are
new, with their opening balances; the others are compared field by field, as ``objects`` says.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from daemon.charging.configuration import AccountSpec, CarrierSpec
from daemon.kernel.instant import Instant
from daemon.ledger.account import Standing
from daemon.store import objects
from daemon.store.link import Link
from daemon.store.objects import ObjectChange, Place, Spec, place_of, shown

PAGE: Final = 250  # objects sought by one statement: three values each, and a server takes 32,767
_OBJECT = ("kind", "tenant", "id", "body", "stated")
_NOTE = ("at", "kind", "tenant", "id", "act", "detail", "who", "reason")
_ROLES = {AccountSpec: "customer", CarrierSpec: "carrier"}
Made = tuple[ObjectChange | None, str]


def make_all_as_stated(connection: Link, specs: Sequence[Spec], who: str, reason: str, now: Instant) -> list[Made]:
    """Create or change objects as a file states them; return each change and what was kept of a person's. Refused."""
    made: list[Made] = []
    for begins in range(0, len(specs), PAGE):
        made += _page(connection, specs[begins : begins + PAGE], who, reason, now)
    return made


def _page(connection: Link, specs: Sequence[Spec], who: str, reason: str, now: Instant) -> list[Made]:
    places = [place_of(spec) for spec in specs]
    if len(set(places)) < len(places):  # stated twice: the second is compared with what the first made
        return [objects.make_as_stated(connection, spec, who, reason, now) for spec in specs]
    there = {row[:3]: row[3:] for row in _sought(connection, places)}
    new = [spec for spec, place in zip(specs, places, strict=True) if place not in there]
    _create(connection, new, who, reason, now)
    return [
        (ObjectChange("create", place[0], shown(place)), "") if place not in there
        else objects.compared(connection, spec, there[place], who, reason, now)
        for spec, place in zip(specs, places, strict=True)
    ]  # fmt: skip


def _sought(connection: Link, places: Sequence[Place]) -> Iterable[tuple[Any, ...]]:
    asked = ", ".join(["(?, ?, ?)"] * len(places))
    query = (
        f"SELECT kind, tenant, id, body, stated FROM (VALUES {asked}) AS asked"
        " JOIN config_object ON kind = column1 AND tenant = column2 AND id = column3"
    )
    return connection.execute(query, [part for place in places for part in place])


def _create(connection: Link, specs: Sequence[Spec], who: str, reason: str, now: Instant) -> None:
    """Write objects that are not there, the notes of it, and what accounts and carriers begin with."""
    if not specs:
        return
    places = [place_of(spec) for spec in specs]
    bodies = [msgspec.json.encode(spec) for spec in specs]
    rows = [(*place, body, body) for place, body in zip(places, bodies, strict=True)]
    connection.insert("config_object", _OBJECT, rows)
    connection.insert("audit", _NOTE, [(now, *place, "create", "", who, reason) for place in places])
    paying = [(_ROLES[type(spec)], *place_of(spec)[1:]) for spec in specs if type(spec) in _ROLES]
    if paying:
        connection.insert("account", ("role", "tenant", "id"), paying)
    credited = [spec for spec in specs if isinstance(spec, AccountSpec) and spec.balance]
    if credited:
        _credit(connection, credited, who, now)


def _credit(connection: Link, specs: Sequence[AccountSpec], who: str, now: Instant) -> None:
    asked = ", ".join(["(?, ?)"] * len(specs))
    query = (
        f"SELECT tenant, id, number FROM (VALUES {asked}) AS asked"
        " JOIN account ON role = 'customer' AND tenant = column1 AND id = column2"
    )
    found = connection.execute(query, [part for spec in specs for part in (spec.tenant, spec.id)])
    numbers = {(tenant, name): number for tenant, name, number in found}
    posted = [
        each for spec in specs
        for each in objects.opening(Standing(numbers[spec.tenant, spec.id]), spec.balance, who, now)
    ]  # fmt: skip
    objects.write_postings(connection, posted)
