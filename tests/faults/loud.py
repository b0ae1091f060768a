"""The agent with everything said: `--debug`, in JSON."""

from __future__ import annotations

import sys

from gateway.__main__ import main

if __name__ == "__main__":
    sys.exit(main([*sys.argv[1:], "--debug", "--log-format", "json"]))
