"""Hands its arguments, folder, environment and standard streams to the server that forks.

It passes signals on to the program, and ends as the program did.
"""

import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def main() -> int:
    """Run `client.py SOCKET (-m MODULE | -c PROGRAM | FILE) ARGUMENTS`; the program's status."""
    folder = os.getcwd()  # noqa: PTH109 -- pathlib would take longer than all the rest
    asked = {"arguments": sys.argv[2:], "folder": folder, "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        line = json.dumps(asked).encode() + b"\n"
        sent = socket.send_fds(server, [line], [0, 1, 2])
        server.sendall(line[sent:])
        for number in FORWARDED:
            signal.signal(number, lambda caught, _: server.sendall(bytes([caught])))
        for stream in (0, 1, 2):  # they are the program's: its end is to be seen by readers
            os.close(stream)
        answer = server.recv(16)
    status = int(answer or b"-9")
    if status < 0:
        if status != -signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    os._exit(main())
