"""An Access-Request becomes a question: who may pay, whom is called, and what proves it. Pure.

Only what the client itself vouches for is read: its own source address, its id as ``via``, and a User-Name that a
credential proves or that the operator trusts. Two credentials at once, or one that cannot be read, prove nothing.
An inbound call is paid by the account of the called DID, or by one that the client names: a user, an address and a
caller of such a call are the caller's own, and decide nothing. The same reading of parties and ids serves accounting,
so that a record finds the question it belongs to.
"""

import hashlib
from dataclasses import dataclass

from daemon.authorize.attempt import CallAttempt, Credential, Identity, PlainPassword
from daemon.authorize.catalog import Catalog
from daemon.charging.accounts import dialling
from daemon.charging.call import CALL_ID_LENGTH_MAX
from daemon.charging.configuration import NasSpec
from daemon.charging.event import MessageKey
from daemon.kernel.ids import Direction, is_id
from daemon.radius import authenticator, digest
from daemon.radius.direction import asks_both_sides, direction
from daemon.radius.fields import Fields
from daemon.radius.packet import Packet
from daemon.radius.profile import Profile, is_address, profile, seen_address, stated

USER_PASSWORD, CHAP_PASSWORD, CHAP_CHALLENGE, EAP_MESSAGE, DIGEST_URI = 2, 3, 60, 79, 109
SOURCE = "radius"


@dataclass(frozen=True, slots=True)
class Chap:
    """A CHAP-Password with its challenge (RFC 2865 section 5.3); a stored HA1 cannot prove it."""

    value: bytes
    challenge: bytes

    def proves(self, password: str, ha1: str) -> bool:
        """Tell whether it was made with this password."""
        return bool(password) and authenticator.chap_is_valid(self.value, password.encode(), self.challenge)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A credential that breaks the protocol's rules: it proves nobody."""

    def proves(self, password: str, ha1: str) -> bool:
        """Return False."""
        return False


@dataclass(frozen=True, slots=True)
class Question:
    """``registers``: a REGISTER, which is authenticated and reserves nothing. ``broken``: its credential is."""

    attempt: CallAttempt
    message: MessageKey
    registers: bool
    broken: bool


def id_domain(nas: NasSpec) -> str:
    """Return the id domain of a client: what it is configured into, else its own id."""
    return nas.id_domain or nas.id


def read_question(packet: Packet, nas: NasSpec, source: tuple[str, int], secret: bytes, catalog: Catalog) -> Question:
    """Return the question in an Access-Request of a client, from source address and port."""
    switch = profile(nas.profile)
    fields = Fields(packet, nas.profile)
    credential = read_credential(packet, secret)
    call_id = read_call_id(fields, switch) or f"packet:{packet.authenticator.hex()}:{source[0]}"
    attempt = read_attempt(fields, nas, switch, source[0], call_id, credential, catalog)
    return Question(attempt, _message(packet, nas, source), _registers(credential), isinstance(credential, Unreadable))


def _message(packet: Packet, nas: NasSpec, source: tuple[str, int]) -> MessageKey:
    """Return the key of SPEC section 4: nas, port, Identifier, authenticator."""
    name = f"{nas.tenant}/{nas.id}:{source[0]}:{source[1]}:{packet.identifier}:{packet.authenticator.hex()}"
    return MessageKey(f"radius-auth:{name}", body_digest(packet.data))


def body_digest(data: bytes) -> bytes:
    """Return 16 octets that tell two bodies apart."""
    return hashlib.blake2b(data, digest_size=16).digest()


def _registers(credential: Credential | None) -> bool:
    """Tell whether a REGISTER is asked about: only a digest tells the method."""
    return isinstance(credential, digest.Digest) and credential.method.upper() == "REGISTER"


def read_credential(packet: Packet, secret: bytes) -> Credential | None:
    """Return what proves the user: one of PAP, CHAP, digest. RFC 2865 section 4.1 forbids two at once."""
    hidden, chap = packet.first(USER_PASSWORD), packet.first(CHAP_PASSWORD)
    answered = digest.from_packet(packet)
    stated = [one for one in (hidden, chap, answered, packet.first(EAP_MESSAGE)) if one is not None]
    if not stated:
        return Unreadable() if packet.first(DIGEST_URI) is not None else None  # it asks to be challenged first
    if len(stated) > 1:
        return Unreadable()
    if answered is not None:
        return answered
    if chap is not None:
        return Chap(chap, packet.first(CHAP_CHALLENGE) or packet.authenticator)
    return _pap(hidden, packet, secret) if hidden is not None else Unreadable()


def _pap(hidden: bytes, packet: Packet, secret: bytes) -> Credential:
    plain = authenticator.reveal_password(hidden, secret, packet.authenticator)
    if plain is None:
        return Unreadable()
    try:
        return PlainPassword(plain.decode())
    except UnicodeDecodeError:
        return Chap(b"", b"")  # stored passwords are text: these octets can be none of them


