"""Closed calls as spans in OTLP's JSON (opentelemetry-proto, trace/v1). No I/O.

Ids follow from the call's: a span that is sent twice is the same span.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentcg import __version__
from agentcg.model.call import Call
from agentcg.model.outcome import UNSTOPPED

_INTERNAL = 1
_ERROR = 2
Value = str | int | float | None


def body(spans: Sequence[Mapping[str, Any]], host: str) -> bytes:
    """What is posted to /v1/traces."""
    resource = {"service.name": "agentcg", "service.version": __version__, "host.name": host}
    scope = {"name": "agentcg", "version": __version__}
    sent = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": scope, "spans": list(spans)}],
            }
        ]
    }
    return json.dumps(sent).encode()


def span(call: Call) -> dict[str, Any]:
    """A call that is over; its command is not told, which may have secrets in it."""
    trace, above = _parents(call)
    begin = call.declared_at if call.started_at is None else call.started_at
    # The time of day may have been put back in between.
    end = max(begin, call.ended_at or call.closed_at or begin)
    made = {
        "traceId": trace,
        "spanId": _id(f"span {call.id}", 8),
        "name": f"execute_tool {call.intent.tool}",
        "kind": _INTERNAL,
        "startTimeUnixNano": str(round(begin * 1e9)),
        "endTimeUnixNano": str(round(end * 1e9)),
        "attributes": _attributes(_about(call)),
        "status": {},
    }
    if above is not None:
        made["parentSpanId"] = above
    if call.outcome is not None and call.outcome.cause not in UNSTOPPED:
        made["status"] = {"code": _ERROR, "message": call.outcome.advice}
    return made


def _about(call: Call) -> dict[str, Value]:
    about: dict[str, Value] = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": call.intent.tool,
        "gen_ai.tool.call.id": call.intent.key or call.id,
        "agentcg.call": call.id,
        "agentcg.session": call.session,
        "agentcg.memory.limit": call.grant.memory_limit,
    }
    if call.outcome is not None:
        end = call.outcome
        about |= {"agentcg.outcome": end.cause.value, "agentcg.exit_code": end.exit_code}
        about |= {"agentcg.memory.peak": end.peak, "agentcg.cpu.time": end.cpu}
        about |= {"agentcg.cpu.throttled": end.throttled, "agentcg.oom_kills": end.oom_kills}
    return about


def _parents(call: Call) -> tuple[str, str | None]:
    if call.intent.traceparent is None:
        return _id(f"trace {call.id}", 16), None
    _, trace, above, _ = call.intent.traceparent.split("-")
    return trace, above


def _id(text: str, size: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[: 2 * size]


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(v)} for key, v in values.items() if v is not None]


def _value(value: str | int | float) -> dict[str, Any]:
    if isinstance(value, str):
        # Half a character is no JSON that others read.
        return {"stringValue": value.encode("utf-8", "replace").decode()}
    # 64-bit numbers are strings in protobuf's JSON.
    return {"intValue": str(value)} if isinstance(value, int) else {"doubleValue": value}
