"""Tailscale's ACL API, so that its GitOps tools drive the portal unchanged (ADR-0015).

Whoever calls is a program with a credential, never a session. The body is read here
and not by a parser of the framework: at most one byte more than a policy may have.
"""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from django.conf import settings
from django.http import Http404, HttpResponse, JsonResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as framework_handler

from policies.api.tailnet_answers import error_output, match_output, tests_output
from policies.compiler.errors import CompilerError
from policies.dialect.errors import DialectError, Position, SyntaxRefusedError, problem
from policies.dialect.hujson import MAX_BYTES, Kind, parse
from policies.dialect.preview import postures_of, rules_for_port, rules_for_user
from policies.dialect.standard import standardized
from policies.errors import PolicyError
from policies.policy_files.applying import apply_policy
from policies.policy_files.documents import open_policy, run_claims
from policies.policy_files.planning import plan_policy
from policies.policy_files.state import State, read_state
from policies.policy_files.versions import CurrentPolicy, current_policy
from policies.services.inquiries import record_inquiry
from portal.accounts.api.machines import CredentialAuthentication, HasScope
from portal.accounts.models import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from rest_framework.parsers import BaseParser
    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request

    from audit.http import PortalRequest

HUJSON: Final = "application/hujson"
JSON: Final = "application/json"
TRUE: Final = "true"
PREVIEWS: Final = {"user": rules_for_user, "ipport": rules_for_port}


class AnyNegotiation(BaseContentNegotiation):
    """Any body and any `Accept`: the views look at both themselves."""

    def select_parser(
        self,
        request: Request,  # noqa: ARG002 -- the framework's signature
        parsers: Iterable[BaseParser],
    ) -> BaseParser:
        """Return one that is never asked."""
        return next(iter(parsers))

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002 -- the framework's signature
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002 -- the same
    ) -> tuple[BaseRenderer, str]:
        """Return JSON, the form of every error."""
        return next(iter(renderers)), JSON


class TailnetView(APIView):
    """A view that knows the program, and refuses in the words its clients parse."""

    authentication_classes = (CredentialAuthentication,)
    permission_classes = (HasScope,)
    content_negotiation_class = AnyNegotiation
    http_method_names = ["get", "post"]
    scopes: ClassVar[Mapping[str, Scope]]

    def initial(
        self,
        request: Request,
        *args: Any,  # noqa: ANN401 -- the framework's signature
        **kwargs: Any,  # noqa: ANN401 -- the same
    ) -> None:
        """Let the program in; then see whether the tailnet is this portal."""
        super().initial(request, *args, **kwargs)
        if kwargs["tailnet"] not in {"-", *settings.PEERAGE_TAILNETS}:
            raise Http404

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Answer as the clients of this API read it."""
        return _refusal

    def finalize_response(
        self,
        request: Request,
        response: Response,
        *args: Any,  # noqa: ANN401 -- the framework's signature
        **kwargs: Any,  # noqa: ANN401 -- the same
    ) -> Response:
        """Keep every answer out of caches."""
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "no-store"
        return final

    @property
    def http(self) -> PortalRequest:
        """The request with the middleware's marks."""
        return cast("PortalRequest", self.request._request)  # noqa: SLF001 -- the wrapped one has them

    @property
    def now(self) -> datetime:
        """When the request came."""
        return self.http.received_at

    @property
    def body(self) -> bytes:
        """What was sent.

        Raises:
            TooLongError: it is longer than a policy may be; it was not read whole.
        """
        length = self.http.META.get("CONTENT_LENGTH") or "0"
        source = b"" if _is_long(length) else self.http.read(MAX_BYTES + 1)
        if _is_long(length) or len(source) > MAX_BYTES:
            start = Position(line=1, column=1)
            raise TooLongError(
                [problem(start, f"the policy is longer than {MAX_BYTES} bytes")]
            )
        return source

    def policy(self, policy: CurrentPolicy) -> HttpResponse:
        """Return a policy as the caller wants to read it."""
        if _wants_json(self.request.headers.get("Accept", "")):
            text, kind = standardized(policy.text), JSON
        else:
            text, kind = policy.text, HUJSON
        return HttpResponse(
            text, content_type=kind, headers={"ETag": f'"{policy.etag}"'}
        )


class TooLongError(SyntaxRefusedError):
    """More was sent than is read."""


