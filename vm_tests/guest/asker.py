"""Many requests from one process, with the standard library alone: SOCKET, then JSON on stdin.

Runs in a container as a process of the agent or of a call, whose cgroup is its identity. Reads a
list of [method, path, body], writes a list of [status, body].
"""

import http.client
import json
import socket
import sys
from typing import Any


def ask(path: str, method: str, url: str, body: Any) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("agentcg")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    text = None if body is None else json.dumps(body)
    connection.request(method, url, text, {"content-type": "application/json"})
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, json.loads(content) if content else None


if __name__ == "__main__":
    json.dump([ask(sys.argv[1], *request) for request in json.load(sys.stdin)], sys.stdout)
