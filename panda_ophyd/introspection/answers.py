"""Every answer is kept under the question it answers; an answer of the wrong shape is none."""

from __future__ import annotations

from collections.abc import Iterable

from panda_ophyd.client import PandaClient
from panda_ophyd.control import Assign, Lines, Ok, Query, Reply


class Answers:
    """The replies to all questions so far."""

    def __init__(self, client: PandaClient) -> None:
        self._client = client
        self._replies: dict[str, Reply] = {}

    async def ask(self, questions: Iterable[str], *assigned: Assign) -> None:
        """Ask in one round trip; nothing at all costs none."""
        targets = [question for question in questions if question not in self._replies]
        if targets:
            queries = [Query(target) for target in targets]
            replies = await self._client.request_all([*assigned, *queries])
            self._replies.update(zip(targets, replies[len(assigned) :], strict=True))

    def reply(self, question: str) -> Reply | None:
        """Return whatever was answered, None if the question was never asked."""
        return self._replies.get(question)

    def text(self, question: str) -> str | None:
        """Return the one value answered, None if the server answered otherwise."""
        reply = self._replies.get(question)
        return reply.value if isinstance(reply, Ok) else None

    def number(self, question: str) -> int | None:
        """Return the whole number answered, None if the server answered otherwise."""
        text = self.text(question)
        return int(text) if text and text.isdecimal() else None

    def real(self, question: str) -> float | None:
        """Return the number answered, None if the server answered otherwise."""
        try:
            return float(self.text(question) or "")
        except ValueError:
            return None

    def lines(self, question: str) -> tuple[str, ...] | None:
        """Return the lines answered, None if the server answered otherwise."""
        reply = self._replies.get(question)
        return reply.lines if isinstance(reply, Lines) else None
