"""Where a sign-in may lead back to: a page of ours, as a path, and nowhere else."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme

HOME = "/"


def is_safe_path(url: str | None) -> bool:
    """Return whether a text is the path of a page here (attack A15).

    It must begin with one slash, name no host in any spelling a browser accepts,
    and lead to a route that exists.
    """
    if not url or not url.startswith("/") or not url.isprintable() or "\\" in url:
        return False
    if not url_has_allowed_host_and_scheme(url, allowed_hosts=None):
        return False
    parts = urlsplit(url)
    if parts.scheme or parts.netloc:
        return False
    try:
        resolve(parts.path)
    except Resolver404:
        return False
    return True


def safe_path(url: str | None) -> str:
    """Return the path, or home when it is not safe."""
    return url if url is not None and is_safe_path(url) else HOME
