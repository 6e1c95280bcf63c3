#!/usr/bin/env python3
"""Writes the OpenAPI document to schema/openapi.json, for those who read it without a server.

    scripts/export_openapi.py

A test fails when the file is not what the server says.
"""

from pathlib import Path

from trio_jobs.http.routes import DOCUMENT

FILE = Path(__file__).parent.parent / "schema" / "openapi.json"

if __name__ == "__main__":
    FILE.write_bytes(DOCUMENT.json + b"\n")
    print(f"{FILE}: {len(DOCUMENT.tree['paths'])} paths")
