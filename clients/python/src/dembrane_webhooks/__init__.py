"""Publish events of dembrane pipelines, and know that they are safe.

    async with Publisher("nats://127.0.0.1:4222") as publisher:
        await publisher.publish(event)

When ``publish`` returns, the event is stored, and every webhook that wants it will be
told, whatever process is killed or restarted meanwhile. When it raises
``NotPublishedError``, the event may or may not be stored: publishing it again with the
same id is safe.

``SyncPublisher`` does the same for code without asyncio, such as Dramatiq workers.
"""

from .event import Conversation, Event, Project, Report
from .faults import EventTooLargeError, InvalidEventError, NotPublishedError, PublishError
from .publisher import Acknowledgement, Publisher
from .sync import SyncPublisher

__all__ = [
    "Acknowledgement",
    "Conversation",
    "Event",
    "EventTooLargeError",
    "InvalidEventError",
    "NotPublishedError",
    "Project",
    "PublishError",
    "Publisher",
    "Report",
    "SyncPublisher",
]
