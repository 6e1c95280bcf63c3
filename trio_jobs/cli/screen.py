"""A terminal that is drawn anew again and again, and is afterwards as it was before."""

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

_ENTER = "\x1b[?1049h\x1b[?25l"  # the other screen, no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"


class Screen:
    """Standard output shows what `show` gets, standard input gives keys as they are pressed."""

    @property
    def height(self) -> int:
        return shutil.get_terminal_size().lines

    def show(self, lines: Sequence[str]) -> None:
        """As many of `lines` as there is room for."""
        size = shutil.get_terminal_size()
        fitting = [f"{line[: size.columns]}\x1b[K" for line in lines[: size.lines]]
        _write("\x1b[H" + "\n".join(fitting) + "\x1b[J")

    def keys(self, seconds: float) -> str:
        """What is pressed within this time, as soon as it is. EOFError: nothing ever will be."""
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        if not ready:
            return ""
        pressed = os.read(sys.stdin.fileno(), 1_024)
        if not pressed:
            raise EOFError
        return pressed.decode(errors="replace")


@contextmanager
def other_screen() -> Iterator[Screen]:
    """The terminal is ours inside. SIGTERM comes as Ctrl-C does: trio.run could not take an
    exception out of a handler of our own."""
    terminal = sys.stdin.fileno()
    attributes, on_term = termios.tcgetattr(terminal), signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGTERM, _as_interrupt)
        tty.setcbreak(terminal)
        ours = termios.tcgetattr(terminal)
        ours[6][termios.VSUSP] = b"\0"  # no Ctrl-Z: it would leave the shell on this screen
        termios.tcsetattr(terminal, termios.TCSADRAIN, ours)
        _write(_ENTER)
        yield Screen()
    finally:
        _write(_LEAVE)
        termios.tcsetattr(terminal, termios.TCSADRAIN, attributes)
        signal.signal(signal.SIGTERM, on_term)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)
