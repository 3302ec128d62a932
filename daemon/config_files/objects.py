"""The objects of one scenario file as they were read, and how they find each other while some of them are faulty.

A reference is dangling only if no object could be meant: one whose id or tenant is unreadable raises no second problem.
Ids are unique within their tenant and kind; of two, the first in the file is the one that references mean.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from daemon.config_files.kinds import FAULT, UNSTATED, Site, Table
from daemon.config_files.positions import Document
from daemon.kernel.ids import Key
from daemon.rating.rate_plan import DEPTH_MAX

TENANT_DEPTH_MAX: Final = 64  # tenants from the owner down; each is charged for every call below it

NEAR_MAX: Final = 1_000  # objects among which a likely name is sought for a message


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: where it stands, and those of its values that are good."""

    kind: str
    site: Site
    values: dict[str, Any]

    @property
    def id(self) -> str:
        """Return its id, empty where that is faulty."""
        return str(self.values.get("id", ""))

    @property
    def raw_id(self) -> str:
        """Return what stands as its id, good or not, empty where that is no text."""
        raw = self.site.document.value((*self.site.path, "id"))
        return raw if isinstance(raw, str) else ""

    @property
    def tenant(self) -> str:
        """Return the id of its tenant, empty where that is faulty; a tenant has none."""
        return str(self.values.get("tenant", ""))

    @property
    def key(self) -> Key:
        """Return (tenant, id)."""
        return Key(self.tenant, self.id)

    @property
    def line(self) -> int:
        """Return the line on which it begins."""
        return self.site.document.line_of(self.site.path)

    def get(self, name: str) -> Any:
        """Return a good value, None where it is faulty or not stated."""
        return self.values.get(name)

    def __str__(self) -> str:
        """Return for instance ``account main/alice``."""
        return f"{self.kind} {self.key if self.tenant else self.id}"


