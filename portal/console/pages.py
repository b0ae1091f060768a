"""What all pages share: one way to render, one way to page through a list.

Pages are about people and their keys, so no browser and no proxy stores one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers

if TYPE_CHECKING:
    from django.core.paginator import Page
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse, QueryDict

PAGE_SIZE: Final = 50


def page(
    request: HttpRequest,
    template: str,
    *,
    title: str,
    status: int = 200,
    **context: Any,  # noqa: ANN401 -- finished values for the template
) -> HttpResponse:
    """Return the page `templates/console/<template>`, not to be stored anywhere."""
    context["title"] = title
    response = render(request, f"console/{template}", context, status=status)
    add_never_cache_headers(response)
    return response


def paged(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    """Return the page that `?page=` asks for; nonsense asks for the nearest."""
    return Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what was sent, also when it is empty; None when the page is opened."""
    return request.POST if request.method == "POST" else None
