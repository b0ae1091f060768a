"""Where a page leads: its links, its forms, and what htmx asks for."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One way on from a page: by which method, and to which address."""

    method: str
    address: str


class _Reader(HTMLParser):
    """Collects what a reader can press, follow or send."""

    def __init__(self, page: str) -> None:
        """Read a page that was found at an address of this portal."""
        super().__init__()
        self.page = page
        self.leads: set[Lead] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where an element leads."""
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self._add("get", given["href"])
        elif tag == "form":
            self._add(given.get("method") or "get", given.get("action") or "")
        if "formaction" in given:
            self._add(given.get("formmethod") or "post", given["formaction"])
        for method in ("get", "post", "put", "patch", "delete"):
            if f"hx-{method}" in given:
                self._add(method, given[f"hx-{method}"])

    def _add(self, method: str, href: str | None) -> None:
        parts = urlsplit(urljoin(self.page, href or ""))
        if parts.scheme or parts.netloc:
            return
        address = parts.path + (f"?{parts.query}" if parts.query else "")
        self.leads.add(Lead(method=method.lower(), address=address))


def leads_of(page: str, html: str) -> set[Lead]:
    """Return where a page leads within the portal; other hosts are left out."""
    reader = _Reader(page)
    reader.feed(html)
    return reader.leads