class Objects:
    """All objects of a file by kind and key, with the tree of their tenants."""

    def __init__(self, entries: Mapping[str, list[Entry]]) -> None:
        """Index the entries; peers that state no tenant become the owner's."""
        self._entries = entries
        self._parents = {entry.id: entry.get("parent") for entry in entries["tenant"] if entry.id}
        self.owner = self._owner()
        for kind in ("nas", "freeswitch", "asterisk", "conversion"):
            for entry in entries[kind]:
                if entry.values.get("tenant") is UNSTATED:
                    entry.values["tenant"] = self.owner
        for entry in (*entries["bundle"], *entries["channel_package"], *entries["fraud_rule"]):
            if entry.values.get("tenant") is UNSTATED:
                entry.values["tenant"] = self._tenant_of_account(str(entry.values.get("account", "")))
        self._index: dict[tuple[str, Key], Entry] = {}
        for kind, found in entries.items():
            for entry in found:
                self._index.setdefault((kind, entry.key), entry)
        self._trunks: dict[Key, Entry] = {}
        for entry in entries["tenant"]:
            if entry.get("parent") and entry.get("account"):
                self._trunks.setdefault(Key(entry.values["parent"], entry.values["account"]), entry)
        self._peers: dict[str, list[Entry]] = {}
        for entry in (*entries["nas"], *entries["freeswitch"], *entries["asterisk"]):
            self._peers.setdefault(entry.id, []).append(entry)
        self._blurred = {(entry.kind, entry.raw_id) for entry in self if not entry.id or not self._is_placed(entry)}

    def __iter__(self) -> Iterator[Entry]:
        """Yield every entry in the order of the kinds."""
        return (entry for found in self._entries.values() for entry in found)

    def of(self, kind: str) -> list[Entry]:
        """Return the entries of a kind in the order of the file."""
        return self._entries[kind]

    def find(self, kind: str, key: Key) -> Entry | None:
        """Return an object; a tenant's key has no tenant."""
        return self._index.get((kind, key))

    def tenant(self, name: str) -> Entry | None:
        """Return a tenant."""
        return self.find("tenant", Key("", name))

    def refer(self, site: Site, kind: str, tenant: str, name: str) -> Entry | None:
        """Return the object that a value names, after a problem was reported where there can be none.

        Within a tenant that does not exist nothing is dangling: the tenant is, and was reported.
        """
        found = self.find(kind, Key(tenant, name))
        if tenant and self.tenant(tenant) is None:
            return found
        if found is None and not {(kind, name), (kind, "")} & self._blurred:
            of_tenant = f" of tenant {tenant}" if tenant else ""
            site.report(f"there is no {kind} {name}{of_tenant}; {self._mend(kind, tenant, name)}")
        return found

    def ancestors(self, tenant: str) -> list[str]:
        """Return a tenant and those above it, nearest first; a cycle ends where it closes."""
        line: list[str] = []
        while tenant and tenant not in line and len(line) <= TENANT_DEPTH_MAX:
            line.append(tenant)
            tenant = self._parents.get(tenant) or ""
        return line

    def sees(self, upper: str, lower: str) -> bool:
        """Tell whether a tenant is another or lies above it."""
        return upper in self.ancestors(lower)

    def parent(self, tenant: str) -> str:
        """Return the id of a tenant's parent, empty where it has none or that is faulty."""
        return self._parents.get(tenant) or ""

    def trunk_of(self, tenant: str, account: str) -> Entry | None:
        """Return the first tenant whose own account with ``tenant`` this is."""
        return self._trunks.get(Key(tenant, account))

    def peers_of(self, name: str) -> list[Entry]:
        """Return the RADIUS clients and switches of an id, in whatever tenant."""
        return self._peers.get(name, [])

    def inherited(self, plan: Entry) -> list[Entry]:
        """Return a plan and those that it inherits, nearest first; a cycle ends where it closes."""
        line = [plan]
        while (name := line[-1].get("inherits")) and len(line) <= DEPTH_MAX:
            found = self.find("rate_plan", Key(plan.tenant, name))
            if found is None or any(found is each for each in line):
                break
            line.append(found)
        return line

    def _tenant_of_account(self, account: str) -> str:
        """Return the tenant of the only account of an id, the owner's before others; the owner where none can be."""
        tenants = [entry.tenant for entry in self._entries["account"] if entry.id == account]
        return tenants[0] if len(tenants) == 1 and self.owner not in tenants else self.owner

    def _owner(self) -> str:
        """Return the first tenant that has no parent, or nothing."""
        return next((name for name, parent in self._parents.items() if parent == ""), "")

    def _is_placed(self, entry: Entry) -> bool:
        return entry.kind == "tenant" or entry.tenant in self._parents

    def _mend(self, kind: str, tenant: str, name: str) -> str:
        known = [entry.id for entry in self._entries[kind][:NEAR_MAX] if entry.tenant == tenant]
        near = get_close_matches(name, known, 1)
        return f"did you mean {near[0]}?" if near else f"add a [[{kind}]] of this id or mend the name"


def named(entry: Entry, key: str) -> tuple[str, ...]:
    """Return the ids of a list that an object states, none where it is faulty or not stated."""
    names = entry.get(key)
    return names if isinstance(names, tuple) else ()


def read_entries(
    document: Document, tables: Mapping[str, Table], refused: Mapping[str, str], settings: Collection[str] = ()
) -> dict[str, list[Entry]]:
    """Return the objects of each kind, all faults inside them reported; unknown tables are faults too.

    ``settings`` are the names of tables that belong in tollway.toml.
    """
    for name, value in document.values.items():
        site = Site(document, (name,))
        if name in refused:
            _refuse(site, value, refused[name])
        elif name in settings:
            site.report(f"is a setting of one daemon; write [{name}] in tollway.toml, not in a scenario file")
        elif name not in tables:
            near = get_close_matches(name, tables, 1)
            site.report(
                "is no table; " + (f"did you mean [[{near[0]}]]?" if near else f"known are {', '.join(tables)}")
            )
    return {kind: _read_kind(document, kind, table) for kind, table in tables.items()}


def _refuse(site: Site, value: object, why: str) -> None:
    places = [site / place for place in range(len(value))] if isinstance(value, list) else [site]
    for place in places:
        place.report(f"this release {why}; take it out")


def _read_kind(document: Document, kind: str, table: Table) -> list[Entry]:
    stated = document.values.get(kind, [])
    if not isinstance(stated, list):
        Site(document, (kind,)).report(f"is one table; write [[{kind}]] with two brackets")
        return []
    entries = []
    for place, value in enumerate(stated):
        site = Site(document, (kind, place))
        values = table.read(site, value)
        entries.append(Entry(kind, site, {} if values is FAULT else values))
    return entries
