"""News for the layers above: one signal, sent inside the transaction.

`peers_changed` says that what may hold a key has changed. It carries `user_ids`,
a `frozenset[int]` of the people whose devices changed, and `gateway_ids`, a
`frozenset[int]` of the gateways that changed themselves; `revoked` are devices that
were revoked by themselves, of which gateways hear before all else; `is_told` is true
when whoever sends sees to that. A receiver that raises undoes the change: nobody may
hold a key that the layers above did not hear of.
"""

from __future__ import annotations

from django.dispatch import Signal

peers_changed = Signal()
