"""All accounts as they are stored, some hundred octets each: found by name, number and endpoint, decoded when asked.

An account is cut in three: what was agreed, which most accounts share word for word and memory holds once; its
endpoints; its number. The index is a value: one with some changes shares all the rest with the one before, so that a
change among a million accounts costs what that change costs, and a decision sees one whole configuration.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Final, Protocol

import msgspec
from immutables import Map, MapMutation

from daemon.authorize.dids import NO_RANGES, DidRange, DidRanges
from daemon.authorize.networks import Shape, network_text
from daemon.kernel.dialling import Dialling, Numbers, is_country
from daemon.kernel.ids import Key
from daemon.kernel.instant import NEVER, Instant

AGREEMENTS_MAX: Final = 100_000  # distinct ones that are recognised, some 40 MB at most; more are kept each by itself
KINDS: Final = ("sip_users", "pins", "callers", "dids", "did_ranges", "networks")
_HEAD: Final = len('{"tenant":"","id":"",') - 1  # octets before the kind, beside tenant and id; the slash is no part
_POSTPAID: Final = b'"kind":"postpaid"'
Claim = str | tuple[str, ...]  # the account that claims an endpoint, or all that do, by their names in order


class Endpoint(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One of an account's ``identities``: exactly one of sip_user, ip, caller, pin, did is stated.

    A DID is a number, or with ``did_last`` all from one to the other, from ``begins`` until before ``ends`` (None: for
    ever). ``numbers`` and what follows it say how the endpoint writes those that it calls; empty: as its peer does.
    """

    sip_user: str = ""
    password: str = ""
    ha1: str = ""
    ip: str = ""
    tech_prefix: str = ""
    caller: str = ""
    pin: str = ""
    did: str = ""
    via: str = ""
    did_last: str = ""
    begins: Instant = 0
    ends: Instant | None = None
    numbers: str = ""
    country: str = ""
    international_prefix: str = ""
    national_prefix: str = ""

    def __repr__(self) -> str:
        """Show what finds the account, and no secret: a PIN and a password are in no log."""
        found = self.sip_user or self.ip or self.caller or self.did
        return f"Endpoint({found!r}, via={self.via!r})"

    @property
    def range(self) -> tuple[str, str, Instant, Instant] | None:
        """First and last number, begin and end of a range or a number from a date; None of any other endpoint."""
        if not self.did or not (self.did_last or self.begins or self.ends is not None):
            return None
        return self.did, self.did_last or self.did, self.begins, NEVER if self.ends is None else self.ends


class Writes(Protocol):
    """What states how it writes numbers: an endpoint, or a peer."""

    @property
    def numbers(self) -> str:
        """A word of ``Numbers``, empty where it does not say."""

    @property
    def country(self) -> str:
        """ISO 3166, empty where it does not say."""

    @property
    def international_prefix(self) -> str:
        """Empty: the country's."""

    @property
    def national_prefix(self) -> str:
        """Empty: the country's."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One account. ``agreement``: its terms as JSON from the kind on; ``endpoints``: its identities as JSON."""

    number: int
    agreement: bytes
    endpoints: bytes

    def identities(self) -> tuple[Endpoint, ...]:
        """Return the endpoints."""
        return _endpoints.decode(self.endpoints)


_endpoints = msgspec.json.Decoder(tuple[Endpoint, ...])


def dialling(spec: Writes) -> Dialling | None:
    """Return how an endpoint or a peer writes numbers, None where it does not say."""
    if not spec.numbers:
        return None
    return Dialling(Numbers(spec.numbers), spec.country, spec.international_prefix, spec.national_prefix)


def diallings(endpoints: Iterable[Endpoint], country: str) -> tuple[tuple[str, str, Dialling], ...]:
    """Return how those endpoints of an account write numbers that say so, by kind and text.

    One that states no country is in the account's.
    """
    found = ((claimed(each) or ("networks", network_of(each)[1]), dialling(each)) for each in endpoints)
    known = country if is_country(country) else ""
    return tuple(
        (*place, how if how.country else replace(how, country=known)) for place, how in found if how is not None
    )


