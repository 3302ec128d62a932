"""Tollway: authorises, charges and cuts telephone calls, and hands rated usage to invoicing.

Data moves inwards as values and outwards as values; nothing is answered before it is committed.
Assertions guard money in production, so the daemon refuses to run without them.
"""

if not __debug__:
    raise SystemExit("refusing to handle money with assertions disabled (python -O)")

__version__ = "0.1.0"
