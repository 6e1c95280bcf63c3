"""Everything from one database to another, whatever the two are. `move` is all there is to see."""

from .mover import Moved, move

__all__ = ["Moved", "move"]
