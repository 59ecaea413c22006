"""Any box that can be made of texts is recorded such that all its answers are the same."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from panda_simulator.box.boxfile import BoxFile
from panda_simulator.box.loading import CONTROL_REGISTERS
from panda_simulator.identity import Identity
from panda_simulator.state import asker

from .test_record import play, recorded

REGISTER_SUBTYPES = ["uint", "uint 63", "int", "scalar 0.25 -3 mm", "scalar 1e-9", "bit", "action",
                     "lut", "time", "enum"]  # fmt: skip
KINDS = ["param", "read", "write", "time", "bit_out", "pos_out", "bit_mux", "pos_mux", "table"]
VALUES = ["1", "0.333333333333", "us", "A|~B", "123456.78901234567", "ONE", "Value", "-7", ""]
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,6}", fullmatch=True)
block_names = st.from_regex(r"[A-Z]([A-Z0-9_]{0,5}[A-Z_])?", fullmatch=True)
labels = st.text("abcXYZ 0123=<>é", min_size=1, max_size=9).map(
    lambda text: text.strip().encode().decode("latin-1") or "-"
)


class Texts:
    """The texts of a box in the making."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.bits = draw(st.permutations(range(128)))
        self.positions = draw(st.permutations(range(32)))
        self.entries = draw(st.permutations(range(16)))
        self.groups = draw(st.permutations(range(4)))
        self.config: list[str] = []
        self.registers: list[list[str]] = []
        self.description: list[str] = []

    def enumeration(self, indent: str) -> list[str]:
        texts = self.draw(st.lists(labels, max_size=4, unique=True))
        numbers = self.draw(st.permutations(range(len(texts) + 2)))
        return [f"{indent}{n} {text}" for n, text in zip(numbers, texts, strict=False)]

    def take(self, source: str, count: int) -> str | None:
        left: list[int] = getattr(self, source)
        if len(left) < count:
            return None
        setattr(self, source, left[count:])
        return " ".join(str(number) for number in left[:count])

    def block(self, name: str, count: int, base: int) -> None:
        self.config.append(f"{name}[{count}]" if count > 1 or self.draw(st.booleans()) else name)
        self.description.append(f"{name} {self.draw(labels)}")
        lines: list[str] = []
        register = 0
        kinds = [*KINDS, "ext_out"] if count == 1 else KINDS
        for field in self.draw(st.lists(names, max_size=8, unique=True)):
            text, below, spec, used = self.field(self.draw(st.sampled_from(kinds)), count, register)
            if spec is None:
                continue
            register += used
            self.config += [f"  {field} {text}", *below]
            lines.append(f"  {field} {spec}")
            if self.draw(st.booleans()):
                self.description.append(f"  {field} {self.draw(labels)} ")
        self.registers.append([f"{name} {base}", *self.draw(st.permutations(lines))])

    def field(self, kind: str, count: int, at: int) -> tuple[str, list[str], str | None, int]:
        """Return class line, lines below it, what registers say, and registers used."""
        if kind in {"param", "read", "write"}:
            subtype = self.draw(st.sampled_from(REGISTER_SUBTYPES))
            below = self.enumeration("    ") if subtype == "enum" else []
            spec = str(at) if self.draw(st.booleans()) else "X in_temp0"
            return f"{kind} {subtype}", below, spec, 1
        if kind == "ext_out":
            subtype = self.draw(st.sampled_from(["timestamp", "samples", "bits"]))
            if subtype == "bits":
                if not self.groups:
                    return "", [], None, 0
                self.groups, group = self.groups[1:], self.groups[0]
                subtype = f"bits {group}"
            return f"ext_out {subtype}", [], self.take("entries", 1 + (subtype[0] == "t")), 0
        if kind == "table":
            words = self.draw(st.integers(1, 4))
            below = [f"    {32 * words - 1}:{32 * words - 3} TOP enum", *self.enumeration("     ")]
            spec = self.draw(
                st.sampled_from([f"short 64 {at} {at + 1} {at + 2}", f"long 2^3 8 {at} {at + 1}"])
            )
            return f"table {words}", [*below, "    0:0 LOW", "    9:1 MID int"], spec, 3
        if kind in {"bit_out", "pos_out"}:
            source = "bits" if kind == "bit_out" else "positions"
            return kind, [], self.take(source, count), 0
        return kind, [], f"{at} {at + 1}" if kind in {"time", "bit_mux"} else str(at), 2


@st.composite
def box_files(draw) -> BoxFile:
    texts = Texts(draw)
    blocks = draw(st.lists(block_names, min_size=1, max_size=6, unique=True))
    for base, name in enumerate(blocks, start=2):
        texts.block(name, draw(st.sampled_from([1, 1, 2, 5])), base)
    keys = draw(st.lists(names, max_size=5, unique=True))
    metadata = [
        f"  {k} {draw(st.sampled_from(['string', 'multiline', 'constant =x ']))}" for k in keys
    ]
    registers = ["DRIVER_COMPAT_VERSION = 1", "*REG 0"]
    registers += [f" {n} {' .. '.join(map(str, at))}" for n, at in CONTROL_REGISTERS.items()]
    registers += [line for block in draw(st.permutations(texts.registers)) for line in block]
    return BoxFile(
        identity=Identity("4.1", (1, 2, 3), "Test"),
        clock_frequency=125_000_000,
        std_dev=draw(st.booleans()),
        config=[*texts.config, "*METADATA", *metadata],
        registers=registers,
        description=texts.description,
        state=[],
    )


@given(file=box_files(), shift=st.integers(0, len(VALUES) - 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_box_is_recorded_as_it_is(file, shift):
    box = play(file)
    ask = asker(box)
    for index, report in enumerate(ask("*CHANGES?"), start=shift):
        name = report[1:].partition("=")[0]
        ask(f"{name.partition(' ')[0]}={VALUES[index % len(VALUES)]}")
        if name.endswith("<"):
            ask(f"{name}\n{'1 2 3 4' * (index % 3)}\n")
    recorded(box)
