"""Fill the database of a lone portal: people with a device each, gateways with keys.

`python -m tests.lab.populate GATEWAYS PEOPLE [DEVICES]` in the portal's environment;
prints one JSON object: the gateways as members of a crowd, and the session of an
administrator. DEVICES is how many each person has.
"""

from __future__ import annotations

import os
import runpy

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    # Models can be imported only after this.
    django.setup()
    runpy.run_module("tests.lab.population", run_name="__main__")
