"""What may go wrong around a service, each on purpose; in the order of how much people care."""

from . import database, disk, jobs, machine, network, postgres, signals

FAULTS = (
    disk.disk_full,
    disk.no_space,
    disk.failed_fsync,
    disk.failed_write,
    disk.slow_fsync,
    database.corrupt_header,
    database.corrupt_page,
    database.corrupt_wal,
    database.corrupt_underneath,
    database.deleted,
    database.replaced,
    database.read_only,
    database.locked,
    database.long_reader,
    database.backup,
    database.two_servers,
    jobs.thrown,
    jobs.stuck,
    jobs.blocked_loop,
    jobs.killer,
    jobs.leaks,
    jobs.retry_storm,
    machine.stopped,
    machine.clock_steps,
    machine.no_descriptors,
    machine.no_threads,
    machine.blocked_stdout,
    machine.broken_pipe,
    machine.hangup,
    signals.sigterm_idle,
    signals.sigterm_loaded,
    signals.sigterm_start,
    signals.ctrl_c,
    network.slow_clients,
    network.broken_off,
    network.idle_streams,
)

# On a PostgreSQL of the audit's own.
POSTGRES_FAULTS = (
    postgres.pg_frozen,
    postgres.pg_killed,
    postgres.pg_locked,
    postgres.pg_full,
    postgres.pg_deaf,
)
