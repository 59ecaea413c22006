"""Every command of pandablocks gives over our connection what it gives over its own."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Any

import pytest
from pandablocks import commands as pb  # pyright: ignore[reportMissingTypeStubs]
from pandablocks.connections import (  # pyright: ignore[reportMissingTypeStubs]
    ControlConnection,
)

from panda_ophyd.client import PandaClient
from panda_ophyd.errors import CommandError, FieldValueError, PandaTimeoutError

# One field of each class that a command treats in its own way; the texts are ours.
FIELDS = [
    "TABLE 7 table",
    "ENABLE 0 bit_mux",
    "POSA 1 pos_mux",
    "OUTA 2 bit_out",
    "VAL 3 pos_out",
    "DELAY 4 time",
    "PRESCALE 5 param time",
    "REPEATS 6 param uint",
    "MODE 8 read enum",
    "GAIN 9 param scalar",
    "TS_TRIG 10 ext_out timestamp",
    "BITS0 11 ext_out bits",
    "FORCE 12 write action",
    "NOVEL 13 quantum foam",
]

# The first pattern that matches a request's first line has its answer.
ANSWERS = [
    (r"\*IDN\?", "OK =PandA SW: 4.1 FPGA: 4.1.7 86e5f0a2 07d202f8 rootfs: scripted"),
    (r"\*BLOCKS\?", ["TTLIN 6", "SEQ 2", "PCAP 1"]),
    (r"\*DESC\..*\?", "OK =What it is for"),
    (r"\*ENUMS\..*\?", ["One", "Two", "Three"]),
    (r"(SEQ|PCAP)\.\*\?", FIELDS),
    (r".*\.FIELDS\?", ["15:0 REPEATS uint", "19:16 TRIGGER enum", "63:32 POSITION int"]),
    (r"(SEQ|PCAP)\..*\.BITS\?", ["TTLIN1.VAL", "", "TTLIN2.VAL"]),
    (r".*\.(MAX|MAX_LENGTH|MAX_DELAY|CAPTURE_WORD|ROW_WORDS)\?", "OK =31"),
    (r".*\.(SCALE|OFFSET|MIN)\?", "OK =2"),
    (r".*\.UNITS\?", "OK =mm"),
    (r"\*CHANGES\.ATTR\?", ["INENC1.VAL.UNITS=mm", "INENC1.VAL.SCALE=2"]),
    (r"\*CHANGES\.TABLE\?", ["SEQ1.TABLE<"]),
    (r"\*CHANGES\.METADATA\?", ["*METADATA.LABEL=Hello", "*METADATA.LAYOUT<"]),
    (r"\*CHANGES.*\?", ["PCAP.TRIG=ZERO", "SEQ1.TABLE<", "BAD.ENUM (error)"]),
    (r"SEQ1\.TABLE(\.B)?\?", ["AQAAAAIA", "AwAAAAQA"]),
    (r"\*METADATA\.LAYOUT\?", ["<xml/>"]),
    (r"REFUSED.*", "ERR No such block"),
    (r".*\?", "OK =1"),
    (r".*", "OK"),
]

COMMANDS = [
    pb.Raw(["PCAP.ACTIVE?"]),
    pb.Raw(["SEQ1.TABLE<", "1", "2", ""]),
    pb.Raw(["SEQ1.TABLE?"]),
    pb.Get("PCAP.ACTIVE"),
    pb.Get("SEQ1.TABLE"),
    pb.GetLine("PCAP.ACTIVE"),
    pb.GetMultiline("SEQ1.TABLE"),
    pb.Put("PCAP.TRIG", "ZERO"),
    pb.Put("SFP3_SYNC_IN1.SYNC_RESET"),
    pb.Put("SEQ1.TABLE", ["1", "2", "3", "4"]),
    pb.Append("SEQ1.TABLE", ["1", "2", "3", "4"]),
    pb.Append("SEQ1.TABLE", ["1", "2", "3", "4"], last=True),
    pb.Arm(),
    pb.Disarm(),
    pb.GetBlockInfo(),
    pb.GetBlockInfo(skip_description=True),
    pb.GetFieldInfo("SEQ"),
    pb.GetFieldInfo("SEQ", extended_metadata=False),
    pb.GetPcapBitsLabels(),
    *(pb.GetChanges(group) for group in pb.ChangeGroup),
    pb.GetChanges(pb.ChangeGroup.ALL, get_multiline=True),
    pb.GetState(),
    pb.SetState(["PCAP.TRIG=ZERO", "SEQ1.TABLE<B", "AQAAAAIA", "", "*METADATA.LABEL=Hello"]),
    pb.Identify(),
]


def answer(line: str) -> bytes:
    reply = next(reply for pattern, reply in ANSWERS if re.fullmatch(pattern, line))
    if isinstance(reply, str):
        return f"{reply}\n".encode()
    return "".join(f"!{element}\n" for element in reply).encode() + b".\n"


async def scripted(peer) -> None:
    while line := (await peer.reader.readline()).decode().rstrip("\n"):
        if re.match(r"[^?=]*<", line):
            while await peer.reader.readline() != b"\n":
                pass
        await peer.say(answer(line))


def by_pandablocks(command: pb.Command[Any]) -> Any:
    """Run a command over pandablocks' own connection, with the same answers."""
    connection = ControlConnection()
    connection.set_api((4, 1))
    to_send = connection.send(command)
    while to_send:
        answers, body = b"", False
        for line in to_send.decode().split("\n")[:-1]:
            if body:
                body = bool(line)
            else:
                body = bool(re.match(r"[^?=]*<", line))
                answers += answer(line)
        to_send = connection.receive_bytes(answers)
    [(_, response)] = connection.responses()
    return response


