"""A diagram becomes the same picture, text or table whenever it is made."""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from panda_simulator import cli
from panda_simulator.timing import Diagram, parse_script, play, read_script
from panda_simulator.timing.draw import digest, draw, save
from panda_simulator.timing.export import to_csv, to_dict, to_json
from panda_simulator.timing.layout import busy_groups, lay_out, stack, stretches, thinned
from panda_simulator.timing.scale import pick_step
from panda_simulator.timing.text import ASCII, text_diagram

from .box_files import found
from .timing_examples import DOCS, EXAMPLES

SMALL = """
title: A delayed pulse
set:
  PULSE1.ENABLE: ONE
  PULSE1.TRIG: TTLIN1.VAL
  PULSE1.DELAY.RAW: 6
  PULSE1.WIDTH.RAW: 8
  PCAP.ENABLE: PULSE1.OUT
  PCAP.TRIG: PULSE1.OUT
  PCAP.TS_TRIG.CAPTURE: Value
stimuli:
- {at: 1, PCAP: arm}
- {at: 4, TTLIN1.VAL: pulse 3}
- {at: 20, BITS.B: 1}
show: [TTLIN1.VAL, PULSE1.OUT, PULSE1.QUEUED, PCAP.ENABLE, samples]
until: 24
notes:
- {from: TTLIN1.VAL rise, to: PULSE1.OUT rise, text: after}
- {at: 12, text: wait}
"""

DENSE = """
set: {CLOCK1.PERIOD.RAW: 2, COUNTER1.ENABLE: ONE, COUNTER1.TRIG: CLOCK1.OUT, PCAP.ENABLE: ONE,
      PCAP.TRIG: CLOCK1.OUT, COUNTER1.OUT.CAPTURE: Value, SEQ1.REPEATS: 3,
      SEQ1.TABLE: [{REPEATS: 1, TIME1: 1, TIME2: 2, OUTA1: 1}]}
stimuli:
- {at: 10, PCAP: arm}
- {at: 500, CLOCK1.ENABLE: ONE}
- {at: 510, SEQ1.ENABLE: ONE}
- {at: 4000, CLOCK1.ENABLE: ZERO}
- {at: 4100, every: 10, times: 30, BITS.A: 1}
- {at: 4105, every: 10, times: 30, BITS.A: 0}
show: [CLOCK1.OUT, COUNTER1.OUT, {signal: COUNTER1.OUT, style: bus}, SEQ1.STATE, BITS.OUTA,
       BITS.A, INENC1.VAL, axis x, samples]
until: 5000
notes:
- {from: 1, to: 4999}
- {from: CLOCK1.OUT rise, to: CLOCK1.OUT fall, text: a half}
- {at: 4990, text: a note that has no room on the right of its tick}
- {at: CLOCK1.OUT rise, on: BITS.OUTA, text: begins}
"""


@pytest.fixture(scope="module")
def small() -> Diagram:
    return play(parse_script(SMALL))


@pytest.fixture(scope="module")
def dense() -> Diagram:
    return play(parse_script(DENSE))


# Characters


def test_a_text_shows_levels_values_samples_and_what_was_done(small):
    assert (
        text_diagram(small, columns=80)
        == """\
A delayed pulse

                      ┌─────┐
TTLIN1.VAL    ────────┘     └───────────────────────────────────
                                    ┌───────────────┐
PULSE1.OUT    ──────────────────────┘               └───────────
PULSE1.QUEUED  0          │1                        │0
                                      ┌───────────────┐
PCAP.ENABLE   ────────────────────────┘               └─────────
PCAP samples                          ◆
              ┴───────────────────┴───────────────────┴─────────
              0                   10                  20
              1 tick = 8 ns

What is done to it:
         1  PCAP: arm
         4  TTLIN1.VAL = pulse 3
        20  BITS.B = 1

Notes:
         4  after 7 ticks (56 ns)  [4, TTLIN1.VAL to 11, PULSE1.OUT]
        12  wait  [12]

PCAP samples:
      tick  PCAP.TS_TRIG Value
        12                   0
"""
    )


