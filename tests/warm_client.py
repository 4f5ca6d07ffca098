"""A process that stands for one of the warm server's: its stdio, environment and arguments go there, its exit code comes back.

Started some thousand times, so nothing is imported that takes time: `_socket` instead of `socket` halves it.
"""

import _socket
import array
import marshal
import os
import signal
import sys


def main(address: str, interpreter: str, arguments: list[str]) -> None:
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    server.connect(address)
    order = marshal.dumps((interpreter, arguments, os.getcwd(), dict(os.environ)))  # noqa: PTH109 - without pathlib
    stdio = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", (0, 1, 2)))
    server.sendmsg([len(order).to_bytes(4, "big")], [stdio])
    server.sendall(order)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _: server.sendall(bytes([caught])))
    code = int.from_bytes(server.recv(4), "big", signed=True)
    if code < 0:  # killed by a signal: so are we
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
