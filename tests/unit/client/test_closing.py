"""Letting go of a client takes the time that was given for it, whatever the other side does."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from kaizen_security import Kaizen
from kaizen_security.client import client, report
from kaizen_security.client.http import Connection

KEY = "kz_live_" + "k" * 43


@contextmanager
def holding():
    """A server that answers when it may: its URL, what it was asked for, and the event that lets it."""
    asked, may = [], threading.Event()

    def answer(held):
        with held:
            asked.append(held.recv(1 << 16).split(b" HTTP", 1)[0].decode())
            may.wait(120)
            held.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            held.recv(1)

    def serve():
        while True:
            try:
                held = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=answer, args=(held,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked, may
        may.set()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def until(condition):
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_report_that_nobody_answers_does_not_hold_up_who_closes(monkeypatch):
    monkeypatch.setattr(report, "EXCHANGE", 120.0)
    with holding() as (url, asked, _):
        kaizen = Kaizen(KEY, url)
        kaizen.inspect(tool="look")
        until(lambda: any("verdicts" in one for one in asked))
        closing = threading.Thread(target=kaizen.close, args=(0.2,), daemon=True)
        closing.start()
        closing.join(30)
        assert not closing.is_alive()


def test_a_connection_that_is_closed_in_the_middle_of_an_exchange_is_let_go_after_it():
    with holding() as (url, asked, may):
        connection, said = Connection(url), []
        thread = threading.Thread(target=lambda: said.append(connection.request("GET", "/")[0]))
        thread.start()
        until(lambda: asked)
        connection.close()
        may.set()
        thread.join(10)
        assert said == [200]
        assert connection._socket is None
        assert connection.request("GET", "/")[0] == 200
        assert connection._socket is not None
        connection.close()
        assert connection._socket is None


class Taken:
    """The lock of a connection that somebody else lets go of at the moment in which it was taken."""

    def __init__(self, connection):
        self.connection, self.lock = connection, threading.Lock()

    def acquire(self, timeout=-1):
        if not self.lock.acquire(timeout=timeout):
            return False
        if threading.current_thread() is threading.main_thread() and self.connection._socket is None:
            closing = threading.Thread(target=self.connection.close)
            closing.start()
            closing.join()
        return True

    def release(self):
        self.lock.release()


def test_a_connection_that_is_closed_as_an_exchange_begins_is_let_go_after_it():
    with holding() as (url, _, may):
        may.set()
        connection = Connection(url)
        connection._lock = Taken(connection)
        assert connection.request("GET", "/")[0] == 200
        assert connection._socket is None


class Slow:
    """A client that takes all the time that it is given."""

    def __init__(self, given):
        self.given = given

    def close(self, timeout=0.3):
        self.given.append(timeout)
        time.sleep(timeout)


def test_clients_that_are_left_open_share_the_time_of_the_end(monkeypatch):
    given = []
    monkeypatch.setattr(client, "_LIVE", [Slow(given), Slow(given), Slow(given)])
    monkeypatch.setattr(client, "EXIT_SECONDS", 0.3)
    client._close()
    assert given[1:] == [0.1, 0.1]


class Broken:
    """A client that cannot be closed."""

    def close(self, timeout):
        raise OSError(28, "No space left on device")


def test_a_client_that_cannot_be_closed_at_the_end_does_not_keep_the_others_from_it(monkeypatch):
    given = []
    monkeypatch.setattr(client, "_LIVE", [Slow(given), Broken(), Slow(given)])
    monkeypatch.setattr(client, "EXIT_SECONDS", 0.1)
    with pytest.raises(OSError, match="No space"):
        client._close()
    assert len(given) == 2
