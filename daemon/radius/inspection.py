"""How a packet is understood, for a person or a script: every attribute by name, in order, nothing left out.

The same codec and dictionaries as the server's. A packet that is not well formed says why and shows no attributes.
With the secret, a password is revealed and signatures are judged; without, they stay as they came.
"""

import binascii

from daemon.radius import authenticator
from daemon.radius.dictionary import Shown, dictionary
from daemon.radius.packet import Code, Packet, RemotePacketError
from daemon.radius.packet import decode as decode_packet

USER_PASSWORD = 2


def decode(
    hex_text: str, profile: str = "generic", secret: str | None = None, request_authenticator: str = ""
) -> dict[str, object]:
    """Return ``{well_formed, error, code, id, length, authenticator, attributes}`` of a packet in hexadecimal.

    With a secret also ``request_authenticator_valid``, ``response_authenticator_valid`` (which needs the request's
    authenticator) and ``message_authenticator_valid`` where the packet has what they judge. Raises ValueError for an
    unknown profile or text that is not hexadecimal.
    """
    dictionary(profile, 0)  # an unknown profile is an error of the caller, whatever the packet
    try:
        data = binascii.unhexlify("".join(hex_text.split()).removeprefix("0x"))
        asked = bytes.fromhex(request_authenticator)
    except ValueError as error:
        raise ValueError(f"a packet is given in hexadecimal: {error}") from None
    try:
        packet = decode_packet(data)
    except RemotePacketError as error:
        return {
            "well_formed": False, "error": str(error), "code": None, "id": None, "length": None,
            "authenticator": None, "attributes": [],
        }  # fmt: skip
    key = secret.encode() if secret is not None else None
    found: dict[str, object] = {
        "well_formed": True, "error": None, "code": packet.code, "id": packet.identifier,
        "length": len(packet.data), "authenticator": packet.authenticator.hex(),
        "attributes": shown_attributes(packet, profile, key),
    }  # fmt: skip
    return found if key is None else found | _judged(packet, key, asked)


def shown_attributes(packet: Packet, profile: str, secret: bytes | None) -> list[list[Shown]]:
    """Return ``[name, value]`` of each attribute in order; a password in clear where the secret is known."""
    book = dictionary(profile, packet.code)
    shown: list[list[Shown]] = []
    for key, value in packet.attributes:
        name, text = book.shown(key, value)
        if key == USER_PASSWORD and secret is not None:
            plain = authenticator.reveal_password(value, secret, packet.authenticator)
            text = text if plain is None else plain.decode("utf-8", "replace")
        shown.append([name, text])
    return shown


_RESPONSES = frozenset(
    {
        Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE, Code.ACCOUNTING_RESPONSE,
        Code.DISCONNECT_ACK, Code.DISCONNECT_NAK, Code.COA_ACK, Code.COA_NAK,
    }
)  # fmt: skip


def _judged(packet: Packet, secret: bytes, request_authenticator: bytes) -> dict[str, object]:
    judged: dict[str, object] = {}
    if packet.code in authenticator.DIGESTED:
        judged["request_authenticator_valid"] = authenticator.request_is_authentic(packet, secret)
    reply = packet.code in _RESPONSES
    if reply and request_authenticator:
        judged["response_authenticator_valid"] = authenticator.response_is_authentic(
            packet, request_authenticator, secret
        )
    signed = authenticator.signature_is_valid(packet, secret, request_authenticator or None)
    if signed is not None and (request_authenticator or not reply):
        judged["message_authenticator_valid"] = signed
    return judged
