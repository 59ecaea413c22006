"""The command line: serve a box, answer a trace, or draw a timing diagram.

Source: protocol.md 1.1; trace_protocol.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import shlex
import signal
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, TextIO, cast

import typer

from panda_simulator.bench import PATIENCE, ask
from panda_simulator.box import Box, ConfigError
from panda_simulator.builtin import DEFAULT_BOX, box_directory, box_names
from panda_simulator.clock import Speed
from panda_simulator.echo import EchoHardware
from panda_simulator.faults import describe_faults
from panda_simulator.record import TIMEOUT, RecordError, record_box
from panda_simulator.simulator import Simulator
from panda_simulator.state import StateError, StateTimes
from panda_simulator.versions import NEWEST, OLDEST

app = typer.Typer(
    help="A simulated PandA.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


_LATENCY = "Signals need as many ticks from block to block as in the FPGA, not one."


class HardwareChoice(Enum):
    """What is behind the registers."""

    blocks = "blocks"
    echo = "echo"
    firehose = "firehose"


@app.command(epilog="\n\n".join(["Faults:", *describe_faults()]))
def serve(
    control_port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free port.")] = 8888,
    data_port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free port.")] = 8889,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    box: Annotated[
        str, typer.Option(help=f"Name of a built-in box: {', '.join(box_names())}.")
    ] = DEFAULT_BOX,
    config_dir: Annotated[
        Path | None, typer.Option(help="Box files (config, registers, description) to use instead.")
    ] = None,
    box_file: Annotated[
        Path | None, typer.Option(help="Box to use instead, as `record` wrote it.")
    ] = None,
    hardware: Annotated[
        HardwareChoice, typer.Option(help="Blocks that tick, or registers that only remember.")
    ] = HardwareChoice.blocks,
    speed: Annotated[
        str,
        typer.Option(
            metavar="FACTOR|free|stepped",
            help="Seconds of the box that pass in one; free: as fast as can be;"
            " stepped: when the bench port says `run`. Dates of both count from 2000.",
        ),
    ] = "1",
    server_version: Annotated[
        str | None,
        typer.Option(
            help=f"What to behave like, from {OLDEST} on, such as 2.1, 3.0 or 4.0;"
            f" {NEWEST} if not given, or that of the box file."
        ),
    ] = None,
    firehose: Annotated[
        float | None,
        typer.Option(
            metavar="MBPS",
            help="Load the data port with samples that count, instead of --hardware; "
            "0 is as fast as clients take them.",
        ),
    ] = None,
    firehose_samples: Annotated[
        int | None, typer.Option(help="Samples after which the firehose ends an acquisition.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File that keeps the settings over restarts.")
    ] = None,
    state_times: Annotated[
        str,
        typer.Option(
            metavar="POLL:HOLDOFF:BACKOFF",
            help="Seconds between looks for changes, from a change to writing, after writing.",
        ),
    ] = "20:30:60",
    rootfs: Annotated[str | None, typer.Option(help="Text at the end of *IDN?.")] = None,
    fpga: Annotated[
        str | None, typer.Option(help='Versions in *IDN?, such as "4.1.7 86e5f0a2 07d202f8".')
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE,...]",
            help="Something that goes wrong, see below; may be given again.",
        ),
    ] = None,
    bench_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="A port for commands about the simulator; 0 is any free port."
        ),
    ] = None,
    hardware_latency: Annotated[bool, typer.Option("--hardware-latency", help=_LATENCY)] = False,
    dma_rate: Annotated[
        float | None,
        typer.Option(
            metavar="MBPS", help="What PCAP can write to memory; more is a DMA data error."
        ),
    ] = None,
) -> None:
    """Serve a box until SIGINT or SIGTERM."""
    try:
        simulator = Simulator(
            box,
            config_dir=config_dir,
            box_file=box_file,
            hardware=hardware.value if firehose is None else "firehose",
            host=host,
            control_port=control_port,
            data_port=data_port,
            speed=cast("Speed", speed),  # which says if it is none
            server_version=server_version,
            firehose=firehose,
            firehose_samples=firehose_samples,
            state=state,
            state_times=StateTimes.parse(state_times),
            rootfs=rootfs,
            fpga=fpga,
            faults=fault or (),
            bench_port=bench_port,
            hardware_latency=hardware_latency,
            dma_rate=dma_rate,
        )
        asyncio.run(_serve(simulator))
    except (ConfigError, StateError, OSError, ValueError) as error:
        raise _failure(error) from error


def _failure(error: Exception) -> typer.Exit:
    """Say what is wrong in one line, and return what ends the command."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        # without a number that says nothing more
        named = error.filename is not None
        text = f"{error.filename}: {error.strerror}" if named else error.strerror
    typer.echo(f"panda-simulator: {text}", err=True)
    return typer.Exit(1)


