"""What a probe found: which probe, how bad it is, what was seen, and what to do about it. Pure.

What to do stands in one table, so that the page of the doctor can be compared with it; what was seen is told by the
probe, in words that hold no secret. A fault that is not in the table cannot be told.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

NAMED_MAX: Final = 5  # things of one kind that one finding names; the rest is counted


class State(Enum):
    """How it stands, from well to ill; ``skipped`` says why nothing can be said."""

    OK = "ok"
    SKIPPED = "skipped"
    WARN = "warn"
    FAIL = "fail"


class Remedy(NamedTuple):
    """How bad a fault is, and what an operator does about it."""

    state: State
    to_do: str


class Finding(NamedTuple):
    """What one probe saw of one thing; ``fault`` is empty where nothing is wrong."""

    name: str
    state: State
    seen: str
    fault: str = ""
    to_do: str = ""


_WARN, _FAIL = State.WARN, State.FAIL

PROBES: Final[Mapping[str, str]] = MappingProxyType({
    "settings": "the settings file",
    "store": "that the store is there and has this release's schema",
    "store.write": "that it can be written: a row is written and taken back",
    "store.whole": "that its file is whole, or its server keeps what it commits",
    "store.place": "what kind of file system the store lies on",
    "disk.space": "free space and inodes of the folders of the store, journals, exports and archives",
    "disk.rights": "that these folders can be written",
    "disk.sync": "how long the disk of the store takes to make a write durable",
    "clock.sync": "that the machine's clock is kept by NTP",
    "clock.store": "that the newest entry of the store does not lie ahead of the clock",
    "clock.server": "the distance of the clock of a PostgreSQL server",
    "zones": "the age of the time zone data",
    "ports": "of each listener: free, served by a running daemon, or taken",
    "ready": "what a running daemon says of itself",
    "udp.buffer": "the receive buffer that the kernel allows",
    "descriptors": "the open files that the daemon may have",
    "unit": "the units of systemd",
    "switches": "a login on the event socket or the manager of each switch",
    "nas.secrets": "the shared secrets of the RADIUS clients",
    "nas.signatures": "that RADIUS clients which are not on loopback must sign",
    "nas.networks": "the addresses of the RADIUS clients",
    "decks": "rates that end soon, and tables without a rate",
    "conversions": "the rates between currencies",
    "accounts.plans": "that each account has a rate plan now",
    "accounts.endpoints": "that each account can be found by a call",
    "endpoints": "endpoints that several accounts claim",
    "exports": "the age of the last hand-off",
    "exceptions": "the exception list",
    "calls": "open calls that nobody resolves",
    "debts": "what prepaid accounts could not pay",
    "journal": "the journals beside the store",
})  # fmt: skip

REMEDIES: Final[Mapping[tuple[str, str], Remedy]] = MappingProxyType({
    ("settings", "faults"): Remedy(_FAIL, "mend each line that is named, and run 'tollway check'"),
    ("store", "missing"): Remedy(_FAIL, (
        "where there should be one, mend [store] url, or run in the folder that it counts from; 'tollway apply FILE' or"
        " 'tollway db upgrade' makes a new one"
    )),
    ("store", "unusable"): Remedy(_FAIL, "do what the message says; until then nothing can be charged"),
    ("store.write", "refused"): Remedy(_FAIL, (
        "do what the message says: until the store commits again no prepaid call is let through"
    )),
    ("store.whole", "damaged"): Remedy(_FAIL, (
        "stop the daemon, keep a copy of the store as it is, and restore the last backup; 'tollway db check' names what"
        " does not hold"
    )),
    ("store.whole", "forgetful"): Remedy(_FAIL, (
        "turn the setting on in postgresql.conf and restart the server: what it commits may be lost with its power"
    )),
    ("store.place", "volatile"): Remedy(_FAIL, (
        "move the store to a disk: what lies there is gone when the machine restarts"
    )),
    ("store.place", "network"): Remedy(_WARN, (
        "move the store to a disk of this machine, or to PostgreSQL: SQLite's locks cannot be trusted over a network"
    )),
    ("disk.space", "full"): Remedy(_FAIL, (
        "free space now: at the end of it every question is refused; 'tollway db archive' moves closed months elsewhere"
    )),
    ("disk.space", "low"): Remedy(_WARN, (
        "free space or enlarge the disk; 'tollway db archive' moves closed months elsewhere"
    )),
    ("disk.space", "inodes"): Remedy(_WARN, (
        "remove small files: without a free inode no journal, export or archive can be made, whatever space is left"
    )),
    ("disk.rights", "unwritable"): Remedy(_FAIL, (
        "give the folder to the daemon's user, mount it writable, and name it in ReadWritePaths of the unit"
    )),
    ("disk.sync", "slow"): Remedy(_WARN, (
        "put the store on a disk that syncs faster (flash, or a controller with a battery): each question waits for one"
        " or two syncs"
    )),
    ("disk.sync", "refused"): Remedy(_FAIL, (
        "look at the kernel's log and at the free space: a disk that cannot sync a file cannot keep money"
    )),
    ("clock.sync", "adrift"): Remedy(_WARN, (
        "run chrony, systemd-timesyncd or another NTP client: charges are dated, and cuts are timed, by this clock"
    )),
    ("clock.store", "behind"): Remedy(_FAIL, (
        "set the clock right before calls are charged: it stands before what the store holds already; where the clock"
        " is right, the entries were dated by one that ran ahead, and their days are to be looked at"
    )),
    ("clock.server", "apart"): Remedy(_WARN, "have both machines keep their clocks by NTP"),
    ("zones", "old"): Remedy(_WARN, (
        "update tzdata where the daemon is installed ('pip install --upgrade tzdata') and restart it: rules of summer"
        " time change every year"
    )),
    ("ports", "taken"): Remedy(_FAIL, (
        "stop the program that has it, or give the listener another port in the settings file"
    )),
    ("ports", "elsewhere"): Remedy(_FAIL, (
        "write an address of this machine in `listen`, or 0.0.0.0 for all; one that a cluster moves must be here"
    )),
    ("ports", "forbidden"): Remedy(_FAIL, (
        "choose a port from 1024 on, or let the unit have AmbientCapabilities=CAP_NET_BIND_SERVICE"
    )),
    ("ready", "not_ready"): Remedy(_FAIL, "look at the daemon's log: its store does not commit"),
    ("ready", "absent"): Remedy(_WARN, (
        "start the daemon ('systemctl start tollway', or 'tollway run'), unless it was stopped on purpose: switches get"
        " no answer"
    )),
    ("ready", "calls_alone"): Remedy(_FAIL, (
        "start the daemon now: nobody charges or ends these calls; the end of its last log says why it is gone"
    )),
    ("ready", "other_store"): Remedy(_FAIL, (
        "compare [store] url here with that of the daemon ('serving' in its log): one of the two has another settings"
        " file or runs in another folder; what is changed here does not reach its calls"
    )),
    ("ready", "clock_held"): Remedy(_WARN, (
        "set the machine's clock right and keep it by NTP; where it is right now and stands behind, restart the daemon"
    )),
    ("ready", "link_down"): Remedy(_WARN, "see `switches`, and 'link lost' in the daemon's log"),
    ("udp.buffer", "small"): Remedy(_WARN, (
        "sysctl -w net.core.rmem_max=4194304, and the same in /etc/sysctl.d: else a burst of accounting is dropped"
    )),
    ("descriptors", "few"): Remedy(_WARN, "set LimitNOFILE=65536 in the unit, or 'ulimit -n 65536' before it starts"),
    ("unit", "failed"): Remedy(_FAIL, "journalctl -u tells why; mend that, and 'systemctl restart' it"),
    ("unit", "stopped"): Remedy(_FAIL, (
        "'systemctl start' it, and journalctl -u tells why it ended: it is enabled, and does not run"
    )),
    ("unit", "disabled"): Remedy(_WARN, (
        "'systemctl enable' it: it does not start when the machine does; where this machine is to have no daemon,"
        " remove the unit"
    )),
    ("unit", "restarts"): Remedy(_WARN, "journalctl -u tollway tells what it died of each time"),
    ("unit", "idle"): Remedy(_WARN, "systemctl enable --now tollway-export.timer"),
    ("switches", "unreachable"): Remedy(_FAIL, (
        "see that the switch runs, that host and port are those of its event socket or manager, and that no firewall"
        " is between"
    )),
    ("switches", "unknown_host"): Remedy(_FAIL, "mend host of the switch, or the name server of this machine"),
    ("switches", "password"): Remedy(_FAIL, (
        "write the password of event_socket.conf.xml in [[freeswitch]], or username and secret of manager.conf in"
        " [[asterisk]], and 'tollway apply' the file"
    )),
    ("switches", "acl"): Remedy(_FAIL, (
        "add this machine's address to apply-inbound-acl of the switch's event_socket.conf.xml, and reload"
        " mod_event_socket"
    )),
    ("switches", "strange"): Remedy(_FAIL, (
        "see that host and port are those of an event socket of FreeSWITCH, or of a manager of Asterisk"
    )),
    ("nas.secrets", "well_known"): Remedy(_FAIL, (
        "give the client a secret of its own, here and there: whoever knows it can end and begin calls in its name"
    )),
    ("nas.secrets", "short"): Remedy(_WARN, (
        "write one of at least 16 random characters, here and there: a short one is guessed from one packet"
    )),
    ("nas.secrets", "shared"): Remedy(_WARN, (
        "give each client a secret of its own: one that is lost gives all of them away"
    )),
    ("nas.signatures", "unsigned"): Remedy(_WARN, (
        "set require_message_authenticator = true once the client sends it: else whoever is between can turn a refusal"
        " into a grant (CVE-2024-3596)"
    )),
    ("nas.networks", "overlap"): Remedy(_WARN, (
        "state addresses that lie apart: a packet is checked by the secret of the smallest network with its source"
    )),
    ("decks", "empty"): Remedy(_FAIL, (
        "'tollway rate import' a deck that is in force: until then every call by this table is refused"
        " destination_unrated"
    )),
    ("decks", "ending"): Remedy(_WARN, (
        "import what follows before then ('tollway rate import'); where these prefixes shall no longer be sold, nothing"
        " is to be done"
    )),
    ("conversions", "lacking"): Remedy(_FAIL, (
        "state a [[conversion]] that is in force now and 'tollway apply' it: until then these calls are refused"
    )),
    ("conversions", "ending"): Remedy(_WARN, "state the [[conversion]] that follows before then"),
    ("accounts.plans", "none"): Remedy(_WARN, "give each a rate_plan that is in force, or suspend it"),
    ("accounts.plans", "ending"): Remedy(_WARN, (
        "import the rates that follow, or give these accounts another plan from then on"
    )),
    ("accounts.endpoints", "none"): Remedy(_WARN, (
        "state `identities` of each; where calls name the account itself (over HTTP or in a switch's variable), nothing"
        " is to be done"
    )),
    ("endpoints", "claimed_twice"): Remedy(_FAIL, (
        "leave each endpoint to one account: a call by it is refused account_ambiguous, or its charge waits in the"
        " exception list"
    )),
    ("exports", "late"): Remedy(_WARN, (
        "'tollway export run', and see why the nightly one did not: systemctl status tollway-export.timer"
        " tollway-export.service"
    )),
    ("exceptions", "waiting"): Remedy(_WARN, "'tollway exception list' shows them, each with what was done"),
    ("calls", "stuck"): Remedy(_WARN, (
        "'tollway call recovery' says why they are kept; without a running daemon nobody resolves any"
    )),
    ("debts", "uncollected"): Remedy(_WARN, "collect it, or 'tollway account topup' or 'adjust' the accounts"),
    ("journal", "waiting"): Remedy(_WARN, (
        "start the daemon: it enters these grants in the store as soon as that commits"
    )),
})  # fmt: skip


def well(name: str, seen: str) -> Finding:
    """Return that nothing is wrong."""
    assert name in PROBES, name
    return Finding(name, State.OK, seen)


def skipped(name: str, why: str) -> Finding:
    """Return that nothing can be said, and why."""
    assert name in PROBES, name
    return Finding(name, State.SKIPPED, why)


def ill(name: str, fault: str, seen: str) -> Finding:
    """Return a fault of the table. Raises KeyError for another."""
    remedy = REMEDIES[name, fault]
    return Finding(name, remedy.state, seen, fault, remedy.to_do)


def some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - NAMED_MAX
    told = ", ".join(names[:NAMED_MAX])
    return f"{told} and {more} more" if more > 0 else told
