"""What an event is, which rules it keeps, and how it is written.

The rules are those of the Go publisher and of the dispatcher, which rejects what
breaks them.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

from .faults import EventTooLargeError, InvalidEventError

MAX_EVENT_BYTES = 8 << 20

_TYPES = ("conversation.started", "conversation.transcribed", "conversation.summarized", "report.generated")
_OWN_TYPES = ("webhook.failing", "webhook.disabled", "webhook.recovered")
_TEST_TYPE = "webhook.test"

_MAX_NAME = 64  # characters of a name that a text repeats

_MAX_ID_BYTES = 64
_ID = re.compile(r"[A-Za-z0-9_-]+")
_ID_RULE = "use 1 to 64 letters, digits, _ or -"
_TIME_RULE = "write RFC 3339, such as 2026-01-20T12:00:00.123456Z"
_ZONE_RULE = "add Z for UTC, or an offset such as +01:00, as in 2026-01-20T12:00:00.123456Z"

# The first whole number that a double cannot tell from its neighbour.
_LIMIT_NUMERIC_ID = 1 << 53


class Project(TypedDict):
    """Where an event happened."""

    id: str
    workspace_id: NotRequired[str | None]
    name: NotRequired[str | None]
    language: NotRequired[str | None]


class Conversation(TypedDict):
    """One recording and what was made of it. Times are passed on as they are."""

    id: str
    created_at: NotRequired[str | None]
    updated_at: NotRequired[str | None]
    participant_name: NotRequired[str | None]
    duration: NotRequired[float | None]
    source: NotRequired[str | None]
    is_finished: NotRequired[bool | None]
    is_all_chunks_transcribed: NotRequired[bool | None]
    tags: NotRequired[list[str] | None]
    emails_csv: NotRequired[str | None]
    transcript: NotRequired[str | None]
    summary: NotRequired[str | None]


class Report(TypedDict):
    """A generated report."""

    id: str | int
    status: NotRequired[str | None]
    language: NotRequired[str | None]
    date_created: NotRequired[str | None]


class Event(TypedDict):
    """Something happened in a project. What is ``None`` is not known, and delivered as null."""

    id: str
    type: str
    occurred_at: datetime | str
    project: Project
    conversation: NotRequired[Conversation | None]
    report: NotRequired[Report | None]


def encode(event: Event) -> bytes:
    """Write an event as JSON, or raise InvalidEventError or EventTooLargeError."""
    faults: list[str] = []
    whole = _event(event, faults)
    if faults:
        raise InvalidEventError(faults)
    body = json.dumps(whole, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    if len(body) > MAX_EVENT_BYTES:
        raise EventTooLargeError(
            f"event is too large: its body is {len(body)} bytes and the limit is {MAX_EVENT_BYTES}; "
            "shorten its transcript or summary"
        )
    return body


_Reader = Callable[[str, Any, list[str]], Any]


def _event(event: Any, faults: list[str]) -> dict[str, Any]:
    """Read an event, and say in the order of the Go publisher what is wrong."""
    if not isinstance(event, Mapping):
        faults.append("the event must be a dict with the fields of an event")
        return {}
    whole: dict[str, Any] = {}
    for name, read in (("id", _identifier), ("type", _type), ("occurred_at", _time)):
        whole[name] = read(name, event.get(name), faults)
    if event.get("project") is None:
        faults.append("project is missing: say at least its id")
    else:
        whole["project"] = _object("project", event["project"], _PROJECT, faults)
    subject = _subject_of(whole["type"])
    for name, fields in (("conversation", _CONVERSATION), ("report", _REPORT)):
        if event.get(name) is None:
            if name == subject:
                faults.append(f"{name} is missing: {whole['type']} is about a {name}")
        elif subject in (name, ""):
            whole[name] = _object(name, event[name], fields, faults)
        else:
            faults.append(f"{name} does not belong to {whole['type']}: leave it out")
    _unknown("", event, ("id", "type", "occurred_at", "project", "conversation", "report"), faults)
    return whole


def _subject_of(event_type: Any) -> str:
    """Tell what events of this type are about; nothing of one that is not known."""
    if event_type not in _TYPES:
        return ""
    return "report" if event_type == "report.generated" else "conversation"


def _object(path: str, value: Any, fields: Mapping[str, _Reader], faults: list[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        faults.append(f"{path} must be an object")
        return {}
    known = {}
    for name, read in fields.items():
        # Only an id says something about None, which stands for "not known".
        if value.get(name) is not None or name == "id":
            known[name] = read(f"{path}.{name}", value.get(name), faults)
    _unknown(f"{path}.", value, tuple(fields), faults)
    return known


def _unknown(prefix: str, value: Mapping[Any, Any], known: tuple[str, ...], faults: list[str]) -> None:
    """Refuse what would not be delivered: a misspelt transcript must not be lost in silence."""
    for name in value:
        if name not in known:
            faults.append(f"{prefix}{str(name)[:_MAX_NAME]} is not a field: use {', '.join(known)}")


def _identifier(path: str, value: Any, faults: list[str]) -> Any:
    if value is None or value == "":
        faults.append(f"{path} is missing: {_ID_RULE}")
    elif not isinstance(value, str):
        faults.append(f"{path} must be a string: put it in quotes")
    elif len(value.encode(errors="replace")) > _MAX_ID_BYTES:
        faults.append(f"{path} is {len(value.encode(errors='replace'))} bytes long: {_ID_RULE}")
    elif not _ID.fullmatch(value):
        faults.append(f"{path} has a character that is not allowed: {_ID_RULE}")
    return value


def _type(path: str, value: Any, faults: list[str]) -> Any:
    if value is None or value == "":
        faults.append(f"{path} is missing: use one of {', '.join(_TYPES)}")
    elif not isinstance(value, str):
        faults.append(f"{path} must be a string: put it in quotes")
    elif value == _TEST_TYPE:
        faults.append(f"{path} {_TEST_TYPE} cannot be published: a host asks for it with the test call")
    elif value in _OWN_TYPES:
        faults.append(f"{path} {value} is published by the system itself: use one of {', '.join(_TYPES)}")
    elif value not in _TYPES:
        faults.append(f"{path} is not known: use one of {', '.join(_TYPES)}")
    return value


def _time(path: str, value: Any, faults: list[str]) -> str:
    if isinstance(value, str) and value:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            faults.append(f"{path} is not a time: {_TIME_RULE}")
            return ""
    if value is None or value == "":
        faults.append(f"{path} is missing: say when it happened, and {_TIME_RULE}")
    elif not isinstance(value, datetime):
        faults.append(f"{path} must be a datetime or a string: {_TIME_RULE}")
    elif value.utcoffset() is None:
        faults.append(f"{path} has no time zone: {_ZONE_RULE}")
    else:
        try:
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            faults.append(f"{path} is not a time between the years 1 and 9999: {_TIME_RULE}")
    return ""


def _text(path: str, value: Any, faults: list[str]) -> Any:
    if not isinstance(value, str):
        faults.append(f"{path} must be a string: put it in quotes, and leave it out if it is not known")
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair becomes U+FFFD, and two that belong together one
        # character: one broken character must not cost a transcript.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _required_text(path: str, value: Any, faults: list[str]) -> Any:
    if value is None or value == "":
        faults.append(f"{path} is missing: receivers need it to find the conversation")
        return value
    return _text(path, value, faults)


def _number(path: str, value: Any, faults: list[str]) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        faults.append(f"{path} must be a number that a double can hold: leave it out if it is not known")
        return value
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        faults.append(f"{path} must be a finite number of seconds: leave it out if it is not known")
    return value


def _boolean(path: str, value: Any, faults: list[str]) -> Any:
    if not isinstance(value, bool):
        faults.append(f"{path} must be true or false, without quotes")
    return value


def _texts(path: str, value: Any, faults: list[str]) -> Any:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        faults.append(f"{path} must be a list of strings, without null")
        return value
    return [_text(path, text, faults) for text in value]


def _report_id(path: str, value: Any, faults: list[str]) -> Any:
    if value is None:
        faults.append(f"{path} is missing: receivers need it to find the report")
    elif value == "":
        faults.append(f"{path} is empty: receivers need it to find the report")
    elif isinstance(value, str):
        return _text(path, value, faults)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        faults.append(f"{path} must be a string or a whole number: publish it as a string")
    elif value != value // 1 or abs(value) >= _LIMIT_NUMERIC_ID:
        faults.append(
            f"{path} is not a whole number below 2^53: publish it as a string so that no digit is lost"
        )
    return value


_PROJECT: Mapping[str, _Reader] = {"id": _identifier, "workspace_id": _text, "name": _text, "language": _text}
_CONVERSATION: Mapping[str, _Reader] = {
    "id": _required_text,
    "created_at": _text,
    "updated_at": _text,
    "participant_name": _text,
    "duration": _number,
    "source": _text,
    "is_finished": _boolean,
    "is_all_chunks_transcribed": _boolean,
    "tags": _texts,
    "emails_csv": _text,
    "transcript": _text,
    "summary": _text,
}
_REPORT: Mapping[str, _Reader] = {"id": _report_id, "status": _text, "language": _text, "date_created": _text}
