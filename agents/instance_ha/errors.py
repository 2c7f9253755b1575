"""Errors, by who failed. Each message is one sentence for a person: what, where, what to do."""

from __future__ import annotations

from .text import printable, without_password

# CloudRefused.status of
BAD_REQUEST = 400      # what makes no sense to the service
FORBIDDEN = 403        # what this user may not do or see
NOT_ACCEPTABLE = 406   # a microversion that the service does not know


class InstanceHaError(Exception):
    """Base of all errors that are shown to a user without a traceback. What the message has from outside does no harm."""

    def __init__(self, message: str = "") -> None:
        super().__init__(without_password(printable(message)))


class ConfigurationError(InstanceHaError):
    """A parameter is wrong, on every machine alike."""


class HostError(InstanceHaError):
    """Something is missing or broken on this machine only (a program, a library, a file)."""


class ClusterError(InstanceHaError):
    """A tool of Pacemaker failed, or answered what cannot be understood."""


class ConflictError(ClusterError):
    """The record was changed by somebody else since it was read."""


class CloudError(InstanceHaError):
    """Base of what Keystone or Nova did."""


class CellAway(CloudError):
    """Nova tells no more of a compute host than its name."""

    def __init__(self, host: str) -> None:
        super().__init__(f"Nova tells nothing of {host} but its name: the database of its cell is away")


class CloudUnreachable(CloudError):
    """No usable answer: a timeout, a broken connection, a 5xx. Whether a request was carried out is unknown."""


class CloudBusy(CloudUnreachable):
    """Too many requests, says OpenStack (429): this one was not carried out, and may be asked later."""


class TooLate(CloudBusy):
    """A request that was not sent: before it could be, the time was over in which it might be."""


class OverLimit(CloudUnreachable):
    """An answer that was too slow, too big, or a redirect. Asking again at once would end alike."""


class TooMuch(OverLimit):
    """An answer that was too slow or too big: of a list a shorter page may do."""


class CloudRefused(CloudError):
    """Keystone or Nova said no: a 4xx. The request was not carried out.

    `status` is HTTP's, `request_id` Nova's ("" when it gave none).
    """

    def __init__(self, message: str, status: int = 0, request_id: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id