async def _serve(simulator: Simulator) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with simulator:
        bench = "" if simulator.bench_port is None else f" bench 127.0.0.1:{simulator.bench_port}"
        typer.echo(
            f"listening: control {simulator.host}:{simulator.control_port}"
            f" data {simulator.host}:{simulator.data_port}{bench}"
        )
        sys.stdout.flush()
        ends = {asyncio.create_task(stop.wait()), asyncio.create_task(simulator.wait_failed())}
        _, left = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()


@app.command(name="fault")
def send_fault(
    bench: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Bench port of a simulator.")],
    name: Annotated[
        str | None, typer.Argument(help="Name of a fault, or with --clear also its number.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its parameters.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Clear that fault, or all.")] = False,
) -> None:
    """Have something go wrong in a simulator that runs; without a name, show what does."""
    verb = "clear" if clear else "fault" if name else "status"
    words = [verb, *([name] if name else []), *(settings or ())]
    try:
        typer.echo(ask(bench, shlex.join(words)))
    except (OSError, ValueError) as error:
        raise _failure(error) from error


@app.command(
    name="bench",
    # a negative number is a word of the command, not an option
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def send_command(
    bench: Annotated[str, typer.Argument(metavar="HOST:PORT", help="Bench port of a simulator.")],
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND [WORD]...", help="Try help first.")
    ],
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds to wait for the reply.")
    ] = PATIENCE,
) -> None:
    """Send a command to a simulator that runs: move an axis, drive an input, have a fault."""
    try:
        typer.echo(ask(bench, shlex.join(command), timeout))
    except (OSError, ValueError) as error:
        raise _failure(error) from error


@app.command()
def faults() -> None:
    """List all faults with their parameters."""
    typer.echo("\n".join(describe_faults()))


@app.command()
def boxes() -> None:
    """List the built-in boxes, with their blocks and how many there are of each."""
    for name in box_names():
        box = Box(box_directory(name), lambda _: EchoHardware())
        counts = sorted((block.name, block.count) for block in box.blocks.values())
        listed = ", ".join(f"{block} {count}" for block, count in counts)
        typer.echo(f"{name}: {len(counts)} kinds of blocks: {listed}")


@app.command()
def record(
    host: Annotated[
        str | None, typer.Argument(metavar="HOST[:CONTROL]", help="PandA to record.")
    ] = None,
    exchanges: Annotated[
        Path | None,
        typer.Option(help="JSON of commands and replies to take instead of a PandA's answers."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds to wait for an answer.")
    ] = TIMEOUT,
) -> None:
    """Ask a PandA for everything it says of itself, and write a box file to the output.

    Nothing is written to the PandA. Play the file with `serve --box-file`.
    """
    try:
        typer.echo(record_box(host, exchanges, timeout), nl=False)
    except (RecordError, ValueError) as error:
        raise _failure(error) from error


@app.command()
def trace() -> None:
    """Answer one JSON object a line on the input with one on the output."""
    # imported here: the blocks are not needed to serve registers, nor typer by them
    from panda_simulator.trace import main as run_trace  # noqa: PLC0415

    if isinstance(sys.stdin, io.TextIOWrapper):
        # UTF-8 wherever it runs; what is none is answered like any other nonsense
        cast("io.TextIOWrapper[io.BufferedReader]", sys.stdin).reconfigure(
            encoding="utf-8", errors="replace"
        )
    with contextlib.suppress(BrokenPipeError):
        run_trace(cast("TextIO", sys.stdin), sys.stdout)


@app.command()
def timing(
    scripts: Annotated[list[Path], typer.Argument(help="Scripts, see docs/simulator.md.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Picture to write: .svg, .png or .pdf."),
    ] = None,
    first: Annotated[str | None, typer.Option("--from", help="First tick, or a time: 2us.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last tick, or a time.")] = None,
    text: Annotated[bool, typer.Option("--text", help="Print it in characters.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the edges as CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    columns: Annotated[int, typer.Option(min=40, help="Width of the text.")] = 100,
    width: Annotated[float, typer.Option(min=3, help="Width of the picture, inches.")] = 10.0,
    dpi: Annotated[int, typer.Option(min=30, help="Dots per inch of a PNG.")] = 150,
    hardware_latency: Annotated[bool, typer.Option("--hardware-latency", help=_LATENCY)] = False,
) -> None:
    """Run wired boxes from scripts, and draw their signals as timing diagrams."""
    # imported here: serving a box needs nothing of it
    from panda_simulator.timing import ScriptError  # noqa: PLC0415
    from panda_simulator.timing.command import Wishes, run  # noqa: PLC0415

    wishes = Wishes(output, first, last, text, csv, json, columns, width, dpi, hardware_latency)
    try:
        run(scripts, wishes, lambda part: typer.echo(part, nl=False))
    except (ScriptError, OSError, ValueError) as error:
        raise _failure(error) from error


def main() -> None:
    """Run the command line."""
    app()
