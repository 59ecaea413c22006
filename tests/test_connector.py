"""The device tree: everything the box has, under the names users know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ophyd_async.core import (
    Device,
    DeviceVector,
    NotConnectedError,
    SignalR,
    SignalRW,
    init_devices,
)
from ophyd_async.fastcs.panda import HDFPanda as UpstreamHDFPanda
from ophyd_async.fastcs.panda import SeqTable, SeqTrigger

from panda_ophyd import HDFPanda, PandaClient
from panda_ophyd.blocks import ClockBlock
from panda_ophyd.client import PandaAddress
from panda_simulator import Simulator

TRANSCRIPTS = Path(__file__).parent / "transcripts"


class Annotated(HDFPanda):
    clock: DeviceVector[ClockBlock]


class TextPeriod(Device):
    period: SignalRW[str]


class Mistaken(HDFPanda):
    clock: DeviceVector[TextPeriod]


class FluxBlock(Device):
    period: SignalRW[float]
    flux: SignalRW[float]


class Newer(HDFPanda):
    clock: DeviceVector[FluxBlock]


def tree(device: Device, prefix: str = "") -> Iterator[tuple[str, Device]]:
    for name, child in device.children():
        yield prefix + name, child
        yield from tree(child, f"{prefix}{name}.")


def ioc_children() -> dict[str, str]:
    lines = (TRANSCRIPTS / "pandabox-no-fmc.hdfpanda.txt").read_text().splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


@asynccontextmanager
async def rewriting_proxy(address: str, rewrite: Callable[[bytes], bytes]) -> AsyncGenerator[str]:
    """A box whose server says something else: each line to the client is rewritten."""
    target = PandaAddress.parse(address)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(target.host, target.control_port)

        async def forward() -> None:
            while data := await reader.read(65536):
                up_writer.write(data)
            up_writer.close()

        forwarding = asyncio.create_task(forward())
        try:
            while line := await up_reader.readline():
                writer.write(rewrite(line))
        except ConnectionError:
            pass
        finally:
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
            writer.close()
            up_writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"127.0.0.1:{port}:{target.data_port}"
    finally:
        server.close()
        await asyncio.sleep(0)


def test_it_is_upstreams_hdf_panda(path_provider):
    panda = HDFPanda("somewhere", path_provider)
    assert isinstance(panda, UpstreamHDFPanda)
    assert {panda: 1}[panda] == 1


async def test_every_child_of_the_ioc_route_is_there_with_its_class(panda):
    children = dict(tree(panda))
    missing = {name for name in ioc_children() if name not in children}
    assert missing == set()
    differing = {
        name: (kind, type(children[name]).__name__)
        for name, kind in ioc_children().items()
        if type(children[name]).__name__ != kind
    }
    assert differing == {}


async def test_every_signal_reads_and_describes(panda):
    signals = {name: child for name, child in tree(panda) if isinstance(child, SignalR)}
    assert len(signals) > 1200
    readings = await asyncio.gather(*(signal.read() for signal in signals.values()))
    datakeys = await asyncio.gather(*(signal.describe() for signal in signals.values()))
    for name, reading, datakey in zip(signals, readings, datakeys, strict=True):
        assert list(reading) == list(datakey) == [signals[name].name]


async def test_undeclared_blocks_are_added_and_named_after_the_device(panda):
    children: Any = panda
    assert isinstance(children.ttlout, DeviceVector)
    assert len(children.ttlout) == 10
    assert children.ttlout[10].val.name == "panda-ttlout-10-val"
    assert children.srgate[1].set_.source.endswith("/SRGATE1.SET")


async def test_a_signals_source_is_its_place_on_the_box(panda, simulator):
    assert panda.pulse[1].delay.source == f"panda://{simulator.address}/PULSE1.DELAY"


async def test_a_data_key_holds_units_limits_choices_and_description(panda):
    children: Any = panda
    delay = (await panda.pulse[1].delay.describe())["panda-pulse-1-delay"]
    assert delay["units"] == "s"
    assert delay["precision"] == 9
    lsb = (await children.inenc[1].lsb_discard.describe())["panda-inenc-1-lsb_discard"]
    assert lsb["limits"]["control"] == {"low": 0, "high": 31}
    edge = (await children.pcap.trig_edge.describe())["panda-pcap-trig_edge"]
    assert edge["choices"] == ["Rising", "Falling", "Either"]
    assert edge["description"]
    trig = (await children.pcap.trig.describe())["panda-pcap-trig"]
    assert trig["choices"][-2:] == ["ZERO", "ONE"]


async def test_units_in_a_data_key_are_those_of_the_moment(panda):
    await panda.seq[1].prescale_units.set("us")
    datakey = (await panda.seq[1].prescale.describe())["panda-seq-1-prescale"]
    assert datakey["units"] == "us"


async def test_an_annotated_block_is_filled(simulator, path_provider):
    panda = Annotated(simulator.address, path_provider, name="panda")
    await panda.connect()
    assert isinstance(panda.clock[2], ClockBlock)
    await panda.clock[2].period.set(0.5)
    assert await panda.clock[2].period.get_value() == 0.5
    await panda.disconnect()


async def test_an_annotation_of_another_type_is_refused_by_name(simulator, path_provider):
    panda = Mistaken(simulator.address, path_provider, name="panda")
    with pytest.raises(TypeError, match=r"CLOCK1\.PERIOD holds float"):
        await panda.connect()


async def test_an_annotation_the_box_has_not_is_a_warning_and_says_so_when_used(
    simulator, path_provider, caplog
):
    panda = Newer(simulator.address, path_provider, name="panda")
    with caplog.at_level(logging.WARNING):
        await panda.connect()
    assert "CLOCK1.FLUX does not exist" in caplog.text
    with pytest.raises(NotConnectedError, match=r"CLOCK1\.FLUX does not exist on this PandA"):
        await panda.clock[1].flux.get_value()
    await panda.disconnect()


async def test_a_second_connect_is_cached_and_a_forced_one_makes_a_new_session(panda):
    session = panda._panda_connector.session
    await panda.connect()
    assert panda._panda_connector.session is session
    await panda.connect(force_reconnect=True)
    assert panda._panda_connector.session is not session
    await panda.pulse[1].delay.set(0.25)
    assert await panda.pulse[1].delay.get_value() == 0.25


async def test_a_reconnection_keeps_what_was_set_here_and_revives_monitors(panda, until):
    children: Any = panda
    await children.inenc[1].val_dataset.set("x")
    await panda.data.flush_period.set("0.3")
    seen: list[float] = []
    panda.pulse[1].delay.subscribe(
        lambda reading: seen.append(reading["panda-pulse-1-delay"]["value"])
    )
    panda._panda_connector.session.client.abandon(ConnectionResetError("pulled the plug"))
    panda._panda_connector.session._fail(ConnectionResetError("pulled the plug"))
    await panda.connect(force_reconnect=True)
    assert await children.inenc[1].val_dataset.get_value() == "x"
    assert await panda.data.flush_period.get_value() == 0.3
    await panda.pulse[1].delay.set(0.125)
    await until(lambda: type(seen[-1]) is float and seen[-1] == 0.125)


async def test_many_boxes_connect_in_parallel(simulator, path_provider):
    async with init_devices():
        pandas = [HDFPanda(simulator.address, path_provider, name=f"p{n}") for n in range(3)]
        first, second, third = pandas
    assert [await panda.pcap.active.get_value() for panda in (first, second, third)] == [False] * 3
    for panda in pandas:
        await panda.disconnect()


async def test_an_unknown_host_is_one_line_that_names_it(path_provider):
    panda = HDFPanda("no-such-host.invalid", path_provider, name="panda")
    with pytest.raises(NotConnectedError) as caught:
        await panda.connect(timeout=5)
    assert "no-such-host.invalid" in str(caught.value)
    assert "unknown host" in str(caught.value)


async def test_a_refused_port_is_one_line_that_names_it(path_provider):
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    panda = HDFPanda(f"127.0.0.1:{port}", path_provider, name="panda")
    with pytest.raises(NotConnectedError, match=f"127.0.0.1:{port}"):
        await panda.connect(timeout=5)


async def test_undefined_trigger_codes_in_a_seq_table_read_as_their_numbers(
    simulator, path_provider
):
    async with PandaClient(simulator.address) as client:
        words = [1 | 14 << 16, 0, 3, 2, 1, 0, 3, 2]
        await client.assign_table("SEQ1.TABLE", (" ".join(map(str, words)),))
    panda = HDFPanda(simulator.address, path_provider, name="panda")
    await panda.connect()
    table = await panda.seq[1].table.get_value()
    assert list(table.trigger) == ["14", SeqTrigger.IMMEDIATE]
    await panda.seq[2].table.set(table)
    async with PandaClient(simulator.address) as client:
        assert [int(word) for word in await client.query_lines("SEQ2.TABLE")] == words
    await panda.disconnect()


async def test_a_table_is_written_and_read_back(panda):
    table = SeqTable.row(trigger="POSA>=POSITION", position=-5, time1=7, outa1=True, time2=9)
    await panda.seq[1].table.set(table)
    assert await panda.seq[1].table.get_value() == table
    children: Any = panda
    await children.seq[1].table_clear.trigger()
    assert len(await panda.seq[1].table.get_value()) == 0


async def test_a_table_longer_than_upstreams_class_allows_can_be_read(panda, simulator):
    async with PandaClient(simulator.address) as client:
        lines = tuple("1 0 3 2 " * 10 + "1 0 3 2" for _ in range(500))
        await client.assign_table("SEQ1.TABLE", lines)
    assert len(await panda.seq[1].table.get_value()) == 5500


async def test_an_unknown_field_class_is_a_string_with_one_warning(
    simulator, path_provider, caplog
):
    def rewrite(line: bytes) -> bytes:
        return line.replace(b"!TERM 0 param enum", b"!TERM 0 quantum superposed")

    async with rewriting_proxy(simulator.address, rewrite) as address:
        panda = HDFPanda(address, path_provider, name="panda")
        with caplog.at_level(logging.WARNING):
            await panda.connect()
        children: Any = panda
        assert await children.ttlin[1].term.get_value() == "High-Z"
        assert children.ttlin[1].term.datatype is str
        warnings = [r for r in caplog.records if "TERM" in r.getMessage()]
        assert len(warnings) == 1
        await panda.disconnect()


FLUX_CONFIG = """
FLUXCAP[2]
    POWER       param scalar 0.5 0 GW
    MODE        param enum
        0 Idle
        1 Time Travel
    ENGAGE      write action
    READY       bit_out
