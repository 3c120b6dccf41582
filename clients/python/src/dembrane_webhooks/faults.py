"""What can go wrong. No text repeats what participants wrote, so it may be logged."""

from collections.abc import Sequence


class PublishError(Exception):
    """The event is not known to be stored."""


class InvalidEventError(PublishError, ValueError):
    """The event breaks a rule. Nothing was sent; publishing it again fails again."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Take one sentence for every fault."""
        super().__init__("event is not valid: " + "; ".join(faults))
        self.faults = tuple(faults)


class EventTooLargeError(PublishError, ValueError):
    """The event is larger than is taken. Publishing it again fails again."""


class NotPublishedError(PublishError):
    """No acknowledgement in time, or a refusal that waiting does not help.

    The event may or may not be stored: publish it again later, with the same id.
    """
