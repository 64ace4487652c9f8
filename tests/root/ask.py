"""One request over a Unix socket, with the standard library alone: SOCKET METHOD PATH [BODY].

Run as a process of a session or call, whose cgroup is its identity.
"""

import http.client
import json
import socket
import sys


def main() -> None:
    path, method, url, *body = sys.argv[1:]
    connection = http.client.HTTPConnection("agentcg")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request(method, url, body[0] if body else None, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    is_json = "json" in (answer.headers["content-type"] or "")
    json.dump({"status": answer.status, "body": json.loads(text) if is_json else text}, sys.stdout)
    connection.close()


if __name__ == "__main__":
    main()
