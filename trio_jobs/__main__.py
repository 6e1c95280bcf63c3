"""`python -m trio_jobs` is `trio-jobs`."""

from .cli import main

main()
