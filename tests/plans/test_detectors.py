"""Detectors that are triggered with the PandA, and have documents of their own (S8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from bluesky.run_engine import call_in_bluesky_event_loop
from bluesky.utils import RunEngineInterrupted
from ophyd_async.core import (
    DetectorAcquireLogic,
    DetectorDataLogic,
    DetectorTriggerLogic,
    SignalDict,
    StandardDetector,
    StreamResourceDataProvider,
    StreamResourceInfo,
    soft_signal_r_and_setter,
)
from scanspec.specs import Fly, Linspace  # pyright: ignore[reportMissingTypeStubs]

from panda_ophyd.errors import CaptureError, FieldValueError
from panda_ophyd.plans import Exposures, fly_spec, time_resolved


class Camera(StandardDetector):
    """Counts the rises of a connector of the simulated box, each a frame of its own file.

    Args:
        line: the beamline.
        number: of the TTLOUT.
        deadtime: seconds between exposures.
    """

    def __init__(self, line: Any, number: int, deadtime: float, name: str) -> None:
        self.rises: list[int] = []
        self.prepared: list[float] = []
        written, self._set = soft_signal_r_and_setter(int, 0)
        simulator, engine = line.simulator, line.engine

        def seen(tick: int, level: int) -> None:
            if level:
                self.rises.append(tick)
                count = len(self.rises)
                engine.loop.call_soon_threadsafe(self._set, count)

        simulator.call(simulator.world.observe, "TTLOUT", number, seen)
        camera = self

        class Trigger(DetectorTriggerLogic):
            def get_deadtime(self, config_values: SignalDict) -> float:
                return deadtime

            async def prepare_edge(self, num: int, livetime: float) -> None:
                camera.prepared.append(livetime)

        class Acquire(DetectorAcquireLogic):
            async def start_acquiring(self) -> None:
                camera.rises.clear()
                camera._set(0)

            async def wait_for_idle(self) -> None: ...

            async def ensure_stopped(self) -> None: ...

        class Data(DetectorDataLogic):
            async def prepare_unbounded(self, datakey_name: str) -> StreamResourceDataProvider:
                info = StreamResourceInfo(
                    data_key=datakey_name, shape=(4, 4), dtype_numpy="<u2", chunk_shape=(1, 4, 4),
                    parameters={"dataset": "/data"},
                )  # fmt: skip
                return StreamResourceDataProvider(
                    uri=f"file://localhost/{datakey_name}.h5",
                    resources=[info],
                    mimetype="application/x-hdf5",
                    collections_written_signal=written,
                )

            async def stop(self) -> None: ...

        self.add_detector_logics(Trigger(), Acquire(), Data())
        super().__init__(name=name)
        call_in_bluesky_event_loop(self.connect())


@pytest.fixture
def line(beamline: Any) -> Any:
    return beamline(5.0)


def offsets(rises: Sequence[int], line: Any, per_frame: int) -> Any:
    """Return rises in seconds from the start of their frames."""
    frames = line.rows()["PCAP.TS_START.Value"]
    ticks = np.array(rises).reshape(len(frames), per_frame)
    return (ticks - ticks[0, 0]) / 125e6 - (frames - frames[0])[:, None]


def test_two_detectors_have_pulses_and_documents_of_their_own(line):
    slow, quick = Camera(line, 1, 1e-3, "slow"), Camera(line, 2, 1e-4, "quick")
    exposures = Exposures(
        frames_per_event={quick: 5}, pulses={slow: 1, quick: 2},
        outputs={slow: "TTLOUT1", quick: "TTLOUT2"},
    )  # fmt: skip
    line.run(time_resolved(line.panda, 20, 9e-3, 1e-3, [slow, quick], exposures=exposures))
    assert line.exit_status == "success"
    assert (len(slow.rises), len(quick.rises)) == (20, 100)
    assert offsets(slow.rises, line, 1) == pytest.approx(0, abs=2e-8)
    steps = 2e-3 * np.arange(5)
    assert offsets(quick.rises, line, 5) == pytest.approx(np.tile(steps, (20, 1)), abs=2e-8)
    assert (slow.prepared, quick.prepared) == ([pytest.approx(9e-3)], [pytest.approx(1.9e-3)])
    assert [line.get(line.panda.pulse[n].dropped) for n in (1, 2)] == [0, 0]
    resources = {doc["data_key"]: doc["uri"] for doc in line.named("stream_resource")}
    assert {"slow", "quick", "panda-pcap-ts_start-value"} <= set(resources)
    (descriptor,) = line.named("descriptor")
    assert descriptor["data_keys"]["quick"]["shape"] == [5, 4, 4]
    assert line.named("stop")[0]["num_events"] == {"primary": 20}


def test_pulses_are_where_the_centred_exposure_wants_them(line):
    camera = Camera(line, 1, 1e-3, "camera")
    exposures = Exposures(pulses={camera: 1}, outputs={camera: "TTLOUT1"})
    line.run(time_resolved(line.panda, 3, 9e-3, 1e-3, [camera], exposures=exposures))
    pulse = line.panda.pulse[1]
    assert line.get(pulse.delay) == pytest.approx(0.5e-3)
    assert line.get(pulse.width) == pytest.approx(9e-3)


def test_a_train_that_does_not_fit_is_refused_with_its_length(line):
    camera = Camera(line, 1, 1e-4, "camera")
    exposures = Exposures(
        frames_per_event={camera: 5}, pulses={camera: 2}, exposure={camera: 2.08e-3}
    )
    with pytest.raises(FieldValueError, match=r"PULSE2"):
        line.run(time_resolved(line.panda, 20, 9e-3, 1e-3, [camera], exposures=exposures))
    assert line.documents == []


def test_a_detector_without_a_pulse_is_triggered_by_the_sequencer(line):
    camera = Camera(line, 3, 1e-3, "camera")
    line.set((line.panda.ttlout[3].val, "SEQ1.OUTA"))
    line.run(time_resolved(line.panda, 7, 9e-3, 1e-3, [camera]))
    assert len(camera.rises) == 7


def test_several_exposures_a_frame_take_a_pulse(line):
    camera = Camera(line, 3, 1e-3, "camera")
    plan = time_resolved(
        line.panda, 7, 9e-3, 1e-3, [camera], exposures=Exposures(frames_per_event={camera: 2})
    )
    with pytest.raises(FieldValueError, match="give it a PULSE"):
        line.run(plan)


def test_a_pause_with_detectors_waits_for_the_end_of_the_window(line):
    camera = Camera(line, 3, 1e-3, "camera")
    line.set((line.panda.ttlout[3].val, "SEQ1.OUTA"))
    spec = Fly(0.02 @ (Linspace("y", 0, 1, 4) * ~Linspace("x", 1, 2, 10)))
    line.pause_after(13)
    with pytest.raises(RunEngineInterrupted):
        line.run(fly_spec(line.panda, spec, line.axes, [camera]))
    assert line.get(line.panda.data.num_captured) == len(camera.rises) == 20
    line.engine.resume()
    assert len(line.rows()) == len(camera.rises) == 40
    wanted = np.tile([*np.linspace(1, 2, 10), *np.linspace(2, 1, 10)], 2)
    assert abs(line.rows()["x"] - wanted).max() < 0.0065


def test_a_scan_in_time_with_detectors_does_not_go_on_one_frame_off(line):
    camera = Camera(line, 3, 1e-3, "camera")
    line.set((line.panda.ttlout[3].val, "SEQ1.OUTA"))
    line.pause_after(13)
    with pytest.raises(RunEngineInterrupted):
        line.run(time_resolved(line.panda, 2000, 9e-3, 1e-3, [camera]))
    with pytest.raises(CaptureError, match="camera was triggered for it"):
        line.engine.resume()
    assert line.exit_status == "fail"
    assert line.ask("*PCAP.COMPLETION?") == "OK =Disarmed\n"
