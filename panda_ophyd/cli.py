"""The command line: status 0 only when all went well, else one line that says why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table as ConsoleTable

from panda_ophyd.acquire import STALL_TIMEOUT, Order, acquire
from panda_ophyd.capture import CaptureResult, FileOptions
from panda_ophyd.check import State, check_file
from panda_ophyd.client import PandaAddress, PandaClient
from panda_ophyd.control import Err, Lines, Ok, Query, Reply
from panda_ophyd.errors import CommandError, PandaError
from panda_ophyd.fields import BoxInfo
from panda_ophyd.introspection import introspect
from panda_ophyd.preflight import waivers
from panda_ophyd.ratecolumn import RateColumn

app = typer.Typer(
    help="A PandA without an IOC: look at it, set it, capture from it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Host = Annotated[
    str,
    typer.Argument(
        metavar="HOST[:CONTROL[:DATA]]", help="The PandA, ports 8888 and 8889 unless given."
    ),
]
"""What every command takes."""

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


_Result = TypeVar("_Result")


class Failure(Exception):  # noqa: N818
    """Something went wrong that the user can be told in one line."""


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a command to its end; an error that we expect becomes one line and status 1.

    What it returns is printed by the caller, when the event loop has ended: who reads our
    output may stop at any time (``| head``), which is no error worth a traceback.
    """
    try:
        return asyncio.run(_terminable(work))
    except (PandaError, Failure, OSError) as exc:
        _fail(exc)
    except (KeyboardInterrupt, asyncio.CancelledError) as exc:
        err.print("panda-ophyd: interrupted")
        raise typer.Exit(130) from exc


def _fail(exc: Exception) -> NoReturn:
    """Tell of an error in one line, and end with status 1."""
    err.print(f"[red]panda-ophyd:[/red] {_one_line(exc)}", markup=True)
    raise typer.Exit(1) from exc


async def _terminable(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Take a request to terminate for Ctrl-C: disarm and close before going."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def terminate() -> None:
        asked.set()
        task.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError):  # no signals here
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        result = await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await task
        raise
    if asked.is_set():
        raise asyncio.CancelledError
    return result


def _one_line(exc: BaseException) -> str:
    text = str(exc) or type(exc).__name__
    if isinstance(exc, OSError) and exc.strerror and exc.filename:
        text = f"{exc.filename}: {exc.strerror}"
    text = "; ".join([text, *getattr(exc, "__notes__", ())])
    return " ".join(text.split()).replace("[", "\\[")


def _describe(box: BoxInfo, address: PandaAddress, seconds: float) -> None:
    fields = sum(len(block.fields) for block in box.blocks)
    out.print(
        f"{address}: server {box.sw_version}, FPGA {box.fpga_version}"
        f"{f', application {box.application}' if box.application else ''}, "
        f"clock {box.clock_frequency / 1e6:g} MHz",
        soft_wrap=True,
    )
    for block in box.blocks:
        table = ConsoleTable(
            title=f"{block.name} x {block.count}  {block.description}",
            title_justify="left",
            title_style="bold",
            show_header=False,
            box=None,
            padding=(0, 2),
        )
        for field in block.fields:
            kind = f"{field.cls} {field.subtype}".strip()
            table.add_row(field.name, kind, field.problem or field.description)
        out.print(table)
    instances = sum(block.count for block in box.blocks)
    out.print(
        f"{len(box.blocks)} block types, {instances} blocks, {fields} fields, "
        f"found in {seconds * 1e3:.0f} ms"
    )


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"panda-ophyd {version('panda-ophyd')}")
        raise typer.Exit


