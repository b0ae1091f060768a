"""Pages that say why: may somebody reach something, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.views.decorators.http import require_http_methods, require_safe

from audit.services import NOBODY
from peers import selectors as peers_selectors
from policies.dialect.errors import DialectError
from policies.errors import PolicyError
from policies.explanations import Answer, GatewayAnswer, answer
from policies.policy_files.supposing import answer_supposing
from policies.services.inquiries import record_inquiry
from policies.wording import (
    failure_sentence,
    general_sentence,
    name_sentence,
    question_text,
    term_sentences,
)
from portal.accounts.access import person, reader_required, signed_in
from portal.console.pages import page, posted
from portal.console.questions import (
    DestinationForm,
    OwnQuestionForm,
    QuestionForm,
    SupposeForm,
)

if TYPE_CHECKING:
    from django.http import HttpResponse

    from audit.http import PortalRequest
    from peers.models import Device
    from policies.compiler.explanation import Question
    from policies.compiler.types import Grant
    from portal.accounts.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantLine:
    """A grant as a page names it, and what it failed."""

    id: str
    name: str
    subject: str
    application: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPart:
    """One gateway's answer in words."""

    found: GatewayAnswer
    allowing: tuple[GrantLine, ...]
    general: tuple[str, ...]
    candidates: tuple[GrantLine, ...]
    names: tuple[str, ...] = ()

    @property
    def needs_words(self) -> bool:
        """Whether there is more to say than which grants."""
        found = self.found
        is_unconfirmed = found.position is not None and not found.is_acknowledged
        return bool(
            found.problem
            or found.pending
            or is_unconfirmed
            or found.enforces is not None
            or self.general
        )


@require_safe
@reader_required
def explain(request: PortalRequest) -> HttpResponse:
    form = QuestionForm(request.GET or None, now=request.received_at)
    if not request.GET or not form.is_valid():
        return _page(request, form)
    return _answered(
        request, form, form.cleaned_data["person"], form.cleaned_data["device"]
    )


@require_safe
@signed_in
def explain_mine(request: PortalRequest) -> HttpResponse:
    me = person(request)
    form = OwnQuestionForm(
        request.GET or None,
        now=request.received_at,
        devices=peers_selectors.list_devices_for(me),
    )
    if not request.GET or not form.is_valid():
        return _page(request, form)
    return _answered(request, form, me, form.cleaned_data["device"])


@require_http_methods(["GET", "POST"])
@reader_required
def suppose(request: PortalRequest) -> HttpResponse:
    form = SupposeForm(posted(request), now=request.received_at)
    if not form.is_bound or not form.is_valid():
        return _page(request, form, "explain_suppose.html")
    data, question = form.cleaned_data, form.cleaned_data["question"]
    _record(
        request,
        question,
        data["person"],
        data["device"],
        policy_sha256=sha256(data["policy"].encode()).hexdigest(),
    )
    try:
        found = answer_supposing(
            data["policy"],
            data["person"],
            data["device"],
            question,
            gateways=[data["gateway"].name] if data["gateway"] else [],
            actor=request.actor,
            now=request.received_at,
        )
    except (DialectError, PolicyError) as exc:
        for line in str(exc).splitlines():
            form.add_error("policy", line)
        return _page(request, form, "explain_suppose.html")
    return _told(request, form, found, "explain_suppose.html")


def parts_of(found: Answer) -> Sequence[GatewayPart]:
    """Return every gateway's answer in words."""
    return [_part(part, found) for part in found.gateways]


def _answered(
    request: PortalRequest, form: DestinationForm, who: User, device: Device | None
) -> HttpResponse:
    question = form.cleaned_data["question"]
    _record(request, question, who, device)
    found = answer(
        who,
        device,
        question,
        now=request.received_at,
        with_others=isinstance(form, QuestionForm),
    )
    return _told(request, form, found)


def _record(
    request: PortalRequest,
    question: Question,
    who: User,
    device: Device | None,
    **details: str,
) -> None:
    record_inquiry(
        question="explain",
        details={
            "destination": question_text(question),
            "at": f"{question.at:%FT%TZ}",
            **details,
        },
        person=who.ref,
        device=NOBODY if device is None else device.ref,
        actor=request.actor,
        now=request.received_at,
    )


def _told(
    request: PortalRequest,
    form: DestinationForm,
    found: Answer,
    template: str = "explain.html",
) -> HttpResponse:
    return _page(
        request,
        form,
        template,
        found=found,
        asked=question_text(found.question),
        parts=parts_of(found),
        is_mine=found.person.pk == person(request).pk,
    )


def _page(
    request: PortalRequest,
    form: DestinationForm,
    template: str = "explain.html",
    **context: Any,  # noqa: ANN401 -- finished values for the template
) -> HttpResponse:
    return page(
        request,
        template,
        title="Explain",
        form=form,
        status=400 if form.errors else 200,
        **context,
    )


def _part(part: GatewayAnswer, found: Answer) -> GatewayPart:
    told = part.explanation
    if told is None:
        return GatewayPart(found=part, allowing=(), general=(), candidates=())
    said = {failure.condition for failure in told.failures}
    return GatewayPart(
        found=part,
        names=(
            *(_capital(name_sentence(host, part)) for host in told.hosts),
            *(f"{said}." for said in term_sentences(part, found.names)),
        ),
        allowing=tuple(_line(grant, found) for grant in told.grants),
        # What concerns the asker is beside the point where another way is open.
        general=() if told.is_allowed else tuple(map(general_sentence, told.failures)),
        candidates=tuple(
            _line(
                candidate.grant,
                found,
                tuple(
                    failure_sentence(failure, candidate.grant, found.names)
                    for failure in candidate.failures
                    if failure.condition not in said
                ),
            )
            for candidate in told.candidates
        ),
    )


def _capital(sentence: str) -> str:
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _line(grant: Grant, found: Answer, sentences: tuple[str, ...] = ()) -> GrantLine:
    names = found.names
    ref, subject = f"gt_{grant.id}", grant.subject.ref
    return GrantLine(
        id=ref,
        name=names.get(ref, ref),
        subject=names.get(subject, subject),
        application=names.get(f"ap_{grant.application_id}", ref),
        sentences=sentences,
    )