class AclView(TailnetView):
    """The policy."""

    scopes: ClassVar[Mapping[str, Scope]] = {
        "GET": Scope.POLICY_READ,
        "POST": Scope.POLICY_WRITE,
    }

    def get(self, request: Request, tailnet: str) -> HttpResponse:  # noqa: ARG002 -- checked before
        """Return the policy, comments and all; with `details=1` its warnings."""
        state = read_state(now=self.now)
        found = current_policy(state, now=self.now)
        if request.query_params.get("details") not in {"1", TRUE}:
            return self.policy(found)
        warnings, errors = _remarks(found.text, state, self.now)
        told = {
            "acl": base64.b64encode(found.text.encode()).decode(),
            "warnings": warnings,
            "errors": errors,
        }
        return JsonResponse(told, headers={"ETag": f'"{found.etag}"'})

    def post(self, request: Request, tailnet: str) -> HttpResponse:  # noqa: ARG002 -- checked before
        """Make a file the policy; no body at all means deny all."""
        source = self.body
        # A chunked body that came to nothing was perhaps lost on its way.
        is_meant = not source and "Transfer-Encoding" not in request.headers
        if not source.strip() and not is_meant:
            start = Position(line=1, column=1)
            text = "nothing; to deny everybody send no body, and Content-Length: 0"
            raise SyntaxRefusedError([problem(start, text)])
        apply_policy(
            source,
            gateways=request.query_params.getlist("gateway")
            or settings.PEERAGE_POLICY_GATEWAYS,
            is_confirmed=TRUE
            in {
                request.query_params.get("confirm"),
                request.headers.get("Peerage-Confirm"),
            },
            expected=_expected(request.headers.get("If-Match", "")),
            actor=self.http.actor,
            now=self.now,
        )
        return self.policy(current_policy(read_state(now=self.now), now=self.now))


class ValidateView(TailnetView):
    """What would be wrong with a file, or with claims about the policy."""

    scopes: ClassVar[Mapping[str, Scope]] = {"POST": Scope.POLICY_READ}

    def post(self, request: Request, tailnet: str) -> HttpResponse:  # noqa: ARG002 -- checked before
        """Return nothing, or the first thing that is wrong; 200 either way."""
        source = self.body
        try:
            told = tests_output(self.reports(request, source))
        except (CompilerError, DialectError, PolicyError) as exc:
            told, _ = error_output(exc)
        return JsonResponse(told)

    def reports(self, request: Request, source: bytes) -> Sequence[Any]:
        """Run the tests of a file, or a list of tests against the policy."""
        state = read_state(now=self.now)
        if parse(source).value.kind is Kind.ARRAY:
            policy = current_policy(state, now=self.now).text
            return run_claims(source, policy, state, now=self.now)
        found = open_policy(source, state, now=self.now)
        if not found.failed:
            plan_policy(
                found.definition,
                state,
                gateways=request.query_params.getlist("gateway")
                or settings.PEERAGE_POLICY_GATEWAYS,
                now=self.now,
            )
        return found.reports


class PreviewView(TailnetView):
    """Which rules of a file concern somebody, or an address and port."""

    scopes: ClassVar[Mapping[str, Scope]] = {"POST": Scope.POLICY_READ}

    def post(self, request: Request, tailnet: str) -> HttpResponse:  # noqa: ARG002 -- checked before
        """Return the rules; without a body those of the policy as it is."""
        kind = request.query_params.get("type", "")
        asked = request.query_params.get("previewFor", "")
        if kind not in PREVIEWS or not asked:
            msg = "a preview says type=user or type=ipport, and previewFor"
            raise DialectError(msg)
        source = self.body
        state = read_state(now=self.now)
        if not source:
            source = current_policy(state, now=self.now).text.encode()
        found = open_policy(source, state, now=self.now)
        record_inquiry(
            question="preview",
            details={"type": kind, "for": asked[:255]},
            actor=self.http.actor,
            now=self.now,
        )
        matches = PREVIEWS[kind](found.document, state.directory, asked, now=self.now)
        told: dict[str, Any] = {
            "matches": [match_output(match) for match in matches],
            "type": kind,
            "previewFor": asked,
        }
        if postures := postures_of(found.document, matches):
            told["postures"] = {name: list(texts) for name, texts in postures.items()}
        return JsonResponse(told)


def _refusal(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Return an exception as the clients of this API read it."""
    if isinstance(exc, CompilerError | DialectError | PolicyError):
        told, status = error_output(exc)
        if isinstance(exc, TooLongError):
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return Response(told, status=status)
    response = framework_handler(exc, context)
    if response is not None:
        data = response.data
        detail = data.get("detail", data) if isinstance(data, dict) else data
        response.data = {"message": str(detail)}
    return response


def _remarks(
    text: str, state: State, now: datetime
) -> tuple[list[str], list[str] | None]:
    """Return the warnings about a text, and what is wrong with it by now."""
    try:
        opened = open_policy(text, state, now=now)
    except DialectError as exc:
        return [], str(exc).splitlines()
    return [str(warning) for warning in opened.warnings], None


def _is_long(length: str) -> bool:
    """Return whether a declared length is too much, or no length."""
    return not length.isdecimal() or len(length) > 10 or int(length) > MAX_BYTES  # noqa: PLR2004 -- ten digits


def _wants_json(accept: str) -> bool:
    """Return whether JSON is named, and HuJSON is not."""
    return JSON in accept.lower() and HUJSON not in accept.lower()


def _expected(header: str) -> str | None:
    """Return the ETag that the policy must have, if the writer demands one.

    `*` (RFC 9110 §13.1.1) holds always: there is always a policy. A weak or unreadable
    one never equals an ETag of ours.
    """
    text = header.strip()
    if text in {"", "*"}:
        return None
    return text.removeprefix('"').removesuffix('"')
