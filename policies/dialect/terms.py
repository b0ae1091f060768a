"""Terms of applications in a file: `applicationTerms`, a section of our own.

`"payroll": {"maxStaleness": "2m", "evidence": "bestEffort"}`. What an entry leaves out
is ordinary, so `{}` takes terms back; an application without an entry keeps what it
has. What terms mean is the compiler's (`policies.compiler.strictness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from policies.compiler.errors import InvalidValueError
from policies.compiler.strictness import ORDINARY, Evidence, Strictness
from policies.dialect.requirements import age_text, read_age

if TYPE_CHECKING:
    from policies.dialect.definitions import ApplicationDefinition
    from policies.dialect.errors import Position
    from policies.dialect.tree import Node

TERMS: Final = "applicationTerms"

_EVIDENCE: Final[Mapping[str, Evidence]] = {
    "strict": Evidence.STRICT,
    "bestEffort": Evidence.BEST_EFFORT,
}


def read_terms(section: Node | None) -> Iterator[tuple[str, Strictness]]:
    """Yield the terms of each application that a file gives some.

    Raises:
        PolicyError: a limit that is none or out of bounds, or an unknown word.
    """
    for key, node in section.entries() if section else ():
        fields = node.fields(("maxStaleness", "evidence"))
        limit, evidence = fields.get("maxStaleness"), Evidence.STRICT
        if word := fields.get("evidence"):
            if word.text not in _EVIDENCE:
                word.refuse(f"{word.text!r} is neither strict nor bestEffort")
            evidence = _EVIDENCE[word.text]
        try:
            terms = Strictness(
                max_staleness=read_age(limit) if limit else None, evidence=evidence
            )
        except InvalidValueError as exc:
            node.refuse(str(exc))
        yield key.text, terms


def term_places(section: Node | None) -> dict[str, Position]:
    """Return where each entry stands."""
    return {key.text: key.position for key, _ in (section.entries() if section else ())}


def terms_section(
    applications: Iterable[ApplicationDefinition],
) -> dict[str, dict[str, object]]:
    """Return the section that says what `read_terms` reads."""
    return {a.name: _entry(a.terms) for a in applications if a.terms is not None}


def _entry(terms: Strictness) -> dict[str, object]:
    """Return terms as an entry: what is not ordinary."""
    found: dict[str, object] = {}
    if terms.evidence is not ORDINARY.evidence:
        names = {value: name for name, value in _EVIDENCE.items()}
        found["evidence"] = names[terms.evidence]
    if terms.max_staleness is not None:
        found["maxStaleness"] = age_text(terms.max_staleness)
    return found
