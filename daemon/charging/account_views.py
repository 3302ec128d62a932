"""What a catalog shows of the accounts' index: the mappings that decisions ask, each value made when it is asked for.

Terms are kept for the accounts that call; a catalog that follows has another set, since what they name may differ.
Both threads that decide may ask at once: what two make at the same time is equal, and one of them is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from immutables import Map

from daemon.authorize.catalog import AccountTerms, Endpoints, SipUser
from daemon.authorize.networks import Networks, in_order
from daemon.charging.accounts import AccountIndex, Claim, Row, names_of, vouched
from daemon.kernel.ids import Key

TERMS_MAX: Final = 20_000  # accounts whose terms are kept: about 1 KiB each; beyond, all are made anew
V = TypeVar("V")
Made = Callable[[Key, Row], AccountTerms]


def key_of(name: str) -> Key:
    """Return the key of ``tenant/id``."""
    tenant, _, own = name.partition("/")
    return Key(tenant, own)


class Accounts(Mapping[Key, AccountTerms]):
    """Terms by key."""

    def __init__(self, rows: Map[str, Row], made: Made) -> None:
        """Take the rows, and what makes terms of one."""
        self._rows = rows
        self._made = made
        self._kept: dict[str, AccountTerms] = {}

    def __getitem__(self, key: Key) -> AccountTerms:
        """Return the terms of an account. Raises KeyError."""
        return self.named(f"{key[0]}/{key[1]}")

    def named(self, name: str) -> AccountTerms:
        """Return the terms of ``tenant/id``. Raises KeyError."""
        kept = self._kept.get(name)
        if kept is not None:
            return kept
        terms = self._made(key_of(name), self._rows[name])
        if len(self._kept) >= TERMS_MAX:
            self._kept.clear()
        self._kept[name] = terms
        return terms

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys in no order."""
        return map(key_of, self._rows)

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._rows)


class ByNumber(Mapping[int, AccountTerms]):
    """Terms by the store's number."""

    def __init__(self, names: Map[int, str], accounts: Accounts) -> None:
        """Take the names, and the accounts that bear them."""
        self._names = names
        self._accounts = accounts

    def __getitem__(self, number: int) -> AccountTerms:
        """Return the terms of an account. Raises KeyError."""
        return self._accounts.named(self._names[number])

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers in no order."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many accounts there are."""
        return len(self._names)


class Claims(Mapping[str, tuple[Key, ...]]):
    """The accounts that claim an endpoint, by its text."""

    def __init__(self, claims: Map[str, Claim]) -> None:
        """Take the names of the claimants."""
        self._claims = claims

    def __getitem__(self, text: str) -> tuple[Key, ...]:
        """Return the claimants. Raises KeyError."""
        return tuple(map(key_of, names_of(self._claims[text])))

    def __contains__(self, text: object) -> bool:
        """Tell whether anybody claims an endpoint: of most numbers that are called nobody does."""
        return text in self._claims

    def __iter__(self) -> Iterator[str]:
        """Yield the texts in no order."""
        return iter(self._claims)

    def __len__(self) -> int:
        """Return how many endpoints there are."""
        return len(self._claims)


class Vouched(Mapping[tuple[str, str], tuple[Key, ...]]):
    """The accounts that claim an endpoint which counts only with a peer, by the peer's id and the text."""

    def __init__(self, claims: Claims) -> None:
        """Take the claims by the joined text."""
        self._claims = claims

    def __getitem__(self, asked: tuple[str, str]) -> tuple[Key, ...]:
        """Return the claimants. Raises KeyError."""
        via, text = asked
        if "/" in via:  # no peer has such an id, and none may be taken for another's
            raise KeyError(asked)
        return self._claims[vouched(via, text)]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield peer and text in no order."""
        for joined in self._claims:
            via, _, text = joined.partition("/")
            yield via, text

    def __len__(self) -> int:
        """Return how many endpoints there are."""
        return len(self._claims)


class SipUsers(Mapping[str, tuple[SipUser, ...]]):
    """The proofs of a SIP user, of every account that claims him."""

    def __init__(self, claims: Map[str, Claim], rows: Map[str, Row]) -> None:
        """Take the names of the claimants, and the rows that hold their endpoints."""
        self._claims = claims
        self._rows = rows
        self._kept: dict[str, tuple[SipUser, ...]] = {}

    def __getitem__(self, user: str) -> tuple[SipUser, ...]:
        """Return the proofs. Raises KeyError."""
        kept = self._kept.get(user)
        if kept is not None:
            return kept
        found = tuple(
            SipUser(key_of(name), endpoint.password, endpoint.ha1)
            for name in names_of(self._claims[user])
            for endpoint in self._rows[name].identities()
            if endpoint.sip_user == user
        )
        if len(self._kept) >= TERMS_MAX:
            self._kept.clear()
        self._kept[user] = found
        return found

    def __iter__(self) -> Iterator[str]:
        """Yield the users in no order."""
        return iter(self._claims)

    def __len__(self) -> int:
        """Return how many users there are."""
        return len(self._claims)


def endpoints_of(index: AccountIndex) -> Endpoints:
    """Return the endpoints of an index."""
    claims = {kind: Claims(each) for kind, each in index.claims.items()}
    return Endpoints(
        pins=Vouched(claims["pins"]), sip_users=SipUsers(index.claims["sip_users"], index.rows),
        networks=Networks(claims["networks"], in_order(index.shapes), index.tech_prefixes),
        callers=Vouched(claims["callers"]), dids=claims["dids"],
        did_ranges=index.did_ranges,
    )  # fmt: skip
