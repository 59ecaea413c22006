"""What shows of a capture while it runs: rows that are in the file, seldom, and how much comes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import h5py
import pytest
from bluesky.callbacks import LivePlot, LiveTable
from bluesky.callbacks.best_effort import BestEffortCallback
from bluesky.run_engine import RunEngine, call_in_bluesky_event_loop
from event_model import DocumentNames, schema_validators
from ophyd_async.core import (
    DetectorTrigger,
    StaticFilenameProvider,
    StaticPathProvider,
    TriggerInfo,
    init_devices,
)

from panda_ophyd import HDFPanda, PandaError
from panda_ophyd.capture import LatestRow
from panda_ophyd.liveview import LiveView
from panda_simulator import Simulator, serve_in_thread

COUNTER = ("COUNTER1.OUT", "Value")
WIRING = {
    "CLOCK1.PERIOD.UNITS": "s",
    "CLOCK1.PERIOD": "0.001",
    "CLOCK1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.ENABLE": "PCAP.ACTIVE",
    "COUNTER1.TRIG": "CLOCK1.OUT",
    "COUNTER1.OUT.SCALE": "0.5",
    "COUNTER1.OUT.OFFSET": "100",
    "COUNTER1.OUT.UNITS": "mm",
    "COUNTER1.OUT.CAPTURE": "Value",
    "PCAP.TRIG": "CLOCK1.OUT",
    "PCAP.TRIG_EDGE": "Falling",
    "PCAP.ENABLE": "ONE",
    "PCAP.TS_TRIG.CAPTURE": "Value",
    "PCAP.BITS0.CAPTURE": "Value",
}
"""A box that captures scaled, consecutive numbers at 1 kHz while it is armed."""

KEYS = {
    "panda-data-live-row": None,
    "panda-data-live-counter1_out_value": "COUNTER1.OUT.Value",
    "panda-data-live-pcap_ts_trig_value": "PCAP.TS_TRIG.Value",
    "panda-data-live-pcap_bits0_value": "PCAP.BITS0.Value",
}


class Clock:
    """A capture whose rows the test makes."""

    def __init__(self) -> None:
        self.received = self.received_bytes = self.in_flight = self.most_in_flight = 0
        self.latest: LatestRow | None = None

    def bring(self, row: int) -> None:
        self.received, self.received_bytes = row + 1, 12 * (row + 1)
        self.latest = LatestRow(row, 1e9 + row, {"x": row * 0.5})


@pytest.fixture
async def view() -> AsyncIterator[LiveView]:
    view = LiveView("panda://here/DATA", lambda: 50.0)
    yield view
    view.end()


async def no_units() -> str | None:
    return None


def seen_of(view: LiveView) -> list[int]:
    rows: list[int] = []
    view.listen(lambda latest, _: rows.append(latest.row))
    return rows


async def test_the_first_row_shows_at_once_and_the_last_one_always(view):
    clock, rows = Clock(), seen_of(view)
    column = view.column(COUNTER, unsigned=False, units=no_units)
    assert math.isnan(column.value)
    view.begin(clock, {COUNTER: "x"})
    for row in range(5):
        clock.bring(row)
        view.news()
    assert rows == [0]
    view.end()
    assert rows == [0, 4]
    assert (view.row.value, column.value) == (4, 2.0)


async def test_a_row_that_came_too_soon_shows_when_it_is_time(view, until):
    clock, rows = Clock(), seen_of(view)
    view.begin(clock, {COUNTER: "x"})
    clock.bring(0)
    view.news()
    clock.bring(1)
    view.news()
    await until(lambda: rows == [0, 1])


async def test_rows_show_no_more_often_than_asked(view):
    clock, rows = Clock(), seen_of(view)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    view.begin(clock, {COUNTER: "x"})
    for row in range(60):
        clock.bring(row)
        view.news()
        await asyncio.sleep(0.002)
    assert 1 < len(rows) <= 1 + (loop.time() - begun) * 50


async def test_no_row_shows_when_none_is_asked_for():
    view = LiveView("panda://here/DATA", lambda: 0.0)
    clock, rows = Clock(), seen_of(view)
    view.begin(clock, {})
    clock.bring(0)
    view.news()
    view.end()
    assert rows == []


async def test_who_looks_and_fails_does_not_fail_the_capture(view):
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    clock = Clock()

    def fail(*_: Any) -> None:
        raise ValueError("no room in the plot")

    view.listen(fail)
    view.begin(clock, {})
    clock.bring(0)
    view.news()
    assert "no room in the plot" in str(told[0]["exception"])
    assert view.row.value == 0


async def test_a_column_that_is_not_captured_has_no_number(view):
    clock = Clock()
    column = view.column(("INENC1.VAL", "Mean"), unsigned=False, units=no_units)
    word = view.column(("PCAP.BITS0", "Value"), unsigned=True, units=no_units)
    view.begin(clock, {COUNTER: "x"})
    clock.bring(0)
    view.news()
    assert math.isnan(column.value)
    assert word.value == 0


async def test_rates_fall_to_zero_and_the_timer_stops_when_nothing_comes(view, until, monkeypatch):
    monkeypatch.setattr("panda_ophyd.liveview.TRAFFIC_PERIOD", 0.05)
    clock, rates = Clock(), []
    view.row_rate.subscribe(lambda update: rates.append(update.value))
    view.begin(clock, {})
    clock.bring(0)
    view.news()
    clock.bring(999)
    clock.in_flight = clock.most_in_flight = 500
    await until(lambda: view.row_rate.value > 0)
    assert view.data_rate.value == pytest.approx(view.row_rate.value * 12e-6)
    assert (view.in_flight.value, view.most_in_flight.value) == (500, 500)
    # what waits for the file is looked at as long as it waits
    assert view._next_traffic is not None
    clock.in_flight = 0
    await until(lambda: view._next_traffic is None)
    assert (view.in_flight.value, view.row_rate.value) == (0, 0.0)
    assert view.most_in_flight.value == 500


# With a box


@pytest.fixture(scope="module")
def engine() -> Iterator[RunEngine]:
    engine = RunEngine()
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    engine._th.join()
    engine.loop.close()


@pytest.fixture
def simulated() -> Iterator[Simulator]:
    with serve_in_thread() as simulator:
        for target, value in WIRING.items():
            assert simulator.call(simulator._server.command, f"{target}={value}") == "OK\n"
        yield simulator


@pytest.fixture
def box(engine: RunEngine, simulated: Simulator, tmp_path: Path) -> Iterator[Any]:
    provider = StaticPathProvider(StaticFilenameProvider("scan"), tmp_path)
    with init_devices():
        panda = HDFPanda(simulated.address, provider, name="panda")
    yield panda
    with suppress(PandaError):
        call_in_bluesky_event_loop(panda.disconnect())


def flight(panda: Any, rows: int, *watched: tuple[Any, str]) -> Any:
    info = TriggerInfo(number_of_events=rows, trigger=DetectorTrigger.EXTERNAL_EDGE)

    @bpp.stage_decorator([panda])
    @bpp.run_decorator()
    def fly() -> Any:
        for device, name in watched:
            yield from bps.monitor(device, name=name)
        yield from bps.prepare(panda, info, wait=True)
        yield from bps.declare_stream(panda, name="primary", collect=True)
        yield from bps.kickoff(panda, wait=True)
        yield from bps.collect_while_completing(
            flyers=[panda], dets=[panda], flush_period=0.1, stream_name="primary"
        )
        for device, _ in watched:
            yield from bps.unmonitor(device)

    yield from fly()


def streams(documents: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Return the events of each stream by its name."""
    names = {doc["uid"]: doc["name"] for kind, doc in documents if kind == "descriptor"}
    events: dict[str, list[Any]] = {name: [] for name in names.values()}
    for kind, doc in documents:
        if kind == "event":
            events[names[doc["descriptor"]]].append(doc)
    return events


