"""How the scripts draw: to a file, without a screen."""

from types import ModuleType


def pyplot() -> ModuleType:
    """matplotlib's; needs the extra `plot`. The same figures give the same SVG."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "trio_jobs"
    from matplotlib import pyplot as plt

    return plt
