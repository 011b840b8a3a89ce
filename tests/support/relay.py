"""A relay in front of a PostgreSQL server that breaks connections at a COMMIT."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.support.ports import free_port

COMMIT = b"COMMIT\0"


class Relay:
    """Passes bytes on, until it has an instruction for the next COMMIT.

    ``lose_answer``: it reaches the server and its answer is lost. ``lose_commit``: it
    does not reach the server. While ``closed`` nobody can connect.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.lose_answer = self.lose_commit = self.closed = False
        self._close_afterwards = False
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_answer_and_close(self) -> None:
        """Lose the answer to the next COMMIT; nobody can connect from then on."""
        self._close_afterwards = True
        self.lose_answer = True

    def stop(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.closed:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                answer = threading.Event()
                for work, *arguments in (
                    (self._forward, client, server, answer),
                    (self._return, server, client, answer),
                ):
                    threading.Thread(target=work, args=arguments, daemon=True).start()

    def _forward(
        self, client: socket.socket, server: socket.socket, lost: threading.Event
    ) -> None:
        with suppress(OSError), client, server:
            while data := client.recv(65_536):
                if COMMIT in data and self.lose_commit:
                    self.lose_commit = False
                    return
                if COMMIT in data and self.lose_answer:
                    self.lose_answer = False
                    self.closed = self._close_afterwards
                    lost.set()
                server.sendall(data)

    def _return(
        self, server: socket.socket, client: socket.socket, lost: threading.Event
    ) -> None:
        with suppress(OSError), server, client:
            while data := server.recv(65_536):
                if lost.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A relay to a port of 127.0.0.1."""
    running = Relay(target)
    try:
        yield running
    finally:
        running.stop()
