"""The parts of `scripts/bench_peers.py`; `scripts/peers` has the queues themselves."""