def test_a_text_without_unicode_has_plain_characters_only(small):
    text = text_diagram(small, columns=50, glyphs=ASCII)
    assert text.isascii()
    assert (
        """\
                  ___
TTLIN1.VAL    ____|  |_________________
                         ________
PULSE1.OUT    ___________|       |_____
""".rstrip()
        in text
    )


def test_what_is_too_fast_for_a_text_is_busy(dense):
    lines = text_diagram(dense, columns=90).splitlines()
    clock = next(line for line in lines if line.startswith("CLOCK1.OUT"))
    assert "▒▒▒▒▒" in clock
    assert "1 column = 100 ticks, 800 ns" in "\n".join(lines)
    assert max(map(len, lines[:20])) <= 90


def test_a_window_of_a_text_begins_and_ends_where_told(small):
    text = text_diagram(small.window(10, 14), columns=60)
    assert "PULSE1.OUT    ────┘" in text
    assert "PULSE1.QUEUED  1" in text
    assert "TTLIN1.VAL = pulse 3" not in text


# Tables


def test_csv_holds_every_change_in_order_and_the_values_before(small):
    lines = list(csv.reader(StringIO(to_csv(small))))
    assert lines[0] == ["tick", "seconds", "signal", "value", "text"]
    assert lines[1:5] == [
        ["0", "0", "TTLIN1.VAL", "0", "0"],
        ["0", "0", "PULSE1.OUT", "0", "0"],
        ["0", "0", "PULSE1.QUEUED", "0", "0"],
        ["0", "0", "PCAP.ENABLE", "0", "0"],
    ]
    assert lines[5] == ["4", "3.2e-08", "TTLIN1.VAL", "1", "1"]
    assert [int(line[0]) for line in lines[1:]] == sorted(int(line[0]) for line in lines[1:])
    window = list(csv.reader(StringIO(to_csv(small.window(4, 11)))))
    assert window[1] == ["4", "3.2e-08", "TTLIN1.VAL", "1", "1"]
    assert window[-1] == ["11", "8.8e-08", "PULSE1.OUT", "1", "1"]


def test_json_holds_everything(small):
    parts = json.loads(to_json(small))
    assert parts == json.loads(json.dumps(to_dict(small)))
    assert parts["title"] == "A delayed pulse"
    assert parts["signals"][1] == {
        "name": "PULSE1.OUT", "label": "PULSE1.OUT", "kind": "bit", "exact": True, "initial": 0,
        "edges": [[11, 1], [19, 0]],
    }  # fmt: skip
    assert parts["samples"] == {
        "columns": ["PCAP.TS_TRIG Value"],
        "rows": [{"tick": 12, "values": ["0"]}],
    }
    assert parts["stimuli"][0] == {"tick": 1, "text": "PCAP: arm"}
    assert parts["notes"][0] == {"tick": 4, "end": 11, "text": "after 7 ticks (56 ns)"}


def test_json_names_the_labels_of_an_enumeration(dense):
    state = next(s for s in to_dict(dense)["signals"] if s["name"] == "SEQ1.STATE")
    assert state["values"] == {"1": "WAIT_ENABLE", "3": "PHASE1", "4": "PHASE2"}


# Pictures


@pytest.mark.parametrize(("suffix", "begin"), [("png", b"\x89PNG"), ("svg", b"<?xml"),
                                               ("pdf", b"%PDF")])  # fmt: skip
def test_a_picture_is_the_same_bytes_whenever_it_is_drawn(small, tmp_path, suffix, begin):
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    save(small, first)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "x"}):
        save(small, second)
    assert first.read_bytes().startswith(begin)
    assert first.read_bytes() == second.read_bytes()


def test_a_crowded_diagram_is_drawn_and_stays_small(dense, tmp_path):
    path = tmp_path / "dense.svg"
    save(dense, path)
    assert path.stat().st_size < 400_000
    text = path.read_text()
    assert "a note that has no room on the right of its tick" in text
    assert "a half 1 tick (8 ns)" in text
    assert "BITS.A = 1 (every 80 ns, 30 times)" not in text  # BITS.A is shown
    save(dense.window(495, 545), tmp_path / "zoom.png", width=6, dpi=60)


