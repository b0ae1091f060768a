"""Django's admin shows our own tables and nobody else's.

allauth registers pages of its own: they would show client secrets, session keys and
token digests, and a row added there could let another identity provider in. What
runs the portal is configured by environment alone.
"""

from __future__ import annotations

from typing import Final

from django.apps import apps
from django.contrib import admin

OURS: Final = frozenset({"accounts", "audit", "peers", "policies"})

for _config in apps.get_app_configs():
    for _model in _config.get_models():
        if _config.label not in OURS and admin.site.is_registered(_model):
            admin.site.unregister(_model)

admin.site.site_header = "Peerage"
admin.site.site_title = "Peerage"
admin.site.index_title = "Tables, to look at"
admin.site.site_url = "/devices/"
