"""The page that hands an auditor the evidence pack of a period."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.views.decorators.http import require_http_methods

from portal.accounts.access import reader_required
from portal.console.forms import ConsoleForm
from portal.console.pages import page, posted
from portal.evidence import make_pack

if TYPE_CHECKING:
    from datetime import date

    from audit.http import PortalRequest
    from portal.evidence import Pack

LONGEST = timedelta(days=400)
EARLIEST_YEAR = 2000
ISO = "%Y-%m-%d"


class PeriodForm(ConsoleForm):
    """Two days, both included, in UTC; the last may be today."""

    since = forms.DateField(
        label="First day (UTC)",
        input_formats=[ISO],
        widget=forms.DateInput(format=ISO, attrs={"placeholder": "YYYY-MM-DD"}),
    )
    until = forms.DateField(
        label="Last day (UTC)",
        input_formats=[ISO],
        widget=forms.DateInput(format=ISO, attrs={"placeholder": "YYYY-MM-DD"}),
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:  # noqa: ANN401 -- Django's signature
        """Remember the moment and propose the last 90 days."""
        self.now = now
        today = now.astimezone(UTC).date()
        proposed = {"since": today - timedelta(days=90), "until": today}
        super().__init__(*args, initial=proposed, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Return the period; its end is left out of it and not ahead."""
        data: dict[str, Any] = super().clean() or {}
        since: date | None = data.get("since")
        until: date | None = data.get("until")
        if since is None or until is None:
            return data
        if since.year < EARLIEST_YEAR or until > self.now.date() or since > until:
            raise ValidationError("A period begins before it ends, and ends by today.")
        if until - since > LONGEST:
            raise ValidationError(f"A period has at most {LONGEST.days} days.")
        begin = datetime.combine(since, time.min, tzinfo=UTC)
        end = datetime.combine(until, time.min, tzinfo=UTC) + timedelta(days=1)
        return {"since": begin, "until": min(end, self.now)}


@require_http_methods(["GET", "POST"])
@reader_required
def evidence(request: PortalRequest) -> HttpResponse:
    form = PeriodForm(posted(request), now=request.received_at)
    if request.method == "POST" and form.is_valid():
        pack = make_pack(
            **form.cleaned_data,
            compares=False,
            actor=request.actor,
            now=request.received_at,
        )
        return _download(request, pack)
    return page(request, "evidence.html", title="Evidence pack", form=form)


def _download(request: PortalRequest, pack: Pack) -> HttpResponse:
    stamp = f"{request.received_at:%Y%m%dT%H%M%SZ}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pack.files.items():
            archive.writestr(f"evidence-{stamp}/{name}", data)
    return HttpResponse(
        buffer.getvalue(),
        content_type="application/zip",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="evidence-{stamp}.zip"',
            "X-Manifest-SHA256": pack.digest,
        },
    )
