"""A model endpoint that speaks chat completions and plays a script: one shell command a turn."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

Json = Any


@dataclass
class Model:
    """`requests` are the bodies that the harness sent, one for each turn."""

    url: str
    requests: list[Json] = field(default_factory=list)

    def told(self, turn: int) -> str:
        """What the tool's message of the request says that came after the command of `turn`."""
        last = self.requests[turn]["messages"][-1]
        assert last["role"] == "tool", last
        content = last["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)


@contextmanager
def serving(commands: Sequence[str], tool: str = "bash") -> Iterator[Model]:
    """Serve a model that calls `tool` with these commands, and then says that it is done."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            model.requests.append(json.loads(self.rfile.read(length)))
            asked = model.requests[-1]
            # Some ask for a title of the conversation, without tools.
            turn = sum(one["role"] == "tool" for one in asked["messages"])
            answer = _answer(commands if asked.get("tools") else (), tool, turn)
            streamed = bool(asked.get("stream"))
            body = _streamed(answer) if streamed else json.dumps(answer).encode()
            self.send_response(200)
            kind = "text/event-stream" if streamed else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        model = Model(f"http://127.0.0.1:{server.server_port}/v1/chat/completions")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield model
        server.shutdown()
        thread.join()


def _streamed(answer: Json) -> bytes:
    (choice,) = answer["choices"]
    said = {**choice["message"]}
    if "tool_calls" in said:
        said["tool_calls"] = [{"index": 0, **call} for call in said["tool_calls"]]
    last = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    parts = [{"index": 0, "delta": said, "finish_reason": None}, last]
    lines = [
        json.dumps({**answer, "object": "chat.completion.chunk", "choices": [one]}) for one in parts
    ]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def _answer(commands: Sequence[str], tool: str, turn: int) -> Json:
    message: Json = {"role": "assistant", "content": "I am done."}
    if turn < len(commands):
        arguments = json.dumps({"command": commands[turn]})
        call = {
            "id": f"call_{turn}",
            "type": "function",
            "function": {"name": tool, "arguments": arguments},
        }
        message = {"role": "assistant", "content": f"Turn {turn}.", "tool_calls": [call]}
    reason = "tool_calls" if "tool_calls" in message else "stop"
    return {
        "id": f"chat-{turn}",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.0},
    }