@dataclass(frozen=True, slots=True)
class AccountIndex:
    """Rows by ``tenant/id``, names by number, and the names of those that claim an endpoint, by its kind and text."""

    rows: Map[str, Row] = field(default_factory=Map)
    names: Map[int, str] = field(default_factory=Map)
    postpaid: Map[int, None] = field(default_factory=Map)
    claims: Mapping[str, Map[str, Claim]] = field(default_factory=lambda: dict.fromkeys(KINDS, Map()))
    tech_prefixes: Map[str, int] = field(default_factory=Map)  # how many networks have it
    shapes: Mapping[Shape, int] = field(default_factory=dict)
    did_ranges: DidRanges = NO_RANGES
    agreements: dict[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)

    def draft(self) -> "AccountDraft":
        """Return what begins as this index and may be changed."""
        return AccountDraft(self)


def cut(name: str, body: bytes) -> tuple[bytes, bytes] | None:
    """Return agreement and endpoints of an account's JSON, None where it has another form than this release writes.

    The names of keys stand between quotes, which within a text are written with a backslash: none is found in one.
    """
    begins = _HEAD + len(name)
    balance = body.find(b'"balance":', begins)
    follows = body.find(b",", balance) + 1
    identities = body.find(b'"identities":', follows)
    ends = body.find(b'],"class_of_service":', identities) + 1
    if not body.startswith(b'"kind":', begins) or balance < 0 or not follows or identities < 0 or not ends:
        return None
    agreement = body[begins:balance] + body[follows:identities] + body[ends + 1 :]
    return agreement, body[identities + 13 : ends]


class Cutter:
    """Cuts accounts that follow one another, of which most are worded as the one before: then nothing is sought."""

    def __init__(self) -> None:
        """Know no account yet."""
        self._pattern: tuple[bytes, bytes, bytes, bytes] | None = None

    def parts(self, name: str, body: bytes) -> tuple[bytes, bytes] | None:
        """Return what ``cut`` does."""
        if self._pattern is not None:
            head, middle, tail, agreement = self._pattern
            begins = _HEAD + len(name)
            follows = body.find(b",", begins + len(head)) + 1
            if body.startswith(head, begins) and body.startswith(middle, follows) and body.endswith(tail):
                return agreement, body[follows + len(middle) : len(body) - len(tail)]
        parts = cut(name, body)
        if parts is not None:
            self._learn(body, parts)
        return parts

    def _learn(self, body: bytes, parts: tuple[bytes, bytes]) -> None:
        agreement, endpoints = parts
        balance, tail = body.find(b'"balance":') + 10, agreement[agreement.find(b'"class_of_service":') :]
        begins = body.find(b'"kind":')
        follows = body.find(b",", balance) + 1
        ends = len(body) - len(tail) - 1
        self._pattern = body[begins:balance], body[follows : ends - len(endpoints)], b"," + tail, agreement


def whole(agreement: bytes) -> bytes:
    """Return the JSON of an account of no name, without endpoints and opening balance."""
    return b'{"tenant":"","id":"",' + agreement


def claimed(endpoint: Endpoint) -> tuple[str, str] | None:
    """Return the kind of an endpoint but a network, and the text by which it is found."""
    if endpoint.sip_user:
        return "sip_users", endpoint.sip_user
    if endpoint.pin:
        return "pins", vouched(endpoint.via, endpoint.pin)
    if endpoint.caller:
        return "callers", vouched(endpoint.via, endpoint.caller)
    if endpoint.range is not None:
        return "did_ranges", "/".join(map(str, endpoint.range))
    return ("dids", endpoint.did) if endpoint.did else None


def _ranges_of(claims: Mapping[str, Claim]) -> DidRanges:
    """Return the claims of DID ranges, cut into pieces; a text is that of ``claimed``."""
    parts = ((text.split("/"), names_of(claims[text])) for text in claims)
    return DidRanges.of(
        DidRange(first, last, int(begins), int(ends), Key(*name.split("/")))
        for (first, last, begins, ends), names in parts
        for name in names
    )


def vouched(via: str, text: str) -> str:
    """Return the text by which something is found that counts only with a peer; an id has no slash."""
    return f"{via}/{text}"


