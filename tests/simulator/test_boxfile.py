"""Box files: what is in them, and where they are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from panda_simulator import Simulator
from panda_simulator.box import ConfigError
from panda_simulator.box.boxfile import read_box_file
from panda_simulator.record import record
from panda_simulator.simulator import SimulatorOptions

from .box_files import EVERY_CLASS, echo_box
from .test_record import Asked, play
from .test_simulator import peers


@pytest.fixture(scope="module")
def recording() -> str:
    return record(Asked(echo_box(EVERY_CLASS))).file.dumps()


@pytest.fixture
def content(recording) -> dict[str, Any]:
    return json.loads(recording)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "box.json"


def refusal(path, content) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ConfigError) as refused:
        Simulator(box_file=path, hardware="echo")
    text = str(refused.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_a_file_that_is_not_there_is_named(path):
    with pytest.raises(ConfigError, match=f"^{path}: No such file or directory$"):
        Simulator(box_file=path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ", line 1, column 1: is not JSON: Expecting value"),
        ('{"format": 1,\n  }', ", line 2, column 3: is not JSON: "),
        ("[" * 100000, ": is not JSON: nested too deep"),
        ("[]", ": expected an object"),
        ("{}", ": 'format' is missing"),
        ('{"format": "x"}', ", format: expected 'panda-simulator box'"),
        ('{"format": "panda-simulator box", "version": 2}', ", version: version 2 is not 1"),
    ],
)
def test_a_file_of_another_kind_is_refused(path, content, text):
    assert refusal(path, content).startswith(text)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("server", 4.1, ", server: expected a text"),
        ("fpga", "1", ", fpga: FPGA version '1' is malformed"),
        ("clock_frequency", -1, ", clock_frequency: expected a number from 0 to 4294967295"),
        ("clock_frequency", True, ", clock_frequency: expected a number"),
        ("std_dev", 1, ", std_dev: expected true or false"),
        ("config", "TTLIN", ", config: expected a list"),
        ("config", ["ONE", 1], ", config[1]: expected a text"),
        ("config", ["ONE\nTWO"], ", config[0]: holds the end of a line"),
        ("rootfs", "\ud800", ", rootfs: holds a character that is none"),
        ("config", ["ONE", " V bit_in"], ", config, line 2, column 10: class bit_in not found"),
        ("registers", [], ", registers: register FPGA_VERSION is not in the *REG block"),
        ("description", ["TWO two"], ", description, line 1, column 4: no block TWO in config"),
        ("state", ["ONE.V=1"], ", state, line 1: ONE.V=1: Field not writeable"),
        ("state", ["*PCAP.ARM="], ", state, line 1: *PCAP.ARM=: not a setting"),
        ("readings", {"ONE.V": "1"}, ", readings.ONE.V: expected a number"),
        ("errors", {"ONE.V": 1}, ", errors.ONE.V: expected a text"),
        ("orders", {}, ", orders: 'fields' is missing"),
        ("unknown", {"ONE.V": {}}, ", unknown.ONE.V: 'values' is missing"),
        ("readings", {"ALL.PU": 1}, ", readings.ALL.PU: the box has no such thing"),
        ("errors", {"ONE.NO": "x"}, ", errors.ONE.NO: the box has no such thing"),
        ("server", "1.0", None),
    ],
)
def test_a_wrong_entry_is_named_with_its_place(path, content, key, value, text):
    content[key] = value
    if text is None:
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"server version 1\.0 is not simulated"):
            Simulator(box_file=path, hardware="echo")
        assert Simulator(box_file=path, hardware="echo", server_version="2.0").box.blocks
    else:
        assert refusal(path, content).startswith(text)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("blocks", ["ALL"], ", orders.blocks: not an order of ALL, NOHW, ONE"),
        ("metadata", ["A"], ", orders.metadata: not an order of A, B, C, D"),
        ("fields", {"X": []}, ", orders.fields.X: the box has no such thing"),
        ("fields", {"ONE": []}, ", orders.fields.ONE: not an order of"),
        ("attributes", {"ONE.NO": []}, ", orders.attributes.ONE.NO: the box has no such thing"),
        ("attributes", {"ONE.V": ["X"]}, ", orders.attributes.ONE.V: there is no attribute X"),
    ],
)
def test_an_order_of_other_names_is_refused(path, content, key, value, text):
    content["orders"][key] = value
    assert refusal(path, content).startswith(text)


def test_a_key_that_is_missing_is_named(path, content):
    for key in content:
        left = {name: value for name, value in content.items() if name != key}
        assert refusal(path, left) == f": {key!r} is missing"


async def test_a_recorded_box_is_served_with_its_settings_and_identity(path, content):
    content["fpga"] = "4.1.7 86e5f0a2 07d202f8"
    content["rootfs"] = "Recorded"
    content["clock_frequency"] = 100_000_000
    path.write_text(json.dumps(content))
    box = play(read_box_file(path))
    async with Simulator(box_file=path) as simulator, peers(simulator.control_port) as [client]:
        idn = "OK =PandA SW: 4.1 FPGA: 4.1.7 86e5f0a2 07d202f8 rootfs: Recorded"
        assert await client.ask("*IDN?") == idn
        assert await client.ask("*CLOCK_FREQ?") == "OK =100000000"
        assert await client.ask("ALL1.PU?") == "OK =5"
        assert list(simulator.box.blocks) == list(box.blocks)


async def test_what_is_given_counts_more_than_what_was_recorded(path, recording):
    path.write_text(recording)
    options: SimulatorOptions = {
        "box_file": path,
        "hardware": "echo",
        "rootfs": "here",
        "fpga": "1.2.3 00000004 00000005",
        "server_version": "4.0",
    }
    async with (
        Simulator(**options) as simulator,
        peers(simulator.control_port) as [client],
    ):
        idn = "OK =PandA SW: 4.0 FPGA: 1.2.3 00000004 00000005 rootfs: here"
        assert await client.ask("*IDN?") == idn


async def test_a_reboot_brings_recorded_settings_back(path, recording):
    path.write_text(recording)
    async with Simulator(box_file=path, hardware="echo") as simulator:
        async with peers(simulator.control_port) as [client]:
            assert await client.ask("ALL1.PU=6") == "OK"
        await simulator.reboot()
        async with peers(simulator.control_port) as [client]:
            assert await client.ask("ALL1.PU?") == "OK =5"


def test_a_folder_and_a_box_file_are_too_much(path):
    with pytest.raises(ValueError, match="both are given"):
        Simulator(box_file=path, config_dir=EVERY_CLASS)


@pytest.mark.parametrize("hardware", ["echo", "blocks"])
async def test_readings_are_constants_where_no_block_produces_them(path, hardware):
    box = echo_box()
    content = json.loads(record(Asked(box)).file.dumps())
    content["readings"] |= {
        "SYSTEM.TEMP_PSU": 41, "SFP3_SYNC_IN.POS1": 0xFFFFFFFF, "SFP3_SYNC_IN.BIT3": 1,
        "SFP3_SYNC_IN.LINKUP": 1, "PCOMP1.PRODUCED": 7,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    async with (
        Simulator(box_file=path, hardware=hardware) as simulator,
        peers(simulator.control_port) as [client],
    ):
        assert await client.ask("SYSTEM.TEMP_PSU?") == "OK =41"
        assert await client.ask("SFP3_SYNC_IN.POS1?") == "OK =-1"
        assert await client.ask("SFP3_SYNC_IN.BIT3?") == "OK =1"
        assert await client.ask("SFP3_SYNC_IN.LINKUP?") == "OK =1"
        assert await client.ask("SYSTEM.TEMP_ZYNQ?") == "ERR Extension server exception"
        produced = "OK =0" if hardware == "blocks" else "OK =7"
        assert await client.ask("PCOMP1.PRODUCED?") == produced
