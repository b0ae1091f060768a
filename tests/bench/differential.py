"""The three-way differential test, for longer: `script/bench differential [VERDICTS]`.

Half a million verdicts unless told otherwise; the tests' own run has 50,000.
"""

from __future__ import annotations

import os
import subprocess
import sys


def main() -> int:
    """Run the tests and return their exit status."""
    verdicts = sys.argv[1] if len(sys.argv) > 1 else "500000"
    test = "tests/policies/compiler/test_differential.py"
    command = [sys.executable, "-m", "pytest", "-q", "--no-skips", test]
    environment = {**os.environ, "PEERAGE_DIFFERENTIAL_VERDICTS": verdicts}
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
