"""`module:app`: the user's own job types, imported by name."""

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from ..app import Jobs, with_keep
from ..builtin import handlers
from ..config import Settings
from ..errors import ConfigError
from ..registry import Registry
from ..service import Service


def find_app(target: str) -> Jobs:
    """The Jobs that `module:attribute` names; the current directory is searched as well.

    Raises ConfigError when there is none. What the module itself raises comes through.
    """
    name, colon, attribute = target.partition(":")
    if not (name and colon and attribute):
        raise ConfigError(f"{target!r} is not MODULE:ATTRIBUTE, e.g. tasks:app")
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - it is compared with texts
        sys.path.insert(0, here)
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # something that the module wants
        raise ConfigError(f"There is no module {error.name!r} here or installed.") from None
    found = getattr(module, attribute, None)
    if found is None:
        apps = [key for key, value in vars(module).items() if isinstance(value, Jobs)]
        hint = f" It has: {', '.join(apps)}." if apps else ""
        raise ConfigError(f"The module {name} has no {attribute!r}.{hint}")
    if not isinstance(found, Jobs):
        kind = type(found).__name__
        raise ConfigError(f"{target} is no trio_jobs.Jobs; it is of the type {kind}.")
    return found


class Target:
    """What a process serves: the built-in types, or those of an app. Raises as `find_app`, and
    ConfigError when two types have one name."""

    def __init__(self, target: str | None, settings: Settings) -> None:
        self._app = None if target is None else find_app(target)
        if self._app is None:
            self.registry = Registry(handlers(settings))
        else:
            try:
                self.registry = self._app.registry(settings)
            except ValueError as error:
                raise ConfigError(f"{target}: {error}") from None
        self.settings = with_keep(settings, self.registry)

    def bound(self, service: Service) -> AbstractContextManager[None]:
        """Handlers that enqueue do it here meanwhile."""
        return nullcontext() if self._app is None else self._app.bound(service, self.settings)
