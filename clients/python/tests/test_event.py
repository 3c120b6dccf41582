import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dembrane_webhooks import Event, EventTooLargeError, InvalidEventError
from dembrane_webhooks.event import MAX_EVENT_BYTES, encode

RULES = json.loads(Path(__file__).with_name("rules.json").read_text())


# The Go publisher is held against the same rules: see test/publishers.
@pytest.mark.parametrize("rule", RULES, ids=[rule["name"] for rule in RULES])
def test_rules(rule: dict[str, Any], event: Callable[..., Event]) -> None:
    if not rule["fault"]:
        encode(event(**rule["change"]))
        return
    with pytest.raises(InvalidEventError) as refused:
        encode(event(**rule["change"]))
    assert any(fault.startswith(rule["fault"]) for fault in refused.value.faults), refused.value


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(InvalidEventError) as refused:
        encode({"type": "report.generated"})  # type: ignore[typeddict-item]
    assert len(refused.value.faults) == 4
    with pytest.raises(InvalidEventError, match="must be a dict"):
        encode(None)  # type: ignore[arg-type]


def test_what_is_misspelt_is_not_lost(event: Callable[..., Event]) -> None:
    with pytest.raises(InvalidEventError, match=r"conversation\.transcirpt is not a field"):
        encode(event(conversation={"id": "c1", "transcirpt": "…"}))
    with pytest.raises(InvalidEventError, match="occured_at is not a field"):
        encode(event(occured_at="…"))
    with pytest.raises(InvalidEventError, match="report does not belong to"):
        encode(event(report={"id": 1}))
    with pytest.raises(InvalidEventError, match="published by the system itself"):
        encode(event(type="webhook.failing"))


@pytest.mark.parametrize(
    ("at", "want"),
    [
        (datetime(2026, 1, 20, 12, 0, 0, 123456, UTC), "2026-01-20T12:00:00.123456Z"),
        (
            datetime(2026, 1, 20, 13, 30, tzinfo=timezone(timedelta(hours=1, minutes=30))),
            "2026-01-20T12:00:00Z",
        ),
        ("2026-01-20T12:00:00.123456789Z", "2026-01-20T12:00:00.123456Z"),
    ],
)
def test_times(at: datetime | str, want: str, event: Callable[..., Event]) -> None:
    assert json.loads(encode(event(occurred_at=at)))["occurred_at"] == want


@pytest.mark.parametrize(
    "at", [datetime(2026, 1, 20), datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), 1.5, b"2026"]
)
def test_times_that_leave_doubt(at: Any, event: Callable[..., Event]) -> None:
    with pytest.raises(InvalidEventError, match="occurred_at"):
        encode(event(occurred_at=at))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("Zoë \ud83d", "Zoë \ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("Zoë 😀\x00", "Zoë 😀\x00"),
    ],
)
def test_halves_of_surrogate_pairs(text: str, want: str, event: Callable[..., Event]) -> None:
    body = encode(event(conversation={"id": "c1", "transcript": text, "tags": [text]}))
    assert json.loads(body)["conversation"] == {"id": "c1", "transcript": want, "tags": [want]}


@pytest.mark.parametrize("duration", [math.nan, math.inf, -math.inf, 10**400, True])
def test_durations(duration: float, event: Callable[..., Event]) -> None:
    with pytest.raises(InvalidEventError, match=r"conversation\.duration must be"):
        encode(event(conversation={"id": "c1", "duration": duration}))


def test_refusals_repeat_nothing_that_participants_wrote(event: Callable[..., Event]) -> None:
    wrong = {"id": "c1", "participant_name": ["secret"], "tags": "secret", "duration": "secret"}
    with pytest.raises(InvalidEventError) as refused:
        encode(event(id="secret?", occurred_at="secret", conversation=wrong))
    assert len(refused.value.faults) == 5
    assert "secret" not in str(refused.value)


def test_the_limit_to_the_byte(event: Callable[..., Event]) -> None:
    empty = event(conversation={"id": "c1", "transcript": ""})
    room = MAX_EVENT_BYTES - len(encode(empty))
    largest = event(id=empty["id"], conversation={"id": "c1", "transcript": "x" * room})
    assert len(encode(largest)) == MAX_EVENT_BYTES
    too_large = event(id=empty["id"], conversation={"id": "c1", "transcript": "x" * (room + 1)})
    with pytest.raises(EventTooLargeError, match="8388609 bytes and the limit is 8388608"):
        encode(too_large)


def test_cyrillic_is_not_escaped(event: Callable[..., Event]) -> None:
    assert "д".encode() in encode(event(conversation={"id": "c1", "transcript": "д"}))
