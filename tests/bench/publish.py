"""How long the portal takes to publish: reading rows, compiling, signing, storing.

One gateway in front of a company, in a database of its own: SQLite, or what
PEERAGE_TEST_DATABASE_URL names. `script/bench publish [--devices N] [--rounds N]`, or
`python -m tests.lab.postgresql script/bench publish`.
"""

from __future__ import annotations

import os
import runpy

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    # Models can be imported only after this.
    django.setup()
    runpy.run_module("tests.bench.measures.publishing", run_name="__main__")