def test_live_rows_are_events_with_the_values_of_the_file(engine, box, tmp_path):
    documents: list[tuple[str, Any]] = []
    watched = ((box.data.live, "live"), (box.data.live.counter1_out_value, "count"))
    engine(flight(box, 700, *watched), lambda *document: documents.append(document))
    for name, doc in documents:
        schema_validators[DocumentNames[name]].validate(doc)
    events = streams(documents)
    with h5py.File(tmp_path / "scan.h5") as file:
        held = {name: file[name][:] for name in KEYS.values() if name}
    rows = [event["data"]["panda-data-live-row"] for event in events["live"]]
    assert rows == sorted(set(rows))
    # 0.7 s at 10 Hz, less what a busy machine makes late
    assert 2 <= len(rows) <= 30
    for event in events["live"]:
        row = event["data"]["panda-data-live-row"]
        assert event["data"] == {
            key: row if name is None else held[name][row] for key, name in KEYS.items()
        }
    counts = [event["data"]["panda-data-live-counter1_out_value"] for event in events["count"]]
    # the first one is of before the flight
    assert len(counts) >= 3
    assert math.isnan(counts[0])
    assert set(counts[1:]) <= set(held["COUNTER1.OUT.Value"])
    (descriptor,) = [d for kind, d in documents if kind == "descriptor" and d["name"] == "live"]
    described = descriptor["data_keys"]["panda-data-live-counter1_out_value"]
    assert (described["dtype"], described["units"]) == ("number", "mm")
    assert descriptor["hints"] == {
        "panda-data-live": {"fields": ["panda-data-live-counter1_out_value"]}
    }


