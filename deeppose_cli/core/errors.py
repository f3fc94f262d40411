"""The two kinds of mistakes that end a command: one line for the user, no traceback."""


class DeepPoseError(Exception):
    """A bad file, a missing run, a training that cannot go on. The command ends with exit code 1.

    The message is one line that names the file or flag, the value found, and what would be valid.
    """

    exit_code = 1

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


class UsageError(DeepPoseError):
    """The command was typed wrongly (unknown flag value, flags that exclude each other). Exit code 2."""

    exit_code = 2


def one_line(text: object) -> str:
    """For messages: a file's name may hold line breaks, control characters, and bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
