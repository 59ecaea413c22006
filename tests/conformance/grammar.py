"""Random commands, plausible and broken, made of what a box says of itself.

Source: protocol.md 2, 3, 4, 5, 6, 7.5.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from hypothesis import strategies as st

from .survey import Field, Survey
from .wire import Control

Text = st.SearchStrategy[str]
LIMIT = 1000
"""Most bytes of a line, leaving room for what is put around it."""


def either(texts: str) -> list[str]:
    """Texts that are written down with bars between them."""
    return texts.split("|")


ODD_INTEGERS = either(
    "| |0|-0|+1| 7|\t7|7 |08|0x|0xg|1.5|1e3|x|-|+-1|1,2|٣|-1|4294967295|4294967296|2147483648"
    "|-2147483649|9223372036854775808|18446744073709551615|18446744073709551616"
)
ODD_REALS = either(
    "nan|-nan|inf|-inf|infinity|NAN|nan(1)|1e400|1e-400|-1e-400|1e-320|0x1p-3|0x1.8p1|0x|0x.p1"
    "|.5|5.|.|1e|1e+|1 e3|1.5 | 1.5|-0.0|4e-9|12e-9|34.359738360|34.35973837|2251799.81"
)
SYSTEM = either(
    "*IDN?|*WHO?|*BLOCKS?|*CLOCK_FREQ?|*POSITIONS?|*BITS?|*METADATA.*?|*CAPTURE?|*CAPTURE.*?"
    "|*CAPTURE.OPTIONS?|*CAPTURE.ENUMS?|*CAPTURE.X?|*CAPTURE=x|*PCAP.STATUS?|*PCAP.CAPTURED?"
    "|*PCAP.COMPLETION?|*PCAP.X?|*PCAP.ARM?|*PCAP.X=|*PCAP.STATUS1?|*PCAP.DISARM= |*SAVESTATE?"
    "|*SAVESTATE=x|*VERBOSE?|*VERBOSE=x|*IDN=|*ECHO?|*NOSUCH?|*?|*|*idn?|*IDN?\r|*BLOCKS.X?"
    "|*WHO=|*DESC?|*ENUMS.*?|*METADATA?|*METADATA.NOSUCH?|*METADATA.NOSUCH=1|*POSITIONS?x"
)
INTEGERS = st.one_of(
    st.integers(0, 40).map(str),
    st.integers(-(2**33), 2**33).map(str),
    st.integers(-(2**65), 2**65).map(str),
    st.integers(0, 2**33).map(hex),
    st.integers(0, 2**20).map(lambda n: f"0{n:o}"),
    st.sampled_from(ODD_INTEGERS),
)
REALS = st.one_of(
    st.floats(allow_nan=False, allow_subnormal=False).map(repr),
    st.floats(0, 40).map(lambda x: f"{x:.6g}"),
    st.floats(0, 3e6, allow_subnormal=False).map(repr),
    st.integers(0, 2**49).map(lambda n: repr(n / 125e6)),
    INTEGERS,
    st.sampled_from(ODD_REALS),
)
FREE = st.one_of(
    st.text(max_size=20),
    st.text("abc µ=?<!.", max_size=300),
    st.binary(max_size=12).map(lambda data: data.decode("utf-8", "surrogateescape")),
    st.sampled_from(["mm", "", " ", "x (error)", "x<", "y" * 255, "\udcff", "\r", "(null)"]),
).map(lambda text: text.replace("\n", "").replace("\0", "")[:LIMIT])
LUTS = st.one_of(
    st.recursive(
        st.sampled_from("ABCDE01"),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["&", "|", "^", "=", "==", "=>", " & "]), inner).map(
                "".join
            ),
            inner.map(lambda text: f"({text})"),
            inner.map(lambda text: f"~{text}"),
            st.tuples(inner, inner, inner).map(lambda parts: "{}?{}:{}".format(*parts)),
        ),
        max_leaves=8,
    ),
    st.integers(0, 2**36).map(hex),
    st.text("AB01()~&^|=>?: x", max_size=12),
    st.integers(30, 42).map(lambda depth: "(" * depth + "A" + ")" * depth),
)
_OPTIONS = ["Value", "Diff", "Sum", "Min", "Max", "Mean", "StdDev"]
_NO_OPTIONS = ["No", "", "value", "X" * 32, "MinMax"]
CAPTURES = st.one_of(
    st.lists(st.sampled_from(_OPTIONS), max_size=5).map(" ".join),
    st.lists(st.sampled_from([*_OPTIONS, *_NO_OPTIONS]), max_size=4).map(" ".join),
    st.lists(st.sampled_from([*_OPTIONS, "No"]), max_size=3).map("\t ".join),
)
GARBAGE = st.one_of(
    st.binary(max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape")),
    st.text("*?=<.[] ABC12_x\r\0", max_size=20),
    st.text(max_size=30),
).map(lambda text: text.replace("\n", ""))
STRAYS = st.one_of(
    st.binary(min_size=1, max_size=2).map(lambda data: data.decode("utf-8", "surrogateescape")),
    st.sampled_from(["\udcb2", "\udcb9", "\udca0", "\udc85", "\t", "\v", " ", "1", "."]),
).filter(lambda text: not set("=<\n") & set(text))
"""What gets into a name; a query stays one."""
ACTIONS = st.sampled_from(["", "", "", " ", "1", "x"])
BITS = st.sampled_from(["0", "1", "0", "1", "", "2", "01", "1 ", " 1", "x"])
UNITS = st.sampled_from(["min", "s", "ms", "us", "", "S", "ns", "s "])


@dataclass(frozen=True, slots=True)
class Command:
    """The lines of one command, and what a reading must give once it is accepted."""

    lines: tuple[str, ...]
    reads: tuple[str, str] | None = None

    @property
    def target(self) -> str:
        """What is before the first separator."""
        first = self.lines[0]
        ends = [at for mark in "?=<" if (at := first.find(mark)) >= 0]
        return first[: min(ends)] if ends else ""


def queries(targets: Text) -> st.SearchStrategy[Command]:
    return targets.map(lambda target: Command((f"{target}?",)))


def writes(target: str, values: Text) -> st.SearchStrategy[Command]:
    return values.map(lambda value: Command((f"{target}={value}",)))


def kept(target: str, values: Text) -> st.SearchStrategy[Command]:
    """Writes of values that must read back as they are."""
    return values.map(lambda value: Command((f"{target}={value}",), (target, value)))


@dataclass
class Grammar:
    """Everything that may be said to one box."""

    box: Survey
    excepted: str | None = None
    """Pattern of the blocks to leave alone."""
    labels: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    attributes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    row_words: dict[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        pattern = self.excepted
        self.fields = [f for f in self.box.fields if not (pattern and re.match(pattern, f.block))]
        self.blocks = list(dict.fromkeys(each.block for each in self.fields))
        with Control(self.box.address) as control:
            for each in self.fields:
                self.attributes[each.bare] = control.lines(f"{each.bare}.*")
                labels = control.ask(f"*ENUMS.{each.bare}?")
                if isinstance(labels, list):
                    self.labels[each.bare] = labels
                if each.cls == "table":
                    self.row_words[each.bare] = int(control.value(f"{each.instances[0]}.ROW_WORDS"))

    def may_write(self, each: Field) -> bool:
        """Leave alone what cannot be put back, unless the box is ours."""
        return self.box.ours or not (each.cls == "write" or each.subtype in {"action", "scalar"})

    def of(self, info: str) -> list[Field]:
        return [each for each in self.box.of(info) if each in self.fields]

    def field_writes(self, each: Field, target: str) -> st.SearchStrategy[Command]:
        """Assignments to a field, most of them plausible."""
        labels = self.labels.get(each.bare)
        if labels:
            odd = st.sampled_from([*labels[:2], "", "0", " ", labels[0] + " ", labels[0].lower()])
            return kept(target, st.sampled_from(labels)) | writes(target, odd)
        by_subtype: dict[str, Text] = {
            "lut": LUTS, "time": REALS, "bit": BITS, "action": ACTIONS, "scalar": REALS,
        }  # fmt: skip
        values = REALS if each.cls == "time" else by_subtype.get(each.subtype, INTEGERS)
        if each.info == "param uint":
            return writes(target, values) | kept(target, st.integers(0, 20).map(str))
        return writes(target, values)

    def attribute_writes(self, each: Field, target: str) -> st.SearchStrategy[Command]:
        choices: list[st.SearchStrategy[Command]] = []
        values: dict[str, Text] = {
            "SCALE": REALS, "OFFSET": REALS, "CAPTURE": CAPTURES,
            "UNITS": UNITS if each.cls == "time" or each.subtype == "time" else FREE,
        }  # fmt: skip
        for name in self.attributes[each.bare]:
            choices.append(writes(f"{target}.{name}", values.get(name, INTEGERS)))
            if name == "DELAY":
                choices.append(kept(f"{target}.{name}", st.integers(0, 31).map(str)))
        return st.one_of(choices)

    def broken(self) -> Text:
        """Names of which some part is wrong."""
        odd = ["NOSUCH", "", "1X", "A" * 31, "A" * 32, "x", "_"]
        blocks = st.sampled_from([*self.blocks, *odd])
        numbers = st.sampled_from(["", *"0129", "01", "010", "08", "99", "-1", str(10**20)])
        fields = st.sampled_from(
            [
                *sorted({f.name for f in self.fields}),
                "NOSUCH",
                "",
                "*",
                "1",
                "B" * 32,
                "x y",
                "*X",
            ]
        )
        names = {name for listed in self.attributes.values() for name in listed}
        odd = ["", "", "", ".*", ".", ".NOSUCH", ".1", " "]
        ends = st.sampled_from([*odd, *(f".{name}" for name in sorted(names))])
        return st.tuples(blocks, numbers, fields, ends).map("{0[0]}{0[1]}.{0[2]}{0[3]}".format)

    def described(self) -> Text:
        """What `*DESC` and `*ENUMS` may be asked of."""
        names: list[str] = [*self.blocks]
        for each in self.fields:
            names += [each.bare, each.instances[-1], f"{each.bare}[].NOSUCH"]
            names += [f"{each.bare}.{name}" for name in self.attributes[each.bare]]
        return st.sampled_from(names) | self.broken()

    def columns(self) -> list[str]:
        with Control(self.box.address) as control:
            return [
                f"{each.bare}[].{line.split(' ')[1]}"
                for each in self.of("table")
                for line in control.lines(f"{each.instances[0]}.FIELDS")
            ]

    def system(self) -> st.SearchStrategy[Command]:
        described = self.described()
        if columns := self.columns():
            described |= st.sampled_from(columns)
        names = ["CONFIG", "BITS", "POSN", "READ", "ATTR", "TABLE", "METADATA", "X", ""]
        groups = st.sampled_from(["", "", "X", *(f".{name}" for name in names)])
        fixed = [*SYSTEM]
        if self.box.ours:
            fixed += ["*CAPTURE=", "*VERBOSE=0", "*PCAP.DISARM="]
        kinds = [
            st.sampled_from(fixed),
            described.map("*DESC.{}?".format),
            described.map("*ENUMS.{}?".format),
            FREE.map("*ECHO {}?".format),
            st.tuples(groups, st.sampled_from(["?", "?", "?", "=", "=E", "=S", "=X"])).map(
                lambda parts: "*CHANGES{}{}".format(*parts)
            ),
        ]
        if self.box.metadata:
            keys = st.sampled_from([f"*METADATA.{key}" for key in self.box.metadata])
            kinds += [keys.map("{}?".format), st.tuples(keys, FREE).map("=".join)]
        return st.one_of(kinds).map(lambda line: whole((line, "")))

    def bodies(self, row: int, *, binary: bool) -> st.SearchStrategy[tuple[str, ...]]:
        """Bodies of tables, most of them of whole rows."""

        def decimal(words: list[int]) -> tuple[str, ...]:
            texts = [str(word) for word in words]
            return tuple(" ".join(texts[at : at + 7]) for at in range(0, len(texts), 7))

        def encoded(words: list[int]) -> tuple[str, ...]:
            data = b"".join(word.to_bytes(4, "little") for word in words)
            pieces = [data[at : at + 48] for at in range(0, len(data), 48)]
            return tuple(base64.b64encode(piece).decode() for piece in pieces)

        words = st.lists(st.integers(0, 2**32 - 1), max_size=5).map(lambda some: some * row)
        odd = st.lists(st.text("AQ= +/0x1-\t", min_size=1, max_size=12), max_size=3)
        numbers = st.lists(INTEGERS.filter(bool), max_size=4)
        return st.one_of(
            words.map(encoded if binary else decimal),
            words.map(encoded if binary else decimal),
            odd.map(tuple),
            numbers.map(tuple),
            words.map(decimal if binary else encoded),
        )

    def tables(self, names: list[tuple[str, str]]) -> st.SearchStrategy[Command]:
        """Table writes of instances and their fields."""
        legal = ["", "", "B", "<", "<B", "<|", "<|B"]
        modifiers = st.sampled_from([*legal, "|", "BB", "X", "<B|", " "])

        @st.composite
        def write(draw: st.DrawFn) -> Command:
            target, bare = draw(st.sampled_from(names))
            form = draw(modifiers)
            body = draw(self.bodies(self.row_words[bare], binary=form.endswith("B")))
            return Command((f"{target}<{form}", *body, ""))

        return write()

    def other_tables(self) -> st.SearchStrategy[Command]:
        """Bodies for what is no table, and for metadata."""
        targets = [f.instances[0] for f in self.fields[::7]]
        targets += [f"*METADATA.{key}" for key in self.box.metadata]
        targets += ["NOSUCH.X", "*IDN", "*ECHO", "*METADATA.NOSUCH", "", "*"]
        targets += [*self.blocks][:1]
        forms = st.sampled_from(["", "", "", "B", "<", "<B", "<|", "X"])
        lines = st.lists(FREE.filter(bool), max_size=3)
        return st.tuples(st.sampled_from(targets), forms, lines).map(
            lambda parts: Command((f"{parts[0]}<{parts[1]}", *parts[2], ""))
        )

    def commands(self) -> st.SearchStrategy[Command]:
        """Any command."""
        instances = [(each, target) for each in self.fields for target in each.instances]
        names = [target for _, target in instances] + [
            f"{target}.{name}" for each, target in instances for name in self.attributes[each.bare]
        ]
        names += [f"{block}.*" for block in self.blocks]
        names += [f"{each.bare}.*" for each in self.fields]
        some = st.sampled_from(names)
        writable = st.sampled_from([pair for pair in instances if self.may_write(pair[0])])
        junk = st.sampled_from(["?", "=", "=1", "<", "?x", "=ZERO", "", "=?", "?=", "<?"])
        kinds = [
            queries(some),
            writable.flatmap(lambda pair: self.field_writes(*pair)),
            writable.flatmap(lambda pair: self.field_writes(*pair)),
            writable.flatmap(lambda pair: self.attribute_writes(*pair)),
            self.system(),
            st.tuples(self.broken(), junk).map(whole),
            st.tuples(some, junk).map(whole),
            GARBAGE.map(lambda line: whole((line, ""))),
            st.tuples(some, STRAYS, st.integers(0, 20)).map(spoilt),
            self.other_tables(),
        ]
        tables = [(t, each.bare) for each in self.of("table") for t in each.instances]
        if tables:
            kinds.append(self.tables(tables))
        return st.one_of(kinds)


def spoilt(parts: tuple[str, str, int]) -> Command:
    """A query with something in its name that does not belong there."""
    name, stray, place = parts
    return Command((f"{name[:place]}{stray}{name[place:]}?",))


def whole(parts: tuple[str, str]) -> Command:
    """A command of a name and what follows; one that opens a table gets its end."""
    line = "".join(parts)
    visible = line.partition("\0")[0]
    marks = [(at, mark) for mark in "?=<" if (at := visible.find(mark)) >= 0]
    if marks and min(marks)[1] == "<":
        return Command((line, ""))
    return Command((line,))
