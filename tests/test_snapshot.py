from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.client import PandaClient, neighbours
from panda_ophyd.control import Assign, Err, Lines, Ok, Query
from panda_ophyd.fields import BlockInfo, BoxInfo, FieldInfo
from panda_ophyd.fields.box import MetadataInfo
from panda_ophyd.introspection import introspect, take_snapshot
from panda_ophyd.session import PandaSession
from panda_ophyd.snapshot import Snapshot, develop, identity_of, requests
from panda_ophyd.tables import TableColumn, TableLayout
from panda_ophyd.writers import read_snapshot
from panda_ophyd.writers.hdf5_snapshot import make_snapshot
from panda_simulator import Simulator

LAYOUT = TableLayout(
    2,
    (
        TableColumn("REPEATS", 15, 0, "uint", ()),
        TableColumn("TRIGGER", 19, 16, "enum", ("Immediate", "BITA=0")),
        TableColumn("POSITION", 63, 32, "int", ()),
    ),
)
BOX = BoxInfo(
    "4.1",
    fpga_version="3.0.0",
    rootfs="x",
    blocks=(
        BlockInfo("SEQ", 2, "", (FieldInfo("TABLE", "table", "", 0, layout=LAYOUT),)),
        BlockInfo("ONE", 1, "", (FieldInfo("TABLE", "table", "", 0, layout=LAYOUT),)),
        BlockInfo("BAD", 1, "", (FieldInfo("TABLE", "table", "", 0, problem="x", layout=LAYOUT),)),
    ),
    metadata=(
        MetadataInfo("APPNAME", "constant", "app"),
        MetadataInfo("DESIGN", "string"),
        MetadataInfo("LAYOUT", "multiline"),
    ),
)
WORDS = np.array([5 | 1 << 16, 2**32 - 7, 13 << 16, 9], np.uint32)


def read_back(shot, path):
    with h5py.File(path, "w", libver="latest") as file:
        entry = file.create_group("entry")
        make_snapshot(entry, shot)
        file.swmr_mode = True  # nothing may be left open
    return read_snapshot(path)


class TestQuestions:
    def test_ask_for_everything_once(self):
        targets = [r.target for r in requests(BOX) if isinstance(r, Query)]
        assert targets == [
            *(f"*CHANGES.{g}" for g in ("CONFIG", "ATTR", "METADATA", "BITS", "POSN", "READ")),
            "SEQ1.TABLE.B",
            "SEQ2.TABLE.B",
            "ONE.TABLE.B",
            "*METADATA.LAYOUT",
        ]

    def test_readings_that_are_known_are_not_asked_for(self):
        # asking would take the bits from the record of what they did since the last write
        asked = requests(BOX, readings=False)
        assert not any("BITS" in r.target or "READ" in r.target for r in asked)

    def test_a_cursor_is_set_back_before_it_is_used(self):
        asked = requests(BOX)
        for at, request in enumerate(asked):
            if request.target.startswith("*CHANGES") and isinstance(request, Query):
                assert asked[at - 1] == Assign(request.target, "S")


