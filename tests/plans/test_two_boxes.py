"""Two PandAs in one scan: the second has its triggers from the first, by a cable."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest
from bluesky.run_engine import call_in_bluesky_event_loop
from bluesky.utils import FailedStatus
from ophyd_async.core import StaticFilenameProvider, StaticPathProvider, init_devices

from panda_ophyd import HDFPanda
from panda_ophyd.plans import time_resolved
from panda_simulator import serve_in_thread

FRAMES = 30


@pytest.fixture
def line(beamline: Any) -> Any:
    """The first box, in real time: frames on its TTLOUT1."""
    line = beamline(1.0)
    line.set((line.panda.ttlout[1].val, "SEQ1.OUTA"))
    return line


@pytest.fixture
def second(line: Any, tmp_path: Any) -> Any:
    """A box whose TTLIN1 is that output; it counts what comes, from 1, and captures that."""
    provider = StaticPathProvider(StaticFilenameProvider("second"), tmp_path)
    with serve_in_thread(speed=1.0) as simulator:

        def cable(_tick: int, level: int) -> None:
            simulator.call(simulator.world.drive, "TTLIN", 1, level)

        line.simulator.call(line.simulator.world.observe, "TTLOUT", 1, cable)
        with init_devices():
            panda: Any = HDFPanda(simulator.address, provider, name="second")
        line.set(
            (panda.pcap.enable, "ONE"),
            (panda.pcap.trig, "TTLIN1.VAL"),
            (panda.pcap.trig_edge, "Falling"),
            (panda.counter[1].enable, "PCAP.ACTIVE"),
            (panda.counter[1].trig, "TTLIN1.VAL"),
            (panda.counter[1].out_capture, "Value"),
            (panda.counter[1].out_dataset, "count"),
        )
        yield panda
        call_in_bluesky_event_loop(panda.disconnect())


def test_rows_of_both_are_one_event_each(line, second, tmp_path):
    line.run(time_resolved(line.panda, FRAMES, 5e-3, 5e-3, [second]))
    assert line.exit_status == "success"
    assert line.named("stop")[0]["num_events"] == {"primary": FRAMES}
    (descriptor,) = line.named("descriptor")
    assert {"count", "panda-pcap-ts_start-value"} <= set(descriptor["data_keys"])
    assert set(descriptor["object_keys"]) == {"panda", "second"}
    assert len(line.rows()) == FRAMES
    with h5py.File(tmp_path / "second.h5") as file:
        assert file["count"][:].tolist() == list(range(1, FRAMES + 1))
        assert file.attrs["complete"]
    ends: dict[str, int] = {}
    uids = {doc["uid"]: doc["data_key"] for doc in line.named("stream_resource")}
    for doc in line.named("stream_datum"):
        ends[uids[doc["stream_resource"]]] = doc["indices"]["stop"]
    assert set(ends) == set(descriptor["data_keys"])
    assert set(np.unique(list(ends.values()))) == {FRAMES}


def test_a_second_that_misses_a_trigger_fails_the_scan_by_its_name(line, second):
    cables = line.simulator.world._observers["TTLOUT", 1]
    (cable,) = cables
    edges = 0

    def loose(tick: int, level: int) -> None:
        nonlocal edges
        edges += 1
        if edges not in (21, 22):
            cable(tick, level)

    cables[:] = [loose]
    line.set((second.data.stall_timeout, 1.0))
    with pytest.raises(FailedStatus, match=r"second: no row for .* 29 of 30 rows"):
        line.run(time_resolved(line.panda, FRAMES, 5e-3, 5e-3, [second]))
    assert line.exit_status == "fail"
