"""Is a file what it should be? Derived anew from the file alone, whatever it says of itself.

A file is good only when it was closed, every dataset has every row, every row can be
read, and the counts and reasons of its acquisitions say that nothing is lacking. What
software without such records wrote can be no better than unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from typing_extensions import override

from panda_ophyd.verdict import Verdict, judge, so_far
from panda_ophyd.writers import Evidence, Hand, Maker, Unreadable, examine

MOST_PROBLEMS = 3
"""How many problems one line names."""


class State(Enum):
    """What can be said of a file."""

    GOOD = "good"
    BAD = "bad"
    WRITING = "being written"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of one file.

    Attributes:
        path: of the file.
        state: what can be said of it.
        maker: who wrote it; empty if it cannot be read.
        rows: in every dataset.
        datasets: how many there are.
        verdict: derived from its acquisitions, None if it has no records of them.
        problems: what is wrong, or why nothing can be said.
    """

    path: Path
    state: State
    maker: str = ""
    rows: int = 0
    datasets: int = 0
    verdict: Verdict | None = None
    problems: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        """Return it in one line."""
        words = [f"{self.path}: {self.state.value}"]
        if self.maker:
            words.append(f"{self.rows} rows in {self.datasets} datasets")
        if self.state is State.GOOD and self.verdict is not None:
            count = len(self.verdict.acquisitions)
            words += [f"{count} acquisition{'' if count == 1 else 's'}"] if count else []
            words.append(f"ended {self.verdict.end_reason}")
        if self.verdict is not None and self.verdict.suspect_row >= 0:
            stop = self.verdict.suspect_stop
            last = f" to {stop - 1}" if stop > self.verdict.suspect_row else " on"
            words.append(f"rows from {self.verdict.suspect_row}{last} in doubt")
        more = len(self.problems) - MOST_PROBLEMS
        tail = [f"and {more} more"] if more > 0 else []
        return "; ".join([", ".join(words), *self.problems[:MOST_PROBLEMS], *tail])

    def to_json(self) -> dict[str, object]:
        """Return it as plain values, without what a reader of a few lines would not want."""
        verdict = self.verdict
        return {
            "path": str(self.path),
            "state": self.state.value,
            "maker": self.maker,
            "rows": self.rows,
            "datasets": self.datasets,
            "problems": list(self.problems),
            "end_reason": verdict.end_reason if verdict else None,
            "suspect_rows": [verdict.suspect_row, verdict.suspect_stop]
            if verdict and verdict.suspect_row >= 0
            else None,
            "acquisitions": [
                {
                    "first_row": record.first_row,
                    "rows": record.rows,
                    "discarded": record.discarded,
                    "received": record.received,
                    "sent": record.sent,
                    "missed": record.missed,
                    "end_reason": record.end_reason,
                    "start_time": record.start_time,
                    "time_shift_ns": record.time_shift_ns,
                }
                for record in (verdict.acquisitions if verdict else ())
            ],
        }


def check_file(path: Path, *, thorough: bool = True) -> Report:
    """Judge a file; whatever is wrong with it is in the report, and nothing is raised.

    Args:
        path: of the file.
        thorough: read every row, in place of making sure that it is there.
    """
    try:
        evidence = examine(path, thorough=thorough)
    except Unreadable as why:
        return Report(path, State.BAD, problems=(str(why),))
    lengths = evidence.lengths
    state, verdict, problems = _weighed(evidence)
    return Report(
        path=path,
        state=state,
        maker=evidence.maker.value,
        rows=min(lengths.values(), default=0),
        datasets=len(lengths),
        verdict=verdict,
        problems=tuple(problems),
    )


def _weighed(evidence: Evidence) -> tuple[State, Verdict | None, list[str]]:
    if evidence.maker is not Maker.OURS:
        return _foreign(evidence)
    who = f" by {evidence.writer}" if evidence.writer else ""
    if evidence.hand is Hand.WRITING:
        return State.WRITING, None, [f"written{who}"]
    verdict, problems = _derived(evidence)
    if evidence.hand is not Hand.CLOSED:
        words = f"{evidence.hand.value}: it was never closed{who}"
        state = State.BAD if evidence.hand is Hand.DIED else State.UNKNOWN
        return state, verdict, [words, *problems]
    if evidence.lacking and not problems:  # nothing is known to be wrong, nor to be right
        return State.UNKNOWN, verdict, [evidence.lacking]
    return (State.BAD if problems else State.GOOD), verdict, problems


def _derived(evidence: Evidence) -> tuple[Verdict | None, list[str]]:
    """Return the verdict on what one of our files holds, and all that is wrong with it."""
    said = evidence.said
    if evidence.acquisitions is None:
        return said, [*_own_words(said, evidence), *evidence.damage]
    closed = evidence.hand is Hand.CLOSED
    rows = min(evidence.lengths.values(), default=0)
    acquisitions = evidence.acquisitions if closed else so_far(evidence.acquisitions, rows)
    verdict = judge(acquisitions, evidence.lengths)
    problems = [*verdict.problems, *evidence.damage]
    if closed:
        # What went wrong with connection or disk left no trace but in words
        problems += _own_words(said, evidence, problems)
    return verdict, problems


def _own_words(
    said: Verdict | None, evidence: Evidence, known: Sequence[str] = ()
) -> Sequence[str]:
    """Return what a file says is wrong with it and is not known, and where it is not as it says."""
    if said is None:
        return ["it says nothing about itself"]
    found: list[str] = []
    if not said.complete and not said.problems:
        found.append(f"it says itself that it is not complete: {said.end_reason}")
    elif not said.complete and (words := _without("; ".join(said.problems), known)):
        found.append(words)
    found += [
        f"{name} has {rows} rows but {said.rows} were written"
        for name, rows in evidence.lengths.items()
        if rows != said.rows >= 0
    ]
    return found


def _without(text: str, known: Sequence[str]) -> str:
    """Return what a file says is wrong, one line, less what is known.

    Nothing says where one problem ends and the next begins, because each may have the same
    mark in it: what is left is the one failure that a verdict has in front of what it derives.
    """
    marked = f"; {text}; "
    for problem in known:
        marked = marked.replace(f"; {problem}; ", "; ", 1)
    left = marked.removeprefix("; ").removesuffix("; ")
    # The file has room for so much: the last problem may be cut
    start, mark, tail = left.rpartition("; ")
    cut = any(problem.startswith(tail) for problem in known)
    return start if mark and cut else "" if cut else left


def _foreign(evidence: Evidence) -> tuple[State, Verdict | None, list[str]]:
    problems = list(evidence.damage)
    lengths = evidence.lengths
    if not lengths:
        problems.append("it has no datasets at its root")
    elif len(set(lengths.values())) > 1:
        shortest = min(lengths, key=lambda name: lengths[name])
        longest = max(lengths, key=lambda name: lengths[name])
        problems.append(
            f"{shortest} has {lengths[shortest]} rows but {longest} has {lengths[longest]}"
        )
    if problems and evidence.hand is Hand.CLOSED:
        return State.BAD, None, problems
    if evidence.hand is not Hand.CLOSED:
        problems.append(evidence.hand.value)
    words = f"written by {evidence.maker.value}, which does not keep how many rows were sent"
    return State.UNKNOWN, None, [*problems, words]