def read_attempt(
    fields: Fields, nas: NasSpec, switch: Profile, address: str, call_id: str, credential: Credential | None,
    catalog: Catalog,
) -> CallAttempt:  # fmt: skip
    """Return the attempt that a request of either kind is about."""
    called, calling = number(fields.text(*switch.called)), number(fields.text(*switch.calling))
    how = dialling(nas)
    calling = (how.normal(calling) if how is not None else None) or calling
    to_emergency = called.removeprefix("+") in catalog.emergency.anywhere  # nobody's DID: such a call goes out
    which = Direction.OUTBOUND if to_emergency else direction(fields, nas, switch, credential)
    if which is Direction.INBOUND:
        identity = _called_party(fields, nas, switch, (how.normal(called) if how is not None else None) or called)
    else:
        identity = _identity(fields, nas, switch, address, calling, credential, catalog)
    return CallAttempt(
        id_domain=id_domain(nas), call_id=call_id, tenant=nas.tenant, source=SOURCE, switch=nas.id,
        identity=identity, called=called, calling=calling, direction=which,
        renewable=False, reports_answer=switch.reports_answer, routed=nas.routing,
        aliases=(*joint_ids(fields), *stations(fields, switch)[:1]), dialling=how,
        both_sides=asks_both_sides(fields, nas, which), callers_id=switch.callers_ids,
    )  # fmt: skip


def _called_party(fields: Fields, nas: NasSpec, switch: Profile, did: str) -> Identity:
    """Return who pays for an inbound call: the account that the client names, where it may, else that of the DID."""
    account = _account_code(fields) if switch.name == "asterisk" else ""
    if nas.trust_user_name:
        account = stated(fields, "tollway_account") or account
    return Identity(account=account, via=nas.id, did=did)


def _account_code(fields: Fields) -> str:
    code = fields.text("Asterisk-Acc-Code")
    return code if is_id(code) else ""


def number(written: str) -> str:
    """Return the number in a station id: the user part, where a switch writes a SIP or tel URI."""
    for scheme in ("sip:", "sips:", "tel:"):
        if written.lower().startswith(scheme):
            written = written[len(scheme) :]
            break
    return written.partition("@")[0].partition(";")[0]


def _identity(
    fields: Fields, nas: NasSpec, switch: Profile, address: str, calling: str, credential: Credential | None,
    catalog: Catalog,
) -> Identity:  # fmt: skip
    user, account = fields.text(*switch.user), ""
    address = seen_address(fields, switch) or address
    if switch.name == "asterisk":
        account, user = _account_code(fields), _endpoint(user)
    elif switch.routing and is_address(user):
        user, credential = "", None  # Sippy asks for a peer by its address, with a constant password
    return Identity(
        account=account, sip_user=_known(user, catalog), credential=credential, trusted=nas.trust_user_name,
        ip=address, caller=calling, via=nas.id,
    )  # fmt: skip


def _endpoint(channel: str) -> str:
    """Return the endpoint of an Asterisk channel name, ``PJSIP/100-00000001``; a User-Name may be such a name."""
    name = channel.partition("/")[2] or channel
    return name.rpartition("-")[0] or name


def _known(user: str, catalog: Catalog) -> str:
    """Return the user as written where an account has it, else less its realm."""
    if user in catalog.endpoints.sip_users:
        return user
    return user.partition("@")[0] or user


def read_call_id(fields: Fields, switch: Profile) -> str:
    """Return the call's id as the switch names it: Acct-Session-Id, else h323-conf-id, else call-id; or nothing."""
    found = fields.text(*switch.session) or _conf_id(fields) or _call_id(fields)
    if len(found) > CALL_ID_LENGTH_MAX:
        return "sha256:" + hashlib.sha256(found.encode()).hexdigest()
    return found


def _call_id(fields: Fields) -> str:
    return fields.voip("call-id", "h323-call-id", "sip-conf-id")


def _conf_id(fields: Fields) -> str:
    return fields.voip("h323-conf-id").upper()


def joint_ids(fields: Fields) -> tuple[str, ...]:
    """Return what all legs of one call share: conf-id and call-id, as aliases."""
    conf_id, call_id = _conf_id(fields), _call_id(fields)
    return (*((f"conf:{conf_id}",) if conf_id else ()), *((f"call:{call_id}",) if call_id else ()))


def stations(fields: Fields, switch: Profile) -> tuple[str, ...]:
    """Return User-Name, called and calling number as an alias, and again without the calling one.

    The last resort of joining: a question may not have told the caller. Values are printable, so a tab parts them.
    """
    called, calling = number(fields.text(*switch.called)), number(fields.text(*switch.calling))
    user = fields.text("User-Name").partition("@")[0]
    if not called:
        return ()
    whole = f"stations:{user}\t{called}\t{calling}"
    return (whole, f"stations:{user}\t{called}\t") if calling else (whole,)
