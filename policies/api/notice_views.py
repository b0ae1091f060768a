"""Notices of revocation: a gateway waits for them, and reports what it enforces.

They have a request of their own to wait in: a snapshot that is on its way, or being
applied, holds up no revocation (ADR-0019).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from peers.api.authentication import require_free
from peers.api.problems import refusal
from peers.errors import PeerError
from peers.selectors import free_gateways
from policies import notifier, services
from policies.api.exchange import (
    Followed,
    json_answer,
    patience,
    policy_problem,
    standing_of,
    told_over,
)
from policies.connections import Together, in_pool
from policies.errors import PolicyError
from policies.notices import news_for, signed_notice
from policies.reports import parse_notice_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.http import PortalRequest
    from peers.models import Gateway
    from policies.compiler.notice import Notice


class Asked(NamedTuple):
    """Who waits for notices after which number; the last time it is told, anyway."""

    gateway: Gateway
    after: int
    is_last: bool = False


@csrf_exempt
@never_cache
@require_http_methods(["GET", "POST"])
async def notices(request: HttpRequest) -> HttpResponse:
    """Return notices of revocation beyond `after`, or record that one is enforced."""
    if request.method == "POST":
        return await in_pool(_noticed)(request)
    try:
        asked = await in_pool(_begin)(cast("PortalRequest", request))
        return await notifier.wait_for_notice(
            asked.gateway.pk,
            (0, asked.after),
            look=partial(_look, asked),
            seconds=patience(),
        )
    except PeerError as exc:
        return refusal(exc)
    except PolicyError as exc:
        return policy_problem(exc)


def _begin(request: PortalRequest) -> Asked:
    gateway, standing = standing_of(request, "notices")
    return Asked(gateway, standing.generation)


async def _look(asked: Asked, *, is_last: bool) -> HttpResponse | None:
    return await _answers(asked._replace(is_last=is_last))


def _answer_all(asked: Sequence[Asked]) -> list[HttpResponse | Exception | None]:
    """Give everybody whom one notice has woken what is news to them."""
    now = datetime.now(UTC)  # noqa: TID251 -- it is written in a moment
    free = free_gateways([one.gateway.pk for one in asked])
    found = news_for([(one.gateway, one.after) for one in asked], now=now)
    answers: list[HttpResponse | Exception | None] = []
    for one, news in zip(asked, found, strict=True):
        try:
            require_free(one.gateway, among=free)
            is_told = bool(news) or one.is_last
            answers.append(_noticing(one.gateway, news, now) if is_told else None)
        except (PeerError, PolicyError) as exc:
            answers.append(exc)
    return answers


_answers: Final = Together(_answer_all)


def _noticing(gateway: Gateway, news: Sequence[Notice], now: datetime) -> HttpResponse:
    body = b'{"notices":[' + b",".join(map(signed_notice, news)) + b"]}"
    if not news:
        return json_answer(body)
    note = partial(
        services.note_notified, gateway=gateway, number=news[-1].number, now=now
    )
    return Followed(note, body)


def _noticed(request: HttpRequest) -> HttpResponse:
    answer = told_over(
        request,
        "notices",
        parse_notice_report,
        lambda report, **by: services.record_notice_report(report=report, **by),
    )
    if answer.status_code != HTTPStatus.NO_CONTENT:
        return answer

    def publish() -> None:
        now = datetime.now(UTC)  # noqa: TID251 -- after the request
        services.publish_answered(now=now)

    return Followed(publish, status=HTTPStatus.NO_CONTENT)