@app.callback()
def _options(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None: ...


@app.command()
def info(host: Host) -> None:
    """List the blocks and fields of a PandA."""

    async def work() -> tuple[BoxInfo, PandaAddress, float]:
        address = PandaAddress.parse(host)
        async with PandaClient(address) as client:
            begun = time.perf_counter()
            return await introspect(client), address, time.perf_counter() - begun

    _describe(*run(work()))


@app.command()
def get(
    host: Host,
    targets: Annotated[list[str], typer.Argument(help="PULSE1.DELAY, SEQ1.TABLE, *IDN, ...")],
) -> None:
    """Print the values of fields, attributes or system commands, a line each."""

    async def work() -> list[Reply]:
        async with PandaClient(PandaAddress.parse(host)) as client:
            return await client.request_all([Query(target) for target in targets])

    failed: list[str] = []
    for target, reply in zip(targets, run(work()), strict=True):
        prefix = f"{target} = " if len(targets) > 1 else ""
        match reply:
            case Ok(value):
                print(f"{prefix}{value or ''}")  # noqa: T201
            case Lines(lines):
                print("\n".join([*([prefix.strip()] if prefix else []), *lines]))  # noqa: T201
            case Err(message):
                failed.append(str(CommandError(f"{target}?", message)))
    if failed:
        _fail(Failure("; ".join(failed)))


@app.command(context_settings={"ignore_unknown_options": True})  # a value may be -1
def put(
    host: Host,
    target: Annotated[str, typer.Argument(help="PULSE1.DELAY, SEQ1.TABLE, ...")],
    value: Annotated[str, typer.Argument(help="The value; empty for an action.")] = "",
    table: Annotated[
        Path | None,
        typer.Option(help="A file of numbers, blank-separated words of a table, to write instead."),
    ] = None,
) -> None:
    """Set a field or an attribute."""

    async def work() -> None:
        async with PandaClient(PandaAddress.parse(host)) as client:
            if table is None:
                await client.assign(target, value)
                return
            words = table.read_text(encoding="utf-8").split()
            lines = [" ".join(words[i : i + 8]) for i in range(0, len(words), 8)]
            await client.assign_table(target, tuple(lines))

    run(work())


async def _capture(address: PandaAddress, path: Path, order: Order) -> CaptureResult:
    columns = (
        TextColumn("capturing"),
        BarColumn(),
        TextColumn("{task.completed} rows"),
        RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    with bar:
        shown = bar.add_task("rows", total=order.rows, sample_bytes=0)
        return await acquire(
            address,
            path,
            order,
            on_progress=lambda far: bar.update(
                shown, completed=far.rows, sample_bytes=far.sample_bytes
            ),
            on_interrupt=lambda: out.print("interrupted; disarming, and keeping what was captured"),
        )


def _check_rows(path: Path, result: CaptureResult) -> None:
    """Refuse to call a success what nobody can have wanted."""
    if not result.rows:
        raise Failure(
            f"{path}: the acquisition ended {result.reason}, but it has no rows: nothing triggered"
            " PCAP while it was enabled; look at PCAP.ENABLE, PCAP.GATE and PCAP.TRIG"
        )


@app.command()
def capture(
    host: Host,
    path: Annotated[Path, typer.Argument(metavar="FILE.h5", help="The file to write.")],
    arm_it: Annotated[
        bool, typer.Option("--arm", help="Arm PCAP; without it, wait for somebody else to.")
    ] = False,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Keep so many rows, and disarm when they are on disk.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="Disarm after so long.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Fail with a report when a row is so many seconds late, 0 for never."
            f" {STALL_TIMEOUT:g} unless --seconds is given.",
        ),
    ] = None,
    waive: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="A check not to make before arming, or all."),
    ] = None,
    bits: Annotated[
        bool, typer.Option("--bits", help="Unpack captured words of bits into named datasets.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Keep integers, with scale and offset as attributes.")
    ] = False,
    compression: Annotated[
        str, typer.Option(help="gzip, gzip:1 to gzip:9, lzf, or with hdf5plugin blosc, zstd, ...")
    ] = "",
    plain: Annotated[
        bool, typer.Option("--plain", help="Nothing but datasets at the root of the file.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
) -> None:
    """Write one acquisition to an HDF5 file. Ctrl-C disarms and keeps what was captured."""

    async def work() -> CaptureResult:
        address = PandaAddress.parse(host)
        late = timeout if timeout is not None else STALL_TIMEOUT if seconds is None else 0.0
        order = Order(
            arm=arm_it,
            rows=rows,
            seconds=seconds,
            waive=waivers(waive or (), "--waive"),
            stall=late or None,
            options=FileOptions(bits=bits, plain=plain, raw=raw, compression=compression),
        )
        replaced = overwrite and path.exists()
        if replaced and not path.is_file():
            raise Failure(f"{path}: it is no file, so it is not replaced")
        # The old file goes when the new one is whole, not before.
        target = path.with_name(f"{path.stem}.{time.time_ns()}{path.suffix}") if replaced else path
        try:
            result = await _capture(address, target, order)
            _check_rows(target, result)
        except BaseException:
            if replaced and target.exists():
                err.print(f"{path} is as it was; what was captured is in {target}")
            raise
        target.replace(path)
        return result

    result = run(work())
    out.print(
        f"{path}: {result.rows} rows, ended {result.reason}, "
        f"{result.rate:.0f} rows/s, {result.bytes / 1e6:.3f} MB",
        soft_wrap=True,
    )


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.h5...", help="Files to judge.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Make sure that all rows are there; do not read them.")
    ] = False,
) -> None:
    """Judge files from what they hold: status 0 only if all of them are good."""
    good = True
    for path in files:
        report = check_file(path, thorough=not quick)
        good &= report.state is State.GOOD
        print(json.dumps(report.to_json()) if as_json else report)  # noqa: T201
    if not good:
        raise typer.Exit(1)


@app.command()
def demo(
    panda: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:CONTROL[:DATA]]",
            help="A real box: discovery and a clock-triggered capture, in place of the simulator.",
        ),
    ] = None,
    directory: Annotated[Path, typer.Option(help="Where the file and the plot go.")] = Path(
        "panda-demo"
    ),
) -> None:
    """Run a fly scan from beginning to end, on the built-in simulator unless --panda is given."""
    from ophyd_async.core import NotConnectedError  # noqa: PLC0415  the framework takes a second

    from panda_ophyd import demo as demonstration  # noqa: PLC0415  it needs the demo extra

    try:
        demonstration.main(panda, directory)
    except (PandaError, NotConnectedError, demonstration.DemoError, OSError) as exc:
        err.print(f"[red]panda-ophyd:[/red] {_one_line(exc)}", markup=True)
        raise typer.Exit(1) from exc


@app.command()
def rehearse(
    host: Annotated[str, typer.Argument(metavar="HOST|FILE", help="The PandA, or its box file.")],
    plan: Annotated[str, typer.Argument(metavar="MODULE:PLAN", help="Called as plan(panda, ...).")],
    motor: Annotated[
        list[str] | None, typer.Option(metavar="NAME=INENC1.VAL,SCALE[,OFFSET[,VELOCITY]]")
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep the files there.")] = None,
    watch: Annotated[bool, typer.Option(help="Look at every trigger; without is faster.")] = True,
) -> None:
    """Run a plan on a simulated copy of a PandA, which is only asked, and tell what it would do."""
    from panda_ophyd.rehearsal import command  # noqa: PLC0415  the framework takes a second

    try:
        well = command.main(host, plan, motor or (), keep, watch, out)
    except (PandaError, OSError) as exc:
        err.print(f"[red]panda-ophyd:[/red] {_one_line(exc)}", markup=True)
        raise typer.Exit(1) from exc
    if not well:
        raise typer.Exit(1)


def main() -> None:
    """Entry point of ``panda-ophyd``."""
    app()