class TestDevelop:
    def developed(self, replies, **options):
        asked = requests(BOX)
        answers = [(r, replies.get(r.target, Lines(()))) for r in asked]
        return develop(BOX, {"idn": "x"}, 1.5, answers, **options)

    def test_each_value_finds_its_place(self):
        shot = self.developed(
            {
                "*CHANGES.CONFIG": Lines(("SEQ1.PRESCALE=1", "ONE.X=a=b<", "SEQ1.TABLE<")),
                "*CHANGES.ATTR": Lines(("SEQ1.PRESCALE.UNITS=s",)),
                "*CHANGES.BITS": Lines(("TTLIN1.VAL=1",)),
                "*CHANGES.POSN": Lines(("INENC1.VAL=-3",)),
                "*CHANGES.READ": Lines(("PCAP.HEALTH=OK", "SYSTEM.TEMP (error)")),
                "*CHANGES.METADATA": Lines(("*METADATA.DESIGN=d", "*METADATA.LAYOUT<")),
                "*METADATA.LAYOUT": Lines(("one", "", "two")),
                "SEQ1.TABLE.B": Lines(("BQABAPn///8AAA0ACQAAAA==",)),
                "SEQ2.TABLE.B": Lines(()),
                "ONE.TABLE.B": Err("No such field"),
            }
        )
        assert shot.identity == {"idn": "x"}
        assert shot.taken == 1.5
        assert shot.settings == {
            "SEQ1.PRESCALE": "1",
            "ONE.X": "a=b<",
            "SEQ1.PRESCALE.UNITS": "s",
        }
        assert shot.readings == {"TTLIN1.VAL": "1", "INENC1.VAL": "-3", "PCAP.HEALTH": "OK"}
        assert shot.metadata == {"APPNAME": "app", "DESIGN": "d", "LAYOUT": "one\n\ntwo"}
        assert shot.failed == {
            "SYSTEM.TEMP": "the server cannot say it",
            "ONE.TABLE": "No such field",
        }
        assert shot.words("SEQ1.TABLE").tolist() == WORDS.tolist()
        columns = shot.columns("SEQ1.TABLE")
        assert columns["trigger"] == ["BITA=0", "13"]
        assert columns["position"].tolist() == [-7, 9]
        assert shot.tables["SEQ2.TABLE"] == b""

    @pytest.mark.parametrize("reply", [Lines(("nonsense",)), Ok("x"), Ok(None), Lines(("=", ""))])
    def test_whatever_a_peer_answers_is_survived(self, reply):
        shot = self.developed({r.target: reply for r in requests(BOX)})
        assert shot.settings == {}

    def test_readings_may_be_given(self):
        shot = self.developed({}, readings={"TTLIN1.VAL": "1"})
        assert shot.readings == {"TTLIN1.VAL": "1"}


def test_a_box_is_told_by_its_versions_application_and_addresses():
    assert identity_of(BOX, idn="PandA SW: 4.1", address="panda:8888", mac="00:11") == {
        "idn": "PandA SW: 4.1",
        "server": "4.1",
        "fpga": "3.0.0",
        "rootfs": "x",
        "application": "app",
        "clock_frequency": "125000000",
        "address": "panda:8888",
        "mac": "00:11",
    }


class TestFile:
    NAMES = st.from_regex(r"[A-Z]{1,5}[0-9]?\.[A-Z_]{1,5}(\.[A-Z]{1,4})?", fullmatch=True)
    TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))

    @given(
        st.dictionaries(NAMES, TEXTS, max_size=9),
        st.dictionaries(NAMES, TEXTS, max_size=3),
        st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), TEXTS, max_size=3),
        st.binary(max_size=5),
    )
    def test_every_value_is_read_back_exactly(
        self, tmp_path_factory, settings, readings, metadata, words
    ):
        tables = {"SEQ1.TABLE": words * 8}
        shot = Snapshot(
            identity_of(BOX), 1795334910.75, settings, readings, tables, metadata, {"A.B": "why"}
        )
        assert read_back(shot, tmp_path_factory.mktemp("shot") / "shot.h5") == shot

    def test_bytes_that_are_no_text_are_read_back_too(self, tmp_path):
        cut = b"\xc3".decode(errors="surrogateescape")
        shot = Snapshot({"idn": ""}, 0.0, {"A.B": cut})
        assert read_back(shot, tmp_path / "shot.h5") == shot

    def test_is_there_to_be_browsed(self, tmp_path):
        tables = {"SEQ1.TABLE": WORDS.astype("<u4").tobytes(), "SEQ2.TABLE": b""}
        shot = Snapshot(
            {"idn": "me"},
            1795334910.75,
            {"SEQ1.PRESCALE": "5"},
            tables=tables,
            layouts={"SEQ1.TABLE": LAYOUT, "SEQ2.TABLE": LAYOUT},
        )
        assert read_back(shot, tmp_path / "shot.h5") == shot
        with h5py.File(tmp_path / "shot.h5") as file:
            box: Any = file["entry/panda"]
            assert box.attrs["NX_class"] == b"NXcollection"
            assert box.attrs["idn"] == b"me"
            assert box.attrs["taken"].startswith(b"2026-11-22T")
            assert box["settings/SEQ1"].attrs["PRESCALE"] == b"5"
            assert box["settings/SEQ1/TABLE"][:].tolist() == WORDS.reshape(2, 2).tolist()
            columns = box["settings/SEQ1/TABLE.columns"][:]
            assert columns["trigger"].tolist() == [b"BITA=0", b"13"]
            assert columns["repeats"].tolist() == [5, 0]
            assert box["settings/SEQ2/TABLE"].size == 0

    def test_none_is_none(self, tmp_path):
        with h5py.File(tmp_path / "none.h5", "w") as file:
            file.create_group("entry")
        assert read_snapshot(tmp_path / "none.h5") is None


