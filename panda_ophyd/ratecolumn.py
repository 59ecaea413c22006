"""How fast rows come, as a column of a progress bar; free of the framework, for the CLI."""

from __future__ import annotations

from rich.progress import ProgressColumn, Task
from rich.text import Text
from typing_extensions import override


class RateColumn(ProgressColumn):
    """Rows and megabytes a second."""

    @override
    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        size = speed * task.fields.get("sample_bytes", 0)
        return Text(f"{speed:,.0f} rows/s {size / 1e6:.1f} MB/s")
