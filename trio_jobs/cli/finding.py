"""What a check of `trio-jobs doctor` has found."""

from typing import NamedTuple

OK, WARN, FAIL = "ok", "warn", "fail"


class Finding(NamedTuple):
    """`status` is ok, warn or fail; `advice` is empty when all is well."""

    check: str
    status: str
    detail: str
    advice: str = ""
