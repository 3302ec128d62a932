"""Which store a switch is served for: a global variable on the switch, that a daemon of another store reads.

Two stores that serve one switch charge its calls twice and cut each other's. Nothing in either store can tell, so each
daemon leaves its store's word and the instant on the switch, again and again while its link is up. Another word that is
fresh is an error in the log, and nothing else: whose calls they are is for a person to say.
"""

import re
from typing import Final

from daemon.esl.road import Road
from daemon.kernel.instant import SECOND

VARIABLE: Final = "tollway_store"
MARK_SECONDS: Final = 60.0  # between two marks
FRESH_SECONDS: Final = 180  # within which a mark says that its daemon is at work: it missed two at most
_MARK: Final = re.compile(r"([0-9a-f]{1,64})/(\d{1,12})")


async def marked(road: Road, store_id: str) -> str:
    """Mark the switch as served for a store; return the word of another one that marked it just now, else nothing.

    A switch that knows no global variables is no fault: it answers with an error, which is no mark. Raises LinkLost.
    """
    found = _MARK.fullmatch(await road.api("global_getvar", VARIABLE))
    now = road.now() // SECOND
    other = found is not None and found[1] != store_id and abs(now - int(found[2])) < FRESH_SECONDS
    await road.api("global_setvar", f"{VARIABLE}={store_id}/{now}")
    return found[1] if found is not None and other else ""
