"""What can go wrong between the rooms.

    GamutError
    `-- WorkError
        |-- TooManyStarts       the model started on this report again and again and never came back (final)
        |-- UnknownDeadLetter   no dead letter of that report
        |-- ForeignState        a folder that the demonstration would empty and did not make
        `-- GroupError
            |-- PortTaken       another process listens where one of the group must
            |-- NotReady        a process did not answer in its time
            `-- StartRefused    a process says that it cannot start as it is set up

Messages hold ids, ports and counts; never a word of a report.
"""

from __future__ import annotations

from models.errors import GamutError


class WorkError(GamutError):
    """The work on a report, or the processes that do it, could not go on."""


class TooManyStarts(WorkError):
    """The model started on one version of a report as often as is allowed, and no worker survived it."""


class UnknownDeadLetter(WorkError):
    """There is no dead letter of that report."""


class ForeignState(WorkError):
    """The folder holds something that the demonstration did not put there; it is not emptied."""


class GroupError(WorkError):
    """The group of processes cannot run."""


class PortTaken(GroupError):
    """Another process listens on a port that the group needs."""


class NotReady(GroupError):
    """A process of the group did not answer in the time it was given."""


class StartRefused(GroupError):
    """A process of the group ended at once and said that its set-up is wrong."""
