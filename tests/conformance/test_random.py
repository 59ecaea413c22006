"""Random sessions: every command has one reply, and two servers give the same ones.

``--commands N --seed S`` make them long, ``--reference`` compares them line by line with
another server that holds the same configuration (see ``--box-config``).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from hypothesis import HealthCheck, Phase, given, seed, settings

from .conftest import REPORTS
from .grammar import Grammar
from .keeper import Snapshot
from .sessions import Exchange, Host, Step, Volatile, count, steps
from .survey import Survey
from .wire import Address

COMMANDS_PER_EXAMPLE = 50


@contextmanager
def connected(addresses: list[Address]) -> Generator[list[Host]]:
    with ExitStack() as stack:
        hosts = [Host(address) for address in addresses]
        for host in hosts:
            stack.callback(host.close)
        yield hosts


def check_round_trips(host: Host, who: int, done: list[Exchange]) -> None:
    """What was accepted and not touched again reads back as written."""
    expected: dict[str, str] = {}
    for command, lines in done:
        block = command.target.partition(".")[0]
        # other writes to the block, or to everything, may change what is read
        for name in [n for n in expected if n.startswith(f"{block}.") or block.startswith("*")]:
            if "=" in command.lines[0]:
                del expected[name]
        if command.reads is not None and lines == ["OK"]:
            target, value = command.reads
            expected[target] = value
    for target, value in expected.items():
        assert host.peers[who].value(target) == value


def run(hosts: list[Host], session: list[Step], volatile: Volatile, log: list[int]) -> None:
    for step in session:
        log[0] += count(step)
        first, *others = [list(host.do(step)) for host in hosts]
        for other in others:
            for (command, lines), (_, same) in zip(first, other, strict=True):
                assert volatile.steady(command, lines) == volatile.steady(command, same), command
        check_round_trips(hosts[0], step.who, first)
    for host in hosts:
        for peer in host.peers:
            assert peer.ask("*ECHO still here?") == "OK =still here"


def test_random_sessions(box: Survey, request):
    config = request.config
    reference: str | None = config.getoption("--reference")
    addresses = [box.address, *([Address.parse(reference)] if reference else [])]
    grammar = Grammar(box, config.getoption("--except"))
    volatile = Volatile(addresses)
    snapshots = [Snapshot(address) for address in addresses]
    total = int(config.getoption("--commands") or 0)
    number = int(config.getoption("--seed") or 0)
    log = [0]

    def example(session: list[Step]) -> None:
        for snapshot in snapshots:
            snapshot.put_back()
        with connected(addresses) as hosts:
            run(hosts, session, volatile, log)

    try:
        while log[0] < total:
            search = settings(
                deadline=None,
                database=None,
                max_examples=max(5, (total - log[0]) // COMMANDS_PER_EXAMPLE),
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
                phases=[Phase.generate, Phase.shrink],
            )
            seed(number)(search(given(steps(grammar))(example)))()
            number += 1_000_000
    finally:
        for snapshot in snapshots:
            snapshot.put_back()
            snapshot.close()
    report = f"{log[0]} random commands, seed {config.getoption('--seed')}"
    if reference:
        report += f", no difference from {reference}"
    config.stash.setdefault(REPORTS, []).append(report)