class TestNeighbours:
    LINES = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "192.168.1.7      0x1         0x2         00:11:22:33:44:55     *        eth0\n"
        "192.168.1.8      0x1         0x0         00:00:00:00:00:00     *        eth0\n"
        "odd\n"
    )

    def test_the_kernel_knows_who_is_on_the_same_network(self, tmp_path, monkeypatch):
        (tmp_path / "arp").write_text(self.LINES)
        monkeypatch.setattr(neighbours, "_NEIGHBOURS", tmp_path / "arp")
        assert neighbours.mac_address("192.168.1.7") == "00:11:22:33:44:55"
        assert neighbours.mac_address("192.168.1.8") == ""
        assert neighbours.mac_address("192.168.1.9") == ""

    def test_or_does_not_say(self, tmp_path, monkeypatch):
        monkeypatch.setattr(neighbours, "_NEIGHBOURS", tmp_path / "none")
        assert neighbours.mac_address("192.168.1.7") == ""


class TestBox:
    async def test_one_round_trip_gives_what_single_queries_give(self):
        async with (
            Simulator(hardware="echo") as simulator,
            PandaClient(simulator.address) as client,
        ):
            await client.assign("PULSE1.DELAY", "0.5")
            await client.assign("*METADATA.LABEL_SEQ1", "µ<")
            await client.assign_table("SEQ1.TABLE", ("1 2 3 4", "5 6 7 8"))
            await client.assign_table("*METADATA.LAYOUT", ("a", "b"))
            box = await introspect(client)
            before = client.round_trips
            shot = await take_snapshot(client, box)
            assert client.round_trips == before + 1
            again = await take_snapshot(client, box)
            assert again.settings == shot.settings
            assert again.tables == shot.tables
            for target in ("PULSE1.DELAY", "PULSE1.DELAY.UNITS", "INENC1.VAL.SCALE"):
                assert shot.settings[target] == await client.query(target)
            assert shot.readings["TTLIN1.VAL"] == await client.query("TTLIN1.VAL")
        assert shot.words("SEQ1.TABLE").tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert shot.columns("SEQ1.TABLE")["repeats"].tolist() == [1, 5]
        assert shot.metadata["LABEL_SEQ1"] == "µ<"
        assert shot.metadata["LAYOUT"] == "a\nb"
        assert shot.metadata["APPNAME"] == "pandabox-no-fmc"
        assert shot.identity["address"] == simulator.address
        assert shot.identity["idn"].startswith("PandA SW: ")
        assert set(shot.failed.values()) <= {"the server cannot say it"}

    async def test_a_session_leaves_the_record_of_bits_alone(self):
        async with Simulator(hardware="echo") as simulator:
            session = PandaSession(PandaClient(simulator.address).address)
            await session.connect()
            try:
                await session.client.assign("PULSE1.DELAY", "0.25")
                shot = await session.snapshot()
                direct = await take_snapshot(session.client, session.box)
            finally:
                await session.close()
        assert shot.settings == direct.settings
        assert shot.settings["PULSE1.DELAY"] == "0.25"
        assert shot.readings.keys() == direct.readings.keys()
        assert shot.metadata == direct.metadata
