"""Run the demonstration's identity provider.

python -m tests.idp init                 fill the database of IDP_DATABASE and leave
python -m tests.idp --port 9400 --portal-redirect http://…/accounts/sso/login/callback/
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvicorn

from tests.idp.cast import CAST


def main(arguments: list[str] | None = None) -> int:
    """Fill the provider, print who may sign in, and serve until stopped."""
    options = _options(arguments)
    issuer = options.issuer or f"http://{options.host}:{options.port}"
    os.environ.setdefault("IDP_ISSUER", issuer)
    os.environ.setdefault("IDP_DATABASE", str(options.database))
    if options.portal_redirect:
        os.environ["IDP_REDIRECT_URIS"] = " ".join(options.portal_redirect)

    # Settings are read at import, and what they say was only just decided.
    from tests.idp import setup  # noqa: PLC0415 -- see above

    setup.prepare()
    out = sys.stdout.write
    out(f"identity provider {os.environ['IDP_ISSUER']}\n")
    for person in CAST:
        groups = ", ".join(person.groups) or "no groups"
        out(f"  {person.username:8} password {person.password:13} ({groups})\n")
    sys.stdout.flush()
    if options.command == "init":
        return 0

    from tests.idp.app import application  # noqa: PLC0415 -- the same

    uvicorn.run(
        application,
        host=options.host,
        port=options.port,
        fd=options.fd,
        log_level="warning",
        lifespan="off",
    )
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.idp")
    parser.add_argument(
        "command", nargs="?", choices=("serve", "init"), default="serve"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9400)
    parser.add_argument("--fd", type=int, help="serve on this listening socket")
    parser.add_argument("--issuer", help="default: http://HOST:PORT")
    parser.add_argument("--database", type=Path, default=Path("var/idp.sqlite3"))
    parser.add_argument("--portal-redirect", action="append", metavar="URL")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
