"""A box cannot be recorded: one line that says what failed, on what and why."""


class RecordError(Exception):
    """The link was lost, or what answered is no PandA."""