"""
FLUX_REGISTERS = """
FLUXCAP         30
    POWER       0
    MODE        1
    ENGAGE      2
    READY       120 121
"""


async def test_a_block_never_heard_of_is_there_with_all_its_fields(tmp_path, path_provider):
    built_in = files("panda_simulator") / "boxes" / "pandabox-no-fmc"
    more = {"config": FLUX_CONFIG, "registers": FLUX_REGISTERS, "description": ""}
    for name, text in more.items():
        (tmp_path / name).write_text((built_in / name).read_text() + text)
    async with Simulator(config_dir=tmp_path) as simulator:
        panda = HDFPanda(simulator.address, path_provider, name="panda")
        await panda.connect()
        children: Any = panda
        assert len(children.fluxcap) == 2
        await children.fluxcap[2].power.set(1.5)
        assert await children.fluxcap[2].power.get_value() == 1.5
        await children.fluxcap[1].mode.set("Time Travel")
        await children.fluxcap[1].engage.trigger()
        assert await children.fluxcap[1].ready.get_value() is False
        await panda.disconnect()


async def test_a_field_in_error_is_shown_as_text_with_the_servers_words(
    simulator, path_provider, caplog
):
    def rewrite(line: bytes) -> bytes:
        if line.startswith(b"!SYSTEM.TEMP_ZYNQ="):
            return b"!SYSTEM.TEMP_ZYNQ (error)\n"
        return line

    async with rewriting_proxy(simulator.address, rewrite) as address:
        panda = HDFPanda(address, path_provider, name="panda")
        with caplog.at_level(logging.WARNING):
            await panda.connect()
        children: Any = panda
        assert children.system.temp_zynq.datatype is str
        assert caplog.text.count("TEMP_ZYNQ") == 1
        await panda.disconnect()


async def test_a_box_without_sequencers_connects(simulator, path_provider, caplog):
    def rewrite(line: bytes) -> bytes:
        return b"" if line == b"!SEQ 2\n" else line

    async with rewriting_proxy(simulator.address, rewrite) as address:
        panda = HDFPanda(address, path_provider, name="panda")
        await panda.connect()
        assert len(panda.seq) == 0
        assert "SEQ does not exist on this PandA" in caplog.text
        await panda.disconnect()


async def test_mock_mode_opens_no_socket_and_fills_what_is_declared(path_provider):
    panda = HDFPanda("no-such-host.invalid", path_provider, name="panda")
    await panda.connect(mock=True)
    assert sorted(panda.seq) == [1, 2]
    assert await panda.pcap.active.get_value() is False
    await panda.pulse[1].delay.set(1.0)
    assert await panda.pulse[1].delay.get_value() == 1.0


async def test_mock_mode_with_a_described_box_has_all_of_it(panda, path_provider):
    mock = HDFPanda("no-such-host.invalid", path_provider, name="panda", box=panda.box)
    await mock.connect(mock=True)
    real, mocked = dict(tree(panda)), dict(tree(mock))
    assert set(real) == set(mocked)
    children: Any = mock
    await children.pcomp[1].inp.set("INENC1.VAL")
    assert await children.pcomp[1].inp.get_value() == "INENC1.VAL"