def test_texts_of_a_user_are_drawn_as_they_are_and_fit(tmp_path):
    diagram = play(
        parse_script(f"""
title: {"a very long title " * 12}
show: [PULSE1.OUT: costs $5 \\alpha ${"x" * 80}, TTLIN1.VAL: "<b> & µ"]
until: 20
notes: [{{at: 3, text: "two\nlines, $1 and $2"}}]
""")
    )
    path = tmp_path / "a.svg"
    save(diagram, path)
    text = path.read_text()
    assert "costs $5 \\alpha $xxx" in text
    assert "xxx…" in text
    assert "&lt;b&gt; &amp; µ" in text
    assert "two lines, $1 and $2" in text


def test_a_figure_is_for_notebooks(small):
    figure = draw(small, width=7)
    assert isinstance(figure, Figure)
    assert figure.get_figwidth() == 7


def test_an_unknown_kind_of_picture_is_refused(small, tmp_path):
    with pytest.raises(ValueError, match=r"suffix of a picture is one of \.svg, \.png, \.pdf"):
        save(small, tmp_path / "a.gif")


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_pictures_of_the_documentation_are_up_to_date(name, tmp_path):
    """If this fails: ``make docs``, and look at what has changed."""
    diagram = play(read_script(EXAMPLES[name]))
    committed = EXAMPLES[name].with_suffix(".svg").read_text()
    assert digest(diagram) in committed
    fresh = tmp_path / "fresh.svg"
    save(diagram, fresh)
    made_by = r"Matplotlib v([\d.]+)"
    # another matplotlib may place a text elsewhere; what is drawn is in the digest
    if found(made_by, committed)[1] == mpl.__version__:
        assert fresh.read_text() == committed
    assert not re.search(r"20\d\d-\d\d-\d\dT", committed)


def test_matplotlib_is_not_needed_but_for_pictures():
    program = "import sys, panda_simulator.timing; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 (our own)


# Layout


def test_edges_that_are_too_close_are_one_busy_group():
    ticks = np.array([0, 100, 101, 102, 103, 200, 300, 301, 400, 401, 402, 403, 404], np.int64)
    assert busy_groups(ticks, 5) == [(1, 4), (8, 12)]
    assert busy_groups(ticks[:0], 5) == []


def test_texts_get_rows_on_which_they_do_not_overlap():
    assert stack([(0, 10), (5, 12), (10, 20), (11, 30), (12, 13)]) == [0, 1, 0, 2, 1]


BLANK = play(parse_script("show: [BITS.OUTA]\nuntil: 400\n"))


@given(st.lists(st.integers(1, 50), max_size=60), st.floats(1, 30))
def test_stretches_cover_everything_from_border_to_border(gaps, width):
    layout = lay_out(BLANK, width)
    edges = BLANK.edges("BITS.OUTA")
    ticks = np.cumsum(np.array(gaps, np.int64))
    values = np.arange(1, len(ticks) + 1) % 2
    parts = stretches(type(edges)(edges.signal, 0, ticks, values), layout)
    assert parts[0].start < 0
    assert parts[-1].end > 400
    assert all(a.end == b.start for a, b in itertools.pairwise(parts))
    changes = [tick for tick in ticks.tolist() if tick <= 400]
    assert {part.start for part in parts[1:]} <= set(changes)
    plain = [part for part in parts if part.value is not None]
    level = type(edges)(edges.signal, 0, ticks, values)
    assert all(level.at(int(max(part.start, 0))) == part.value for part in plain)


def test_a_thinned_line_keeps_its_extremes(dense):
    layout = lay_out(dense, 1.0)
    ticks = np.arange(4000, dtype=np.int64)
    values = np.sin(ticks / 50) * 1000
    values[1234] = 9999
    few, kept = thinned(ticks, values, layout)
    assert len(few) < len(ticks)
    assert kept.max() == 9999
    assert (few[0], few[-1]) == (0, 3999)
    assert thinned(ticks[:5], values[:5], layout)[0] is not few


