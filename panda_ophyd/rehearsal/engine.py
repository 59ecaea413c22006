"""A RunEngine of its own in a thread of its own, beside the one of the session.

Only one rehearsal runs at a time: bluesky knows one event loop of a process, which is lent and
given back.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (bluesky leaves the parameters of its generics open in these calls)

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from bluesky.run_engine import (
    RunEngine,
    get_bluesky_event_loop,
    in_bluesky_event_loop,
    set_bluesky_event_loop,
)
from bluesky.utils import DuringTask, MsgGenerator, RunEngineInterrupted
from typing_extensions import override

from panda_ophyd.errors import RehearsalError

T = TypeVar("T")
Document = tuple[str, dict[str, Any]]

GRACE = 15.0
"""Seconds for a plan that was aborted to clean up."""

_LOOK = 0.05
_turn = threading.Lock()


class Engine:
    """A RunEngine that no signal and no terminal reaches.

    Attributes:
        documents: that plans have emitted.
    """

    def __init__(self, run_engine: RunEngine, loop: asyncio.AbstractEventLoop) -> None:
        self.documents: list[Document] = []
        self._engine = run_engine
        self._loop = loop
        run_engine.subscribe(self._keep)

    def _keep(self, name: str, doc: dict[str, Any]) -> None:
        self.documents.append((name, doc))

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop of the plans, from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def run(
        self,
        plan: Callable[[], MsgGenerator[Any]],
        preprocessor: Callable[[MsgGenerator[Any]], MsgGenerator[Any]],
        time_limit: float | None,
    ) -> Any:
        """Run a plan to its end; a pause goes on at once.

        Args:
            plan: makes it, where it will run.
            preprocessor: of its messages.
            time_limit: seconds of this computer, None for none.

        Returns:
            What the plan returned.

        Raises:
            TimeoutError: it was aborted at the limit.
            Exception: whatever the plan fails with.
        """
        outcome, over = list[Any](), threading.Event()
        self._engine.preprocessors = [preprocessor]

        def work() -> None:
            try:
                outcome.extend((None, self._to_the_end(plan)))
            except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
                outcome.extend((error, None))
            finally:
                over.set()

        thread = threading.Thread(target=work, name="rehearsal", daemon=True)
        try:
            thread.start()  # within: an interrupt may come before it returns
            _wait(over, time_limit)
        except BaseException as why:
            self._abort(over, str(why) or type(why).__name__)
            raise
        thread.join()
        error, result = outcome
        if error is not None:
            raise error
        return result

    def _to_the_end(self, plan: Callable[[], MsgGenerator[Any]]) -> Any:
        def made() -> MsgGenerator[Any]:
            return (yield from plan())

        engine: Any = self._engine  # its result is no tuple, as it was made
        try:
            return engine(made()).plan_result
        except RunEngineInterrupted:
            while True:
                if engine.state != "paused":
                    raise
                try:
                    return engine.resume().plan_result
                except RunEngineInterrupted:
                    continue

    def _abort(self, over: threading.Event, reason: str) -> None:
        end, asked = time.monotonic() + GRACE, False
        while not over.wait(_LOOK):
            if not asked and self._engine.state != "idle":  # it may be about to begin
                self._engine.abort(reason)
                asked = True
            if time.monotonic() > end:
                msg = (
                    f"the plan cannot be aborted: {GRACE:g} s later it still runs; does it wait"
                    " for something without a message?"
                )
                raise RehearsalError(msg)


def _wait(over: threading.Event, time_limit: float | None) -> None:
    # An event and not the thread: joining one that goes on takes it for ended when interrupted
    end = None if time_limit is None else time.monotonic() + time_limit
    while not over.wait(_LOOK):
        if end is not None and time.monotonic() > end:
            msg = f"the plan was not over after {time_limit:g} s, and was aborted"
            raise TimeoutError(msg)


class _Elsewhere(logging.Filter):
    """Lets pass what other RunEngines log: how a rehearsal fails is in its report."""

    def __init__(self, thread: int) -> None:
        super().__init__()
        self._thread = thread

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread != self._thread


@contextmanager
def engine_of_its_own() -> Generator[Engine]:
    """Make a RunEngine for the time of a rehearsal; the session's is as it was afterwards.

    Raises:
        RehearsalError: called from within a plan, whose RunEngine it would hold up.
    """
    if in_bluesky_event_loop():
        msg = "a rehearsal cannot run inside of a plan: rehearse before RE(plan)"
        raise RehearsalError(msg)
    with _turn:
        before = get_bluesky_event_loop()
        loop = asyncio.new_event_loop()
        # without context managers: these take signals, which only the main thread can
        engine = RunEngine(
            {}, loop=loop, context_managers=[], during_task=DuringTask(), call_returns_result=True
        )
        thread = asyncio.run_coroutine_threadsafe(_this_thread(), loop).result()
        quiet = _Elsewhere(thread.ident or 0)
        logger = logging.getLogger("bluesky")
        logger.addFilter(quiet)
        try:
            yield Engine(engine, loop)
        finally:
            logger.removeFilter(quiet)
            set_bluesky_event_loop(before)
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(_settled(), loop).result(GRACE)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(GRACE)
            if not thread.is_alive():
                loop.close()


async def _settled() -> None:
    """Cancel what a plan has left behind: its loop is about to end."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def _this_thread() -> threading.Thread:
    return threading.current_thread()