def test_bluesky_tables_and_plots_take_live_rows(engine, box, capsys, caplog):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    x, y = "panda-data-live-pcap_ts_trig_value", "panda-data-live-counter1_out_value"
    table = LiveTable([x, y], stream_name="live")
    plot = LivePlot(y, x)
    best = BestEffortCallback()

    @bpp.stage_decorator([box])
    @bpp.run_decorator()
    def fly_until_drawn() -> Any:
        yield from bps.monitor(box.data.live, name="live")
        info = TriggerInfo(number_of_events=0, trigger=DetectorTrigger.EXTERNAL_EDGE)
        yield from bps.prepare(box, info, wait=True)
        for _ in range(600):  # however late a busy machine shows them
            if len(plot.x_data) >= 2:
                break
            yield from bps.sleep(0.05)
        yield from bps.unmonitor(box.data.live)

    engine(fly_until_drawn(), [table, plot, best])
    assert len(plot.x_data) >= 2
    assert len(plot.x_data) == len(plot.y_data)
    axes: Any = vars(plot)["ax"]
    (line,) = [line for line in axes.lines if len(line.get_xdata())]
    assert list(line.get_xdata()) == plot.x_data
    assert "live-row" not in capsys.readouterr().err
    assert [record for record in caplog.records if "callback" in record.message] == []
    # the best effort has made a plot of its own
    assert len(plt.get_fignums()) >= 2
    plt.close("all")


def test_a_column_is_found_by_its_name_and_nothing_else_is(engine, box):
    live = box.data.live
    assert live.counter1_out_mean is live.counter1_out_mean
    assert live.counter1_out_mean.name == "panda-data-live-counter1_out_mean"
    for nonsense in ("counter1_out", "counter9_out_value", "counter1_out_median", "_hidden"):
        assert not hasattr(live, nonsense)


async def test_columns_outlast_a_reconnection(simulator, panda, until):
    for target, value in WIRING.items():
        assert simulator._server.command(f"{target}={value}") == "OK\n"
    column = panda.data.live.counter1_out_value
    readings: list[Any] = []
    panda.data.live.subscribe(readings.append)
    await panda.connect(force_reconnect=True)
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=100, trigger=DetectorTrigger.EXTERNAL_EDGE))
    await panda.kickoff()
    await panda.complete()
    await panda.unstage()
    assert readings
    row = readings[-1]["panda-data-live-row"]["value"]
    assert await column.get_value() == row * 0.5 + 100.5


async def test_queue_and_rates_are_signals(simulator, panda, until):
    for target, value in WIRING.items():
        assert simulator._server.command(f"{target}={value}") == "OK\n"
    await panda.stage()
    await panda.prepare(TriggerInfo(number_of_events=0, trigger=DetectorTrigger.EXTERNAL_EDGE))
    rates: list[float] = []
    panda.data.row_rate.subscribe(
        lambda reading: rates.append(next(iter(reading.values()))["value"])
    )
    await until(lambda: any(rates))
    assert await panda.data.data_rate.get_value() > 0
    assert await panda.data.most_in_flight.get_value() > 0
    await panda.unstage()
    assert await panda.data.row_rate.get_value() == 0
    assert await panda.data.in_flight.get_value() == 0


async def test_in_mock_mode_the_row_is_there(path_provider):
    panda: Any = HDFPanda("somewhere", path_provider, name="panda")
    await panda.connect(mock=True)
    assert await panda.data.live.row.get_value() == 0
    assert list(await panda.data.live.describe()) == ["panda-data-live-row"]
    with pytest.raises(AttributeError, match="it is not connected"):
        _ = panda.data.live.counter1_out_value