@pytest.mark.parametrize(("least", "step"), [(1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (101, 200)])
def test_steps_are_round_numbers(least, step):
    assert pick_step(least) == step


# The command


def timing(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["panda-simulator", "timing", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "pulse.yaml"
    path.write_text(SMALL)
    return path


def test_the_command_draws_beside_the_script_or_where_told(capsys, script, tmp_path):
    assert timing(capsys, str(script)) == (0, f"{tmp_path}/pulse.svg\n", "")
    assert (tmp_path / "pulse.svg").read_text().startswith("<?xml")
    output = tmp_path / "there.png"
    assert timing(capsys, str(script), "-o", str(output)) == (0, f"{output}\n", "")
    assert output.read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_texts_and_tables_of_a_window(capsys, script, tmp_path):
    code, out, err = timing(capsys, str(script), "--text", "--from", "80ns", "--to", "20")
    assert (code, err) == (0, "")
    assert "PULSE1.OUT" in out
    assert not (tmp_path / "pulse.svg").exists()
    assert timing(capsys, str(script), "--csv")[1].startswith("tick,seconds,")
    assert json.loads(timing(capsys, str(script), "--json")[1])["last"] == 24
    output = tmp_path / "both.svg"
    code, out, _ = timing(capsys, str(script), "--csv", "-o", str(output))
    assert (code, out[:5]) == (0, "tick,")
    assert output.exists()


def test_what_goes_wrong_is_one_line(capsys, script, tmp_path, monkeypatch):
    broken = tmp_path / "broken.yaml"
    broken.write_text("show: [PULSE1.OUT]\nuntil: 5\nset:\n  PULSE1.WIDHT: 1\n")
    cases = {
        (str(broken),): f"{broken}, line 4: PULSE1.WIDHT: No such field",
        (str(tmp_path / "none.yaml"),): f"{tmp_path}/none.yaml: No such file or directory",
        (str(script), "-o", "a.gif"): "a.gif: the suffix of a picture is one of",
        (
            str(script),
            "-o",
            f"{tmp_path}/no/a.svg",
        ): f"{tmp_path}/no/a.svg: No such file or directory",
        (str(script), "--from", "30"): "there is nothing to draw from tick 30 to tick 24",
        (str(script), "--to", "soon"): "'soon' is no time",
        (str(script), str(script), "-o", "a.svg"): "one output cannot hold several diagrams",
    }
    for arguments, message in cases.items():
        code, out, err = timing(capsys, *arguments)
        assert (code, out) == (1, ""), arguments
        assert err.startswith(f"panda-simulator: {message}")
        assert err.count("\n") == 1
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    code, _, err = timing(capsys, str(script))
    assert code == 1
    assert "a picture needs matplotlib, which is not installed" in err


def test_the_command_works_as_a_process(script):
    done = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-m", "panda_simulator", "timing", str(script), "--text"],
        capture_output=True, text=True, timeout=50, check=True, env={"PYTHONIOENCODING": "ascii",
        "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert "TTLIN1.VAL" in done.stdout
    assert done.stdout.isascii()


# The documentation


def documented(language: str) -> list[str]:
    text = (DOCS.parent / "simulator.md").read_text()
    section = text[text.index("## Timing diagrams") :]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_the_script_in_the_documentation_plays():
    (script,) = documented("yaml")
    assert play(parse_script(script)).remarks[0].text == "DELAY 7 ticks (56 ns)"


def test_the_program_in_the_documentation_runs():
    (program,) = documented("python")
    names: dict[str, object] = {}
    exec(program, names)  # noqa: S102 (our own)
    assert names["box"]


def test_every_example_is_named_in_the_documentation():
    text = (DOCS.parent / "simulator.md").read_text()
    assert [name for name in EXAMPLES if f"timing/{name}." not in text] == []