@pytest.mark.parametrize("command", COMMANDS, ids=repr)
async def test_a_command_gives_what_pandablocks_gives(serve, command: pb.Command[Any]) -> None:
    async with PandaClient(await serve(scripted)) as client:
        result = await client.send(command)
        assert result == by_pandablocks(command)
        assert type(result) is type(by_pandablocks(command))


async def test_one_command_object_may_run_twice_at_once(serve) -> None:
    command = pb.GetFieldInfo("SEQ")
    async with PandaClient(await serve(scripted)) as client:
        one, two, other = await asyncio.gather(
            client.send(command), client.send(command), client.send(pb.Get("PCAP.ACTIVE"))
        )
    assert one == two == by_pandablocks(command)
    assert other == "1"


async def test_exchanges_yielded_together_are_one_round_trip(serve) -> None:
    async with PandaClient(await serve(scripted)) as client:
        before = client.round_trips
        assert len(await client.send(pb.GetBlockInfo())) == 3
        assert client.round_trips == before + 2  # *BLOCKS?, then all descriptions


@pytest.mark.parametrize(
    "command",
    [
        pb.Raw(["REFUSED?"]),
        pb.Get("REFUSED"),
        pb.GetLine("REFUSED"),
        pb.GetMultiline("REFUSED"),
        pb.Put("REFUSED", "1"),
        pb.Put("REFUSED.TABLE", ["1"]),
        pb.Append("REFUSED.TABLE", ["1"]),
        pb.SetState(["REFUSED=1", "REFUSED.X=2"]),
    ],
    ids=repr,
)
async def test_a_refusal_is_raised_before_the_command_sees_it(serve, command) -> None:
    async with PandaClient(await serve(scripted)) as client:
        with pytest.raises(CommandError, match=r"^REFUSED.* refused by the PandA: No such block"):
            await client.send(command)
        assert await client.query("PCAP.ACTIVE") == "1"


async def test_refusals_after_the_first_are_in_the_notes(serve) -> None:
    state = ["REFUSED=1", "PCAP.TRIG=ZERO", "REFUSED.X=2"]
    async with PandaClient(await serve(scripted)) as client:
        with pytest.raises(CommandError, match=r"REFUSED=1") as caught:
            await client.send(pb.SetState(state))
    (note,) = caught.value.__notes__
    assert note.startswith("and REFUSED.X=2 refused by the PandA: No such block")


async def test_an_answer_of_the_other_kind_is_an_error(serve) -> None:
    async with PandaClient(await serve(scripted)) as client:
        with pytest.raises(CommandError, match=r"SEQ1.TABLE\? .*with lines, not with one value"):
            await client.send(pb.GetLine("SEQ1.TABLE"))
        with pytest.raises(CommandError, match=r"with one value, not with lines"):
            await client.send(pb.GetMultiline("PCAP.ACTIVE"))


@pytest.mark.parametrize("lines", [["A?", "B?"], [""], ["SEQ1.TABLE<", "1"], ["*IDN?", ""]])
async def test_lines_that_would_shift_the_answers_are_refused(serve, lines: list[str]) -> None:
    async with PandaClient(await serve(scripted)) as client:
        with pytest.raises(FieldValueError):
            await client.send(pb.Raw(lines))
        assert await client.query("PCAP.ACTIVE") == "1"


async def test_a_command_needing_a_newer_server_says_so(serve) -> None:
    async def old(peer) -> None:
        await peer.expect(b"*IDN?\n")
        await peer.say(b"OK =PandA SW: 2.0.2 FPGA: 2.0.2 00000000 00000000 rootfs: old\n")
        await peer.stay()

    async with PandaClient(await serve(old)) as client:
        with pytest.raises(pb.VersionError):
            await client.send(pb.Append("SEQ1.TABLE", ["1"], last=True))


async def test_a_server_without_version_number_is_taken_as_the_oldest(serve, caplog) -> None:
    async def odd(peer) -> None:
        await peer.expect(b"*IDN?\n")
        await peer.say(b"OK =PandA SW: my-branch FPGA: 0.0.0 00000000 00000000 rootfs: dev\n")
        await scripted(peer)

    async with PandaClient(await serve(odd)) as client:
        assert await client.send(pb.Get("PCAP.ACTIVE")) == "1"
    assert "no version number in 'PandA SW: my-branch" in caplog.text


async def test_a_command_takes_a_timeout_of_its_own(serve) -> None:
    async def mute(peer) -> None:
        await peer.identify()
        await peer.stay()

    async with PandaClient(await serve(mute)) as client:
        with pytest.raises(PandaTimeoutError, match=r"A\? not answered within 0.01 s"):
            await client.send(pb.Get("A"), timeout=0.01)


OPTIMISED = """
import asyncio, sys
from pandablocks.commands import GetLine, GetMultiline, Put
from panda_ophyd.client import PandaAddress, PandaClient

ANSWERS = {
    b"*IDN?": b"OK =PandA SW: 4.1 FPGA: 0",
    b"ONE?": b"OK =1",
    b"MANY?": b"!1\\n.",
    b"NO=1": b"ERR No",
}

async def session(reader, writer):
    while line := await reader.readline():
        writer.write(ANSWERS[line.strip()] + b"\\n")
    writer.close()

async def main():
    assert False, "this is no test without -O"
    server = await asyncio.start_server(session, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with PandaClient(PandaAddress("127.0.0.1", port)) as client:
        for command in (Put("NO", "1"), GetLine("MANY"), GetMultiline("ONE")):
            try:
                print(await client.send(command))
            except Exception as error:
                print(type(error).__name__)

asyncio.run(main())
"""


async def test_refusals_are_noticed_when_python_leaves_out_asserts() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-O",
        "-c",
        OPTIMISED,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert out.decode().split() == ["CommandError"] * 3, err.decode()
