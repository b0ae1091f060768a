"""Django's commands that reach the tables without our services.

Some have no use here but to write past the log; `manage.py` refuses them. A shell is
needed now and then by whoever runs the portal; that it is opened is recorded before it
is (`shells`). What was done in it is found where tables and log no longer agree.
"""

from __future__ import annotations

from typing import Final

REFUSED: Final = (
    "account_unsetmultipleprimaryemails",
    "changepassword",
    "createsuperuser",
    "flush",
    "loaddata",
    "remove_stale_contenttypes",
    "testserver",
)
RECORDED: Final = ("dbshell", "shell")
