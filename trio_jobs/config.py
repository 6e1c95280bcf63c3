"""Every setting once: its name, type, default and the sentence that `--help` shows.

A setting comes from its flag, else from `TRIO_JOBS_<NAME>` (or the file named by
`TRIO_JOBS_<NAME>_FILE`, for secrets), else from `trio-jobs.toml` (see config_file), else from its
default. `Settings.load` says which.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

from .errors import ConfigError
from .redaction import DEFAULT_WORDS
from .retention import DEFAULT as DEFAULT_KEEP
from .retention import Retention

PREFIX = "TRIO_JOBS_"
SERVER_VARIABLE = PREFIX + "SERVER"  # where the command line looks for a service; no setting
TOKEN_VARIABLE = PREFIX + "TOKEN"  # … what it says there (or, with _FILE, where that is kept)
CONFIG_VARIABLE = PREFIX + "CONFIG"  # … and where it looks for its settings
_NO_SETTINGS = {SERVER_VARIABLE, TOKEN_VARIABLE, TOKEN_VARIABLE + "_FILE", CONFIG_VARIABLE}
# Names as jobs have them.
_QUEUE_LIMIT = re.compile(r"(\*|[A-Za-z0-9_.:-]{1,64}):([1-9][0-9]{0,5})")
KB, MB = 1_000, 1_000_000


def _setting(default: Any, help_: str, **extra: Any) -> Any:
    return field(default=default, metadata={"help": help_, **extra})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations are seconds, sizes bytes. Lists are written with commas."""

    # the service
    bind: str = _setting("127.0.0.1:8080", "Address to serve on: HOST:PORT or unix:PATH.")
    listen_fd: int = _setting(
        0, "A socket that listens there already, by its number (systemd: 3). 0: make one."
    )
    database: str = _setting(
        "sqlite:///trio-jobs.db",
        "Where the jobs are kept: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
    )
    data_dir: str = _setting("trio-jobs-data", "Directory for what jobs produce: outbox, files.")
    auth: str = _setting(
        "auto",
        "Who needs a token. auto: everybody, unless the service is bound to this machine only.",
        choices=("auto", "required"),
    )
    processes: int = _setting(1, "Processes that do the same, on one port and one database.")
    shared: bool = _setting(False, "Let other processes of this machine use the same database.")
    durability: str = _setting(
        "full",
        "full: a 2xx survives a power cut. relaxed: it survives kill -9 only.",
        choices=("full", "relaxed"),
    )

    # the log
    log_format: str = _setting(
        "auto",
        "json: a line per event. pretty: for people. auto: pretty on a terminal.",
        choices=("auto", "json", "pretty"),
    )
    log_level: str = _setting(
        "info",
        "What is logged, from this level up.",
        choices=("debug", "info", "warning", "error", "critical"),
    )
    redact: tuple[str, ...] = _setting(
        DEFAULT_WORDS,
        "What has one of these in its name is a secret: hidden in logs, errors, lists and events.",
    )

    # the workers
    worker: bool = _setting(True, "Run jobs in this process (--no-worker: only serve HTTP).")
    concurrency: int = _setting(100, "Jobs that run at the same time.")
    queues: tuple[str, ...] = _setting(
        (),
        "Serve only these queues, each with its own number of jobs at a time, in place of "
        "concurrency: media:4,default:20; *:8 stands for all others together.",
    )
    threads: int = _setting(16, "Of these, jobs with plain (thread) handlers.")
    job_processes: int = _setting(0, "Of these, jobs in processes of their own. 0: one per CPU.")
    job_timeout: float = _setting(300.0, "Limit for one attempt, unless the job says otherwise.")
    max_attempts: int = _setting(5, "Attempts before a job has failed, unless it says otherwise.")
    cleanup_grace: float = _setting(3.0, "Time a cancelled attempt has to clean up.")
    shutdown_grace: float = _setting(25.0, "Time running jobs have to end after the first signal.")
    lease: float = _setting(30.0, "A worker that is silent for this long has lost its jobs.")
    remote_types: tuple[str, ...] = _setting(
        (),
        "Types of jobs that workers elsewhere run: they are taken before one was seen. * is any.",
    )
    poll_interval: float = _setting(1.0, "How often workers look for jobs without being told.")

    keep: tuple[str, ...] = _setting(
        DEFAULT_KEEP,
        "How long records of finished jobs are kept, by state or TYPE.STATE; 0 or forever, too.",
    )

    # limits
    max_queued: int = _setting(
        1_000_000, "Most jobs that may wait in one queue; then 503. 0: any number."
    )
    rate_limit: float = _setting(
        0.0, "Most requests a second with one token, on average; then 429. 0: any number."
    )
    max_body: int = _setting(1 * MB, "Largest JSON request body.")
    max_payload: int = _setting(256 * KB, "Largest payload of a JSON job.")
    max_upload: int = _setting(16 * MB, "Largest raw upload.")
    max_result: int = _setting(1 * MB, "Largest result of a job.")
    max_batch: int = _setting(1_000, "Most jobs in one array.")
    max_tags: int = _setting(16, "Most tags of a job.")

    # HTTP connections
    allowed_hosts: tuple[str, ...] = _setting(
        (), "Names besides localhost by which clients ask, e.g. behind a proxy; * allows any."
    )
    head_timeout: float = _setting(10.0, "Time a client has to send a request's head.")
    body_timeout: float = _setting(30.0, "Longest silence within a request's body.")
    keep_alive: float = _setting(75.0, "Time an idle connection is kept.")
    send_timeout: float = _setting(30.0, "Longest time a client may refuse to read.")
    max_head: int = _setting(16_384, "Largest request line and headers.")
    max_headers: int = _setting(100, "Most headers of a request.")
    max_url: int = _setting(8_192, "Longest request target.")
    max_connections: int = _setting(10_000, "Most connections at a time.")
    max_connections_per_ip: int = _setting(10_000, "Most connections at a time of one address.")
    trusted_proxies: tuple[str, ...] = _setting(
        (), "Networks whose X-Forwarded-For and -Proto are believed, e.g. 10.0.0.0/8."
    )
    tls_cert: str | None = _setting(None, "Certificate chain (PEM); serves HTTPS with tls_key.")
    tls_key: str | None = _setting(None, "Private key (PEM).")
    access_log: bool = _setting(False, "Log one JSON line per request.")

    # send_email
    smtp_host: str | None = _setting(None, "Mail server; without one, mail goes to the outbox.")
    smtp_port: int = _setting(587, "Its port.")
    smtp_tls: str = _setting(
        "starttls", "How the connection is encrypted.", choices=("starttls", "tls", "none")
    )
    smtp_username: str | None = _setting(None, "Login, when the server wants one.")
    smtp_password: str | None = _setting(None, "Its password.", secret=True)
    smtp_ca_file: str | None = _setting(None, "Certificates to trust (PEM) besides the system's.")
    smtp_timeout: float = _setting(30.0, "Longest wait for one answer of the mail server.")
    mail_from: str = _setting("trio-jobs@localhost", "Sender of every mail.")
    max_recipients: int = _setting(50, "Most recipients of one mail.")

    # process_file
    files_dir: str | None = _setting(None, "Directory whose files process_file may read.")
    max_expanded: int = _setting(1_000 * MB, "Largest output of decompress.")
    max_ratio: int = _setting(200, "Largest ratio of output to input of decompress.")
    max_entries: int = _setting(10_000, "Most entries of an archive.")

    # webhook
    webhook_allow: tuple[str, ...] = _setting(
        (),
        "Private targets that webhooks may reach: networks or names, e.g. 10.1.0.0/16,intra.lan.",
    )
    webhook_timeout: float = _setting(30.0, "Limit for one webhook request.")
    webhook_secret: str | None = _setting(
        None, "Signs webhooks that bring no secret of their own.", secret=True
    )

    def __post_init__(self) -> None:
        self._check_each()
        self.queue_limits  # noqa: B018 - for its ConfigError
        try:
            Retention(self.keep)
        except ValueError as error:
            raise ConfigError(f"keep: {error}") from None
        if self.lease < 3:
            raise ConfigError("lease must be 3 seconds or more: workers renew it three times")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("tls_cert and tls_key go together")

    def _check_each(self) -> None:
        for spec in fields(self):
            value, choices = getattr(self, spec.name), spec.metadata.get("choices")
            if choices and value not in choices:
                raise ConfigError(f"{spec.name}: {value!r} is not one of {', '.join(choices)}")
            if type(value) in (int, float) and not 0 <= value < inf:
                raise ConfigError(f"{spec.name}: {value} is not a number from 0 up")
        for name in ("concurrency", "threads", "max_attempts", "processes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more")
        for name in ("job_timeout", "poll_interval"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be more than 0 seconds")

    @property
    def needs_tokens(self) -> bool:
        """Must whoever asks have a token?"""
        return self.auth == "required" or not self._is_bound_here()

    def _is_bound_here(self) -> bool:
        """Can only programs of this machine connect?"""
        host = self.bind.rpartition(":")[0].strip("[]")
        if self.bind.startswith("unix:") or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nothing may show."""
        values = (getattr(self, spec.name) for spec in fields(self) if spec.metadata.get("secret"))
        return tuple(value for value in (*values, _password(self.database)) if value)

    @property
    def queue_limits(self) -> dict[str, int]:
        """Queue -> jobs at a time; "*" for all others together. Empty: any queue."""
        limits: dict[str, int] = {}
        for text in self.queues:
            found = _QUEUE_LIMIT.fullmatch(text)
            if found is None:
                raise ConfigError(f"queues: {text!r} is not NAME:NUMBER, e.g. media:4 or *:8")
            name, number = found.groups()
            if name in limits:
                raise ConfigError(f"queues: {name} is there twice")
            limits[name] = int(number)
        return limits

    @classmethod
    def load(
        cls,
        flags: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] = os.environ,
        file: Mapping[str, tuple[Any, str]] | None = None,
    ) -> tuple["Settings", dict[str, str]]:
        """The settings, and for each name where its value came from.

        `flags` holds text as it was typed, or values of the right kind; `file` what
        `config_file.read_settings` has found. Raises ConfigError for a
        value of the wrong kind and for an unknown `TRIO_JOBS_*`.
        """
        values = {name: value for name, (value, _) in (file or {}).items()}
        sources = {name: source for name, (_, source) in (file or {}).items()}
        known = {spec.name: spec for spec in fields(cls)}
        for variable, text in sorted(environ.items()):
            if not variable.startswith(PREFIX) or variable in _NO_SETTINGS:
                continue
            name, source = variable.removeprefix(PREFIX).lower(), variable
            if name not in known and name.removesuffix("_file") in known:
                name, text = name.removesuffix("_file"), read_secret(variable, text)
            if name not in known:
                close = get_close_matches(name, known, 1)
                hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""
                raise ConfigError(f"{variable} is not a setting{hint}")
            values[name] = parse_text(variable, text, known[name].type)
            sources[name] = source
        for name, value in (flags or {}).items():
            flag = "--" + name.replace("_", "-")
            typed = isinstance(value, str)
            values[name] = parse_text(flag, value, known[name].type) if typed else value
            sources[name] = flag
        return cls(**values), {name: sources.get(name, "default") for name in known}


def _password(url: str) -> str | None:
    """That of a database, if its URL has one."""
    try:
        found = urlsplit(url).password
    except ValueError:
        return None
    return None if found is None else unquote(found)


def secret_of(variable: str, environ: Mapping[str, str]) -> str | None:
    """What a variable holds, or the file that `<variable>_FILE` names; None without either."""
    if path := environ.get(variable + "_FILE"):
        return read_secret(variable + "_FILE", path)
    return environ.get(variable) or None


def read_secret(variable: str, path: str) -> str:
    """What the file holds that `variable` names."""
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable}: {error}") from None


def parse_text(source: str, text: str, kind: Any) -> Any:
    """`text` as a setting of this kind; ConfigError names `source`."""
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off", ""):
            return False
        raise ConfigError(f"{source}: {text!r} is not a yes or no")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ConfigError(f"{source}: {text!r} is not a number") from None
    if kind == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if type(None) in get_args(kind) and text == "":
        return None
    return text
