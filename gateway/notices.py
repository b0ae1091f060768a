"""Cuts on disk: what was cut off ahead of a snapshot outlives a restart."""

from __future__ import annotations

from gateway.cuts import Cuts
from gateway.errors import StoreError, UntrustedError
from gateway.store import NOTICES, Notices, Store, damaged
from gateway.trust import Judge


def keep_cuts(store: Store, cuts: Cuts) -> None:
    """Write cuts down, durably.

    Raises:
        StoreError: they could not be written.
    """
    store.write_notices(
        Notices(
            epoch=cuts.epoch,
            number=cuts.number,
            envelopes=tuple(envelope for _, envelope in cuts.notices),
        )
    )


def stored_cuts(store: Store, judge: Judge) -> Cuts:
    """Return what was written down, each notice verified again; none at first.

    Numbers count in an epoch: in another one they begin anew, the cuts stay.

    Raises:
        StoreError: it is damaged, or was not signed for this gateway.
    """
    stored, epoch = store.read_notices(), judge.anchor.epoch
    if stored is None:
        return Cuts(epoch=epoch)
    try:
        notices = tuple((judge.kept_notice(e), e) for e in stored.envelopes)
    except UntrustedError as exc:
        raise StoreError(
            f"a stored notice of revocation is not acceptable ({exc}):"
            f" {damaged(store.directory / NOTICES)}"
        ) from exc
    number = stored.number if stored.epoch == epoch else 0
    return Cuts(epoch=epoch, number=number, notices=notices)
