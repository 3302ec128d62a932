"""``tollway doctor``: probes of everything that a daemon needs, each with what was seen and what to do about it.

Nothing is changed, no secret is told, and no probe can keep another waiting for longer than its own time.
"""

from daemon.doctor.examination import Examination, status_of
from daemon.doctor.finding import PROBES, REMEDIES, Finding, State, ill

__all__ = ["PROBES", "REMEDIES", "Examination", "Finding", "State", "ill", "status_of"]
