"""How a fault can end other than well."""


class Broken(Exception):
    """A promise was not kept; which, and what was there instead."""


class Skipped(Exception):
    """This machine cannot do it; why."""


def must(holds: object, otherwise: str) -> None:
    """Raises Broken with the words unless it holds."""
    if not holds:
        raise Broken(otherwise)
