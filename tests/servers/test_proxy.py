from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.servers.proxy import Proxy, proxying
from tests.servers.server import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PATIENCE = 5.0


class Echo:
    """A server that answers each line in capital letters, and remembers them all."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            try:
                for line in lines:
                    self.heard.append(line)
                    connection.sendall(line.upper())
            except OSError:
                pass  # it was cut
            self.heard.append(b"")

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with proxying(echo.port) as made:
        yield made


@contextmanager
def client(proxy: Proxy) -> Generator[socket.socket]:
    with socket.create_connection((LOOPBACK, proxy.port), timeout=PATIENCE) as made:
        yield made


def ask(connection: socket.socket, line: bytes) -> bytes:
    connection.sendall(line)
    answer = b""
    while not answer.endswith(b"\n"):
        more = connection.recv(1024)
        if not more:
            return answer
        answer += more
    return answer


def until(echo: Echo, count: int) -> list[bytes]:
    """Wait until the server has heard so many lines; an end counts as an empty one."""
    deadline = time.monotonic() + PATIENCE
    while len(echo.heard) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    return echo.heard


def is_silent(connection: socket.socket, seconds: float = 0.05) -> bool:
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(PATIENCE)
    return False


def test_all_that_is_said_gets_through_and_is_counted(proxy: Proxy) -> None:
    with client(proxy) as one, client(proxy) as other:
        assert ask(one, b"a\n") == b"A\n"
        assert ask(one, b"b" * 300_000 + b"\n") == b"B" * 300_000 + b"\n"
        assert ask(other, b"c\nd\n") in {b"C\n", b"C\nD\n"}
        counts = proxy.counts

        assert (counts.connections, counts.trips) == (2, 3)
        assert (counts.to_server, counts.lost) == (300_007, 0)


def test_an_end_gets_through_both_ways(proxy: Proxy, echo: Echo) -> None:
    with client(proxy) as one:
        one.sendall(b"last\n")
        one.shutdown(socket.SHUT_WR)

        assert one.recv(1024) == b"LAST\n"
        assert one.recv(1024) == b""
    assert until(echo, 2) == [b"last\n", b""]


def test_a_slow_network_delays_each_way_and_keeps_the_order(proxy: Proxy) -> None:
    proxy.delay = 0.03
    with client(proxy) as one:
        before = time.monotonic()
        assert ask(one, b"a\n") == b"A\n"
        assert time.monotonic() - before >= 0.06
        one.sendall(b"b\n")
        proxy.delay = 0.0
        answers = ask(one, b"c\n")
        while len(answers) < 4:
            answers += one.recv(1024)
        assert answers == b"B\nC\n"


def test_what_is_said_together_is_delayed_together(proxy: Proxy) -> None:
    proxy.delay = 0.1
    with client(proxy) as one:
        before = time.monotonic()
        one.sendall(b"".join(b"%d\n" % n for n in range(5)))
        answers = b""
        while len(answers) < 10:
            answers += one.recv(1024)

        assert time.monotonic() - before < 0.5


def test_a_black_hole_holds_all_back_until_it_ends(proxy: Proxy, echo: Echo) -> None:
    with client(proxy) as one:
        assert ask(one, b"a\n") == b"A\n"
        proxy.hold()
        one.sendall(b"b\n")
        with client(proxy) as late:  # taken, and held likewise
            late.sendall(b"c\n")
            assert is_silent(one)
            assert is_silent(late)
            assert echo.heard == [b"a\n"]
            proxy.flow()

            assert one.recv(1024) == b"B\n"
            assert late.recv(1024) == b"C\n"


def test_what_a_client_said_before_it_left_comes_out_of_a_black_hole(
    proxy: Proxy, echo: Echo
) -> None:
    proxy.hold()
    with client(proxy) as one:
        one.sendall(b"late\n")
    assert echo.heard == []
    proxy.flow()

    assert until(echo, 2) == [b"late\n", b""]


def test_a_cut_is_a_reset_on_both_sides(proxy: Proxy, echo: Echo) -> None:
    with client(proxy) as one, client(proxy) as other:
        for each in (one, other):
            assert ask(each, b"a\n") == b"A\n"
        proxy.cut()
        for each in (one, other):
            with pytest.raises(ConnectionResetError):
                each.recv(1024)
    assert until(echo, 4)[2:] == [b"", b""]
    with client(proxy) as new:
        assert ask(new, b"b\n") == b"B\n"


def test_a_cut_ends_what_a_black_hole_holds(proxy: Proxy, echo: Echo) -> None:
    with client(proxy) as one:
        assert ask(one, b"a\n") == b"A\n"
        proxy.hold()
        one.sendall(b"b\n")
        assert is_silent(one)
        proxy.cut()
        proxy.flow()

        assert until(echo, 2) == [b"a\n", b""]


@pytest.mark.parametrize("delay", [0.0, 0.02])
def test_an_answer_is_lost_and_its_request_gets_through(
    proxy: Proxy, echo: Echo, delay: float
) -> None:
    with client(proxy) as one, client(proxy) as other:
        assert ask(one, b"wanted before\n") == b"WANTED BEFORE\n"
        proxy.delay = delay
        proxy.lose_answer(b"wanted")
        assert ask(one, b"a\n") == b"A\n"
        assert proxy.is_losing
        with pytest.raises(ConnectionResetError):
            ask(one, b"wanted\n")

        assert (proxy.is_losing, proxy.counts.lost) == (False, 1)
        assert until(echo, 4) == [b"wanted before\n", b"a\n", b"wanted\n", b""]
        assert ask(other, b"wanted\n") == b"WANTED\n"


def test_all_requests_of_a_lost_answer_get_through(proxy: Proxy, echo: Echo) -> None:
    proxy.delay = 0.01
    proxy.lose_answer(b"5")
    lines = [b"%d\n" % n for n in range(10)]
    with client(proxy) as one:
        one.sendall(b"".join(lines))
        with pytest.raises(ConnectionResetError):
            one.recv(1024)

    assert until(echo, 11) == [*lines, b""]


def test_the_next_answer_is_lost_if_no_request_is_named(proxy: Proxy) -> None:
    with client(proxy) as one:
        proxy.lose_answer()
        with pytest.raises(ConnectionResetError):
            ask(one, b"a\n")
    with client(proxy) as new:
        assert ask(new, b"b\n") == b"B\n"


def test_new_connections_are_refused_and_old_ones_go_on(proxy: Proxy) -> None:
    port = proxy.port
    with client(proxy) as one:
        assert ask(one, b"a\n") == b"A\n"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=PATIENCE)
        assert ask(one, b"b\n") == b"B\n"
        proxy.accept()
        assert proxy.port == port
        with client(proxy) as new:
            assert ask(new, b"c\n") == b"C\n"


def test_a_server_that_is_not_there_is_a_reset() -> None:
    with socket.socket() as place:
        place.bind((LOOPBACK, 0))  # and does not listen
        with proxying(place.getsockname()[1]) as proxy:
            with pytest.raises(ConnectionResetError), client(proxy) as one:
                one.recv(1)
            assert proxy.counts.connections == 1


def test_a_proxy_ends_with_its_block(echo: Echo) -> None:
    with proxying(echo.port) as proxy, client(proxy) as one:
        assert ask(one, b"a\n") == b"A\n"
        proxy.stop()
        with pytest.raises(ConnectionResetError):
            one.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, proxy.port), timeout=PATIENCE)
