"""The parts of `scripts/load_test.py`: what is posted, by whom, the audit, and the report."""
