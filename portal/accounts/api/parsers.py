"""What the API reads: JSON that is no deeper than a form."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

if TYPE_CHECKING:
    from collections.abc import Mapping


class PlainJSONParser(JSONParser):
    """The framework's parser, which lets a body of 100,000 brackets end in a 500."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 -- any JSON value
        """Refuse what is nested too deeply (attack D16)."""
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as exc:
            msg = "JSON parse error - nested too deeply"
            raise ParseError(msg) from exc
