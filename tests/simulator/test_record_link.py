"""The recorder's own client, against a server that does what a test tells it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from panda_simulator.record import Link, RecordError, parse_address


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], object]], tuple[str, int]]]:
    """Accept one connection and give it to a function, in a thread."""
    server = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(script: Callable[[socket.socket], object]) -> tuple[str, int]:
        def run() -> None:
            connection, _ = server.accept()
            with connection:
                script(connection)

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return server.getsockname()

    yield start
    for thread in threads:
        thread.join(10)
    server.close()


def ask(address: tuple[str, int], *queries: str, timeout: float = 10.0):
    link = Link(*address, timeout=timeout)
    try:
        return link.ask(queries)
    finally:
        link.close()


def test_replies_are_found_however_they_are_cut(serve):
    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        for byte in b"OK =x y\n!a\n!.\n.\nOK\nERR No such field\n.\n":
            connection.sendall(bytes([byte]))

    assert ask(serve(script), "a?", "b?", "c?", "d?", "e?") == [
        ("OK =x y",),
        ("!a", "!.", "."),
        ("OK",),
        ("ERR No such field",),
        (".",),
    ]


def test_many_queries_are_asked_a_hundred_at_a_time(serve):
    sizes: list[int] = []

    def script(connection: socket.socket) -> None:
        seen = 0
        while seen < 250:
            lines = connection.recv(100000).count(b"\n")
            sizes.append(lines)
            seen += lines
            connection.sendall(b"OK =1\n" * lines)

    counted: list[int] = []
    host, port = serve(script)
    link = Link(host, port, progress=counted.append)
    assert len(link.ask([f"Q{n}?" for n in range(250)])) == 250
    link.close()
    assert max(sizes) <= 100
    assert counted == list(range(1, 251))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", r"b\? has no answer: the connection was closed"),
        (b"OK =1\n!a\n!b\n", r"b\? has no answer: the connection was closed"),
        (b"OK =1\nOK =2", r"b\? has no answer: the connection was closed"),
        (b"HTTP/1.1 400 Bad Request\n", r"a\? was answered by 'HTTP/1.1 400 Bad Request': is it"),
        (b"!a\n!b\nOK\n", r"a\? was answered by 'OK': is it a PandA"),
        (b"OKAY\n", r"a\? was answered by 'OKAY'"),
        (b"x" * 100000, r"a\? was answered without end: is it a PandA"),
    ],
)
def test_a_lost_link_and_a_malformed_reply_are_one_line(serve, sent, reason):
    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(sent or b"OK =1\n")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1000)

    address = serve(script)
    with pytest.raises(RecordError, match=reason) as refusal:
        ask(address, "a?", "b?")
    assert str(refusal.value).startswith(f"{address[0]}:{address[1]}: ")
    assert "\n" not in str(refusal.value)


def test_silence_is_not_waited_for_for_ever(serve):
    answered = threading.Event()
    address = serve(lambda connection: answered.wait(10))
    with pytest.raises(RecordError, match=r"a\?: nothing within 0\.05 s"):
        ask(address, "a?", timeout=0.05)
    answered.set()


def test_nobody_there_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(RecordError, match=rf"^127\.0\.0\.1:{port}: connect: .*refused$"):
        Link("127.0.0.1", port)
    with pytest.raises(RecordError, match=r"^no such host\.invalid:8888: connect: "):
        Link("no such host.invalid")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("panda1", ("panda1", 8888)),
        ("panda1:1234", ("panda1", 1234)),
        ("10.0.0.1:1234:1235", ("10.0.0.1", 1234)),
    ],
)
def test_an_address_is_a_host_and_perhaps_a_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", ":8888", "a:b", "a:", "a:0", "a:65536", "a:1:2:3", "::1"])
def test_other_addresses_are_refused(text):
    with pytest.raises(ValueError, match=r"is not HOST or HOST:CONTROL"):
        parse_address(text)
