"""The audits: what is broken on purpose, who watches, and what is counted."""
