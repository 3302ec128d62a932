"""The request that a dialplan makes and the variables that it gets: INTERFACES, "Asterisk".

``AGI(agi://HOST:4573/authorize,ACCOUNT,DESTINATION)``: two arguments and no query string, so that a comma or an & in a
dialled number never becomes a word of its own. TOLLWAY_DIRECTION and TOLLWAY_OVERRIDE are variables for the same
reason. The account is the dialplan's word; nothing that a caller sent is read as one.
"""

from dataclasses import dataclass

from daemon.asterisk.fastagi_wire import COMMAND_SIZE_MAX, RemoteAgiError, Request
from daemon.authorize.decision import Granted
from daemon.authorize.denial import Q850, Denial
from daemon.kernel.ids import Direction

SCRIPT = "authorize"
ARGUMENTS = 2  # the account, which may be empty, and the destination
VALUE_LENGTH_MAX = 128  # characters of an account or a destination; an id has 64 at most, a number 18 digits
OVERRIDE_LENGTH_MAX = 64  # characters of an override value
ROUTES_SIZE_MAX = COMMAND_SIZE_MAX - 100  # octets of the dial strings together: what one command can carry
MARK = "tollway"
STALE = (
    "TOLLWAY_RESULT", "TOLLWAY_REASON", "TOLLWAY_CAUSE", "TOLLWAY_QUOTA_SECONDS", "TOLLWAY_QUOTA_MS", "TOLLWAY_LIMIT",
    "TOLLWAY_ROUTES",
)  # fmt: skip
Variables = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, before anything was read of the channel."""

    channel: str
    account: str
    destination: str
    calling: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the channel says of itself: whether it is answered, and what the dialplan set."""

    up: bool
    direction: Direction
    override: str


def asked(request: Request) -> Asked:
    """Return what a request asks. Raises RemoteAgiError for any other request than the one there is."""
    fields, arguments = request.fields, request.arguments()
    script = fields.get("agi_network_script", "")
    if script != SCRIPT:
        raise RemoteAgiError(
            "script", f"asks for {script[:80]!r}; write AGI(agi://HOST:PORT/{SCRIPT},ACCOUNT,DESTINATION)"
        )
    if len(arguments) != ARGUMENTS or any(key.startswith("agi_arg_") for key in _beyond(fields, len(arguments))):
        raise RemoteAgiError(
            "arguments", f"{len(arguments)} arguments; write the account and the destination, and nothing else: a comma"
            " in a dialled number makes another one",
        )  # fmt: skip
    channel = fields.get("agi_uniqueid", "")
    if not channel or len(channel) > VALUE_LENGTH_MAX or not channel.isascii() or not channel.isprintable():
        raise RemoteAgiError("channel", "no agi_uniqueid that a call can be known by")
    account, destination = arguments
    if len(account) > VALUE_LENGTH_MAX or len(destination) > VALUE_LENGTH_MAX:
        raise RemoteAgiError("arguments", f"an argument of more than {VALUE_LENGTH_MAX} characters")
    calling = fields.get("agi_callerid", "")
    return Asked(channel, account, destination, "" if calling == "unknown" else calling[:VALUE_LENGTH_MAX])


def _beyond(fields: object, known: int) -> list[str]:
    assert isinstance(fields, dict)
    own = {f"agi_arg_{place}" for place in range(1, known + 1)}
    return [key for key in fields if key not in own]


def probe(nonce: str) -> str:
    """Return the text that the switch is asked to expand; what comes back must begin with the nonce."""
    return f"{MARK}-{nonce}|${{CHANNEL(state)}}|${{TOLLWAY_DIRECTION}}|${{TOLLWAY_OVERRIDE}}"


def told(nonce: str, answer: str) -> Told:
    """Return what the channel says of itself. Raises RemoteAgiError where it is no answer to this question."""
    mark, *said = answer.split("|", 3)
    if mark != f"{MARK}-{nonce}" or len(said) != 3:
        raise RemoteAgiError("unasked", "an answer to what was not asked: the opening block ended before its end")
    state, direction, override = said
    if direction not in ("", Direction.INBOUND.value, Direction.OUTBOUND.value):
        raise RemoteAgiError("variable", f"TOLLWAY_DIRECTION is {direction[:80]!r}; write inbound or outbound")
    if len(override) > OVERRIDE_LENGTH_MAX or not override.isprintable():
        raise RemoteAgiError("variable", f"TOLLWAY_OVERRIDE has more than {OVERRIDE_LENGTH_MAX} printable characters")
    return Told(state == "Up", Direction(direction or Direction.OUTBOUND.value), override)


def granted_variables(granted: Granted) -> Variables:
    """Return what a granted channel is told; the result comes last, when all the rest stands.

    TOLLWAY_LIMIT is the option for Dial: none where the daemon moves the switch's own timer, or nothing may cut.
    """
    milliseconds = str(granted.seconds * 1000)
    limit = "" if granted.renewable or granted.emergency else f"L({milliseconds})"
    return (
        ("TOLLWAY_QUOTA_SECONDS", str(granted.seconds)), ("TOLLWAY_QUOTA_MS", milliseconds), ("TOLLWAY_LIMIT", limit),
        ("TOLLWAY_ROUTES", routes_text(dials(granted))), ("TOLLWAY_RESULT", "GRANTED"),
    )  # fmt: skip


def denied_variables(denial: Denial) -> Variables:
    """Return what a refused channel is told; what an earlier grant left is cleared before."""
    cause = str(Q850[denial])
    return (("TOLLWAY_REASON", denial.value), ("TOLLWAY_CAUSE", cause), ("TOLLWAY_RESULT", "DENIED"))


def dials(granted: Granted) -> tuple[tuple[int, str], ...]:
    """Return number and dial string of each route. Asterisk's Dial takes no variables in it, so they are left out."""
    return tuple((route.number, dial_string(route.dial)) for route in granted.routes)


def dial_string(dial: str) -> str:
    """Return a route's dial string as Dial takes it: less what names its carrier and place to another switch."""
    return dial.partition("]")[2] if dial.startswith("[") else dial


def routes_text(routes: tuple[tuple[int, str], ...]) -> str:
    """Return the dial strings joined by |, as many as one command carries, the cheapest first."""
    text = ""
    for _, dial in routes:
        longer = f"{text}|{dial}" if text else dial
        if len(longer.encode()) > ROUTES_SIZE_MAX:
            break
        text = longer
    return text
