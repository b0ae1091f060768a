"""Pages of access reviews: started, decided, finished, read."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from audit.exports import table_csv
from policies import access_reviews, review_selectors
from policies.access_reviews.results import (
    ITEM_COLUMNS,
    is_as_logged,
    item_rows,
    still_held,
    still_reached,
)
from policies.access_reviews.settling import settlement
from policies.errors import PolicyError
from policies.models import Decision, ItemOutcome
from policies.review_selectors import Progress
from policies.services.inquiries import record_inquiry
from portal.accounts.access import (
    administrator_required,
    person,
    recent_authentication_required,
    signed_in,
)
from portal.console import review_rows
from portal.console.effects import Done, confirmed, is_asked_again, sent_fields
from portal.console.pages import page, paged, posted
from portal.console.review_forms import (
    CallOffForm,
    CampaignFilter,
    CampaignForm,
    DecideForm,
    ItemFilter,
)

if TYPE_CHECKING:
    from audit.http import PortalRequest
    from policies.access_reviews import Decided, Preview
    from policies.models import ReviewCampaign, ReviewItem

NAMED: Final = 50
"""So much of a list is named on the page that asks; the rest is counted."""


@require_safe
@signed_in
def reviews(request: PortalRequest) -> HttpResponse:
    user, form = person(request), CampaignFilter(request.GET)
    rows = review_selectors.list_campaigns_for(user)
    if form.is_valid() and form.cleaned_data["state"]:
        rows = rows.filter(state=form.cleaned_data["state"])
    pages = paged(request, rows.prefetch_related("applications", "groups"))
    progress = review_selectors.progress_for(user, pages)
    return page(
        request,
        "review_list.html",
        title="Access reviews",
        form=form,
        pages=pages,
        rows=review_rows.campaign_rows(pages, progress, request.received_at),
    )


@require_http_methods(["GET", "POST"])
@signed_in
def review(request: PortalRequest, campaign_id: int) -> HttpResponse:
    user = person(request)
    if request.method == "POST":
        found = review_selectors.get_campaign_to_decide_for(user, campaign_id)
    else:
        found = review_selectors.get_campaign_for(user, campaign_id)
    form = DecideForm(posted(request))
    if done := _decided(request, found, form):
        _tell(request, done)
        return redirect(request.get_full_path())
    record_inquiry(
        question="review",
        details={"target": found.ref.id},
        actor=request.actor,
        now=request.received_at,
    )
    return page(
        request,
        "review_detail.html",
        title=found.title,
        **_shown(request, found, form),
    )


@require_safe
@signed_in
def review_result(request: PortalRequest, campaign_id: int) -> HttpResponse:
    found = review_selectors.get_campaign_for(person(request), campaign_id)
    record_inquiry(
        question="review",
        details={"target": found.ref.id},
        export_format="csv",
        actor=request.actor,
        now=request.received_at,
    )
    visible = review_selectors.list_items_for(person(request)).filter(campaign=found)
    return HttpResponse(
        table_csv(ITEM_COLUMNS, item_rows(visible, now=request.received_at)),
        content_type="text/csv; charset=utf-8",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="review-{found.pk}.csv"',
        },
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def start_review(request: PortalRequest) -> HttpResponse:
    wanted = {
        name: request.GET.getlist(name)
        for name in ("applications", "groups")
        if name in request.GET
    }
    form = CampaignForm(posted(request), initial=wanted, now=request.received_at)
    seen = None
    if request.method == "POST" and not is_asked_again(request) and form.is_valid():
        try:
            if "start" in request.POST:
                made = _started(request, form)
                messages.success(request, f"Started: {made}.")
                return redirect("console:review", campaign_id=made.pk)
            seen = _preview(request, form)
        except PolicyError as exc:
            form.add_error(None, str(exc))
    return page(
        request,
        "review_preview.html" if seen else "review_form.html",
        title="Start an access review",
        form=form,
        seen=seen,
        fields=sent_fields(request) if seen else (),
    )


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def finish_review(request: PortalRequest, campaign_id: int) -> HttpResponse:
    found = review_selectors.get_campaign_to_change_for(person(request), campaign_id)
    try:
        answer = confirmed(
            request,
            partial(
                access_reviews.finish_review,
                campaign=found,
                seen=request.POST.get("seen", ""),
                actor=request.actor,
                now=request.received_at,
            ),
            template="review_confirm_finish.html",
            title=f"Finish: {found}",
            action="Finish the review",
            back=reverse("console:review", args=(found.pk,)),
            **_ending(request, found),
        )
    except PolicyError as exc:
        messages.error(request, f"Nothing was changed: {exc}.")
        return redirect("console:review", campaign_id=found.pk)
    if not isinstance(answer, Done):
        return answer
    messages.success(request, f"Finished: {found}.")
    return redirect("console:review", campaign_id=found.pk)


@require_http_methods(["GET", "POST"])
@administrator_required
@recent_authentication_required()
def call_off_review(request: PortalRequest, campaign_id: int) -> HttpResponse:
    found = review_selectors.get_campaign_to_change_for(person(request), campaign_id)
    form = CallOffForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            access_reviews.call_off_review(
                campaign=found,
                reason=form.cleaned_data["reason"],
                actor=request.actor,
                now=request.received_at,
            )
        except PolicyError as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, f"Called off: {found}. Nothing was applied.")
            return redirect("console:review", campaign_id=found.pk)
    return page(
        request,
        "review_confirm_call_off.html",
        title=f"Call off: {found}",
        form=form,
        campaign=found,
    )


def _decided(
    request: PortalRequest, found: ReviewCampaign, form: DecideForm
) -> Decided | None:
    """Decide as the form says; None, and why on the form, when that is refused."""
    if request.method != "POST" or not form.is_valid():
        return None
    data, user = form.cleaned_data, person(request)
    seen = data["seen"]
    if data["everything"]:
        rows = review_selectors.decidable_by(user).filter(campaign=found, decision="")
        seen = dict(_filtered(request, rows).values_list("pk", "revision"))
    try:
        return access_reviews.decide_items(
            campaign=found,
            seen=seen,
            decision=data["decision"],
            note=data["note"],
            reviewer=user,
            actor=request.actor,
            now=request.received_at,
        )
    except PolicyError as exc:
        form.add_error(None, str(exc))
        return None


def _tell(request: PortalRequest, done: Decided) -> None:
    if done.count:
        items = f"{done.count} item{'' if done.count == 1 else 's'}"
        messages.success(request, f"Decided: {items}.")
    elif not done.overtaken:
        messages.info(request, "It was decided like that already.")
    if done.overtaken:
        names = ", ".join(str(item.person) for item in done.overtaken[:NAMED])
        messages.warning(
            request, f"Decided by somebody else meanwhile, look again: {names}."
        )


def _shown(
    request: PortalRequest, found: ReviewCampaign, form: DecideForm
) -> dict[str, Any]:
    user, now = person(request), request.received_at
    rows = review_selectors.list_items_for(user).filter(campaign=found)
    pages = paged(request, _filtered(request, rows))
    mine = review_selectors.decidable_by(user).filter(campaign=found)
    waiting = (
        _filtered(request, mine.filter(decision="")).count() if found.is_open else 0
    )
    progress = review_selectors.progress_for(user, [found])
    ticked = form.cleaned_data.get("seen", ()) if form.is_bound else ()
    if form.is_bound:
        # The table may be long, and why it was refused stands below it.
        form.fields["note"].widget.attrs["autofocus"] = True
    filtering = ItemFilter(request.GET)
    return {
        "campaign": found,
        "state": review_rows.state_of(found, now),
        "progress": progress.get(found.pk, Progress()),
        "things": [*found.applications.all(), *found.groups.all()],
        "reviewers": _reviewers(found),
        "form": filtering,
        "decide": form,
        "may_decide": found.is_open and review_selectors.may_review(user, found),
        "waiting": waiting,
        "pages": pages,
        "rows": review_rows.item_rows(
            pages,
            viewer=user,
            decidable={
                *mine.filter(pk__in=[i.pk for i in pages]).values_list("pk", flat=True)
            },
            held=() if found.is_open else still_held([*pages], now=now),
            reached=() if found.is_open else still_reached([*pages], now=now),
            ticked=ticked,
        ),
        "outcomes": _outcomes(rows) if not found.is_open else (),
        "is_as_logged": is_as_logged(found) if user.is_reader else None,
    }


def _filtered(request: PortalRequest, rows: Any) -> Any:  # noqa: ANN401 -- a query set of items
    form = ItemFilter(request.GET)
    form.is_valid()
    return review_rows.search_items(rows, form.cleaned_data)


def _reviewers(found: ReviewCampaign) -> list[str]:
    """Return who reviews what, in words."""
    rows = [*found.assignments.select_related("reviewer", "application")]
    named = [
        f"{row.reviewer} ({row.application})" if row.application else str(row.reviewer)
        for row in rows[:NAMED]
    ]
    return [*named, f"and {len(rows) - NAMED} more"] if len(rows) > NAMED else named


def _outcomes(rows: Any) -> list[tuple[str, int]]:  # noqa: ANN401 -- a query set of items
    counted = Counter(rows.order_by().values_list("outcome", flat=True))
    return [
        (str(outcome.label), counted[outcome.value])
        for outcome in ItemOutcome
        if counted[outcome.value]
    ]


def _ending(request: PortalRequest, found: ReviewCampaign) -> dict[str, Any]:
    """Return what the page says that asks whether to finish."""
    items = review_selectors.list_items_for(person(request)).filter(campaign=found)
    removed = [*items.filter(decision=Decision.REMOVE)]
    said = settlement(removed, now=request.received_at).said
    left: list[ReviewItem] = []
    for item in removed:
        item.outcome, item.way = said[item.pk]
        if item.outcome == ItemOutcome.FOLLOW_UP:
            left.append(item)
    ends = [item for item in removed if item.outcome == ItemOutcome.ENDED]
    progress = review_selectors.progress_for(person(request), [found])
    return {
        "campaign": found,
        "seen": access_reviews.result_digest(found.items.all()),
        "progress": progress.get(found.pk, Progress()),
        "ends": ends[:NAMED],
        "all_ends": len(ends),
        "gone": len(removed) - len(ends) - len(left),
        "left": [(item, review_rows.how(item)) for item in left[:NAMED]],
        "all_left": len(left),
    }


def _started(request: PortalRequest, form: CampaignForm) -> ReviewCampaign:
    return access_reviews.start_review(
        title=form.cleaned_data["title"],
        scope=form.scope,
        reviewers=form.cleaned_data["reviewers"],
        due_at=form.cleaned_data["due"],
        actor=request.actor,
        now=request.received_at,
    )


def _preview(request: PortalRequest, form: CampaignForm) -> Preview:
    return access_reviews.preview(
        scope=form.scope,
        reviewers=form.cleaned_data["reviewers"],
        now=request.received_at,
    )