def network_of(endpoint: Endpoint) -> tuple[Shape, str]:
    """Return the shape of an endpoint's network, and the text by which it is found."""
    if "/" in endpoint.ip:
        network = ip_network(endpoint.ip, strict=False)
        first, host_bits = int(network.network_address), network.max_prefixlen - network.prefixlen
        shape = Shape(network.version, host_bits, len(endpoint.tech_prefix))
    else:  # the same, at a quarter of its cost
        address = ip_address(endpoint.ip)
        first, shape = int(address), Shape(address.version, 0, len(endpoint.tech_prefix))
    return shape, network_text(shape, first, endpoint.tech_prefix)


def names_of(claim: Claim | None) -> tuple[str, ...]:
    """Return the accounts of a claim."""
    return () if claim is None else (claim,) if isinstance(claim, str) else claim


class AccountDraft:
    """An index in the making, of one thread."""

    def __init__(self, index: AccountIndex) -> None:
        """Begin as an index is."""
        self._rows, self._names, self._postpaid = index.rows.mutate(), index.names.mutate(), index.postpaid.mutate()
        self._claims: dict[str, MapMutation[str, Claim]] = {kind: each.mutate() for kind, each in index.claims.items()}
        self._tech_prefixes, self._shapes = index.tech_prefixes.mutate(), dict(index.shapes)
        self._agreements, self._did_ranges = index.agreements, index.did_ranges
        self._ranges_moved = False

    def put(self, name: str, number: int, parts: tuple[bytes, bytes]) -> None:
        """Set an account, ``tenant/id``, to its number and to agreement and endpoints as ``cut`` gives them."""
        agreement, endpoints = parts
        if len(self._agreements) >= AGREEMENTS_MAX:
            self._agreements.clear()
        agreement = self._agreements.setdefault(agreement, agreement)
        earlier = self._rows.get(name)
        self._rows[name] = Row(number, agreement, endpoints)
        if earlier is not None:
            self._retire(name, earlier)
        self._names[number] = name
        if agreement.startswith(_POSTPAID):
            self._postpaid[number] = None
        for endpoint in _endpoints.decode(endpoints):
            kind, text = claimed(endpoint) or self._counted(endpoint, 1)
            claims = self._claims[kind]
            self._ranges_moved |= kind == "did_ranges"
            others = claims.get(text)
            claims[text] = name if others is None else _joined(others, name)

    def finished(self) -> AccountIndex:
        """Return the index; nothing can be put into it afterwards. Where a range moved all are cut anew."""
        claims = {kind: each.finish() for kind, each in self._claims.items()}
        if self._ranges_moved:
            self._did_ranges, self._ranges_moved = _ranges_of(claims["did_ranges"]), False
        return AccountIndex(
            self._rows.finish(), self._names.finish(), self._postpaid.finish(), claims,
            self._tech_prefixes.finish(), self._shapes.copy(), self._did_ranges, self._agreements,
        )  # fmt: skip

    def _retire(self, name: str, row: Row) -> None:
        if row.agreement.startswith(_POSTPAID):
            del self._postpaid[row.number]
        for kind, text in {claimed(each) or self._counted(each, -1) for each in row.identities()}:
            claims = self._claims[kind]
            self._ranges_moved |= kind == "did_ranges"
            left = tuple(each for each in names_of(claims.get(text)) if each != name)
            if left:
                claims[text] = left if len(left) > 1 else left[0]
            else:
                del claims[text]

    def _counted(self, endpoint: Endpoint, count: int) -> tuple[str, str]:
        """Return kind and text of a network, and count it among the shapes and tech prefixes, up or down."""
        shape, text = network_of(endpoint)
        shapes = self._shapes.get(shape, 0) + count
        if shapes:
            self._shapes[shape] = shapes
        else:
            del self._shapes[shape]
        prefixes = (self._tech_prefixes.get(endpoint.tech_prefix) or 0) + count
        if prefixes:
            self._tech_prefixes[endpoint.tech_prefix] = prefixes
        else:
            del self._tech_prefixes[endpoint.tech_prefix]
        return "networks", text


def _joined(others: Claim, name: str) -> Claim:
    names = tuple(sorted({*names_of(others), name}))
    return names if len(names) > 1 else name


def index_of(rows: Iterable[tuple[str, int, tuple[bytes, bytes]]]) -> AccountIndex:
    """Return the index of accounts: name, number, and the parts as ``cut`` gives them."""
    draft = AccountIndex().draft()
    for name, number, parts in rows:
        draft.put(name, number, parts)
    return draft.finished()
