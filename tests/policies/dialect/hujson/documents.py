"""Awkward HuJSON documents, one JSON string a line (see README.md)."""

from __future__ import annotations

import json
import random
import sys
from typing import Final

SEED: Final = 20261128
COUNT: Final = 150

WORDS: Final = (
    *("a", "group:eng", "ana@example.com", "x" * 30, "y" * 70, "z" * 90),
    *("ü", "日本語", "😀", "é" * 40, "<>&", "\u2028", "\x7f"),
    *("\\u00e9", "\\n", "\\/", '\\"', "\\u2028", "\\ud83d\\ude00", "\\u0000"),
    *("\\u001f", "\\u007f", "\\b\\f", "\\\\"),
)
LITERALS: Final = ("1", "-0", "1.50", "1e3", "123456789012345678901234567890")
COMMENTS: Final = (
    *("// c\n", "//\n", "// trailing   \n", "// ü\n", "// tab\tin\t\n"),
    *("// \u00a0\n", "// \x85\n", "// " + "w" * 90 + "\n"),
    *("/* b */", "/**/", "/*   */", "/* " + "w" * 85 + " */", "/* a\r\n b */"),
    *("/* multi\n line */", "/*\n * starred\n * more\n */", "/*\n*/"),
    *("/*\n\t\tx\n\t  y\n\n\t*/", "/* x\n\n\n   y\n z*/", "/*\n\t*\n\t*/"),
    *("/*\n    four\n  two\n      six*/", "/*\u2003\n\u2003a\n*/"),
)
BLANKS: Final = (
    *("", " ", "  ", "\t", "\n", "\n\n", "\n\n\n", "\n\t\t", " \n "),
    *("\r", "\r\n", "\n\r", "\r\n\r\n\r\n", "\n\r\n\r"),
)
BY_HAND: Final = (
    *("null", "{}", "[]", "{ }", "[ /* nothing */ ]", "{// nothing\n}"),
    *('{"a":1,}', '{"a":1,"bb":2}', '{\n"a":1,"bb":2}', '{"a":1,\n"bb":2}'),
    *("[1,2,3]", "[1,\n2,3]", "[\n1,2,3]", "[1,2,3\n]", "[1,2,3,\n]", "[1,2,3 ,]"),
    '{"src":["group:eng"],"dst":["gitlab"],"ip":["tcp:443"]}',
    (
        '{"grants":[{"src":["a@example.com"],"dst":["gitlab","postgres","wiki","lab"],'
        '"ip":["tcp:443","tcp:22","udp:53"]}]}'
    ),
    (
        '// one\n\n\n// two\n{\n\t"groups": {"group:a": ["a@b.c"], // a\n\t\t'
        '"group:bbb": [ "a@b.c" ], },\n\n\n\n\t/* all */ "acls": [ /* none */ ],'
        "\n}\n// end\n"
    ),
    '\r\n{\r\n  // windows\r\n  "a": 1,\r\n  "long": 2\r\n}\r\n',
    "[" * 40 + "]" * 40,
    '{"a":{"b":{"c":{"d":{"e":{"f":' + '"x"' + "}}}}}}",
    '{"a"/* k */:/* v */1/* after */,/* last */}',
    '{"a": // why\n1, "b":\n2, "c"\n:3}',
    "[" + ",".join(["1234567890"] * 30) + "]",
    '["' + "é" * 39 + '"]',
    '["' + "é" * 40 + '"]',
)
REFUSED: Final = (
    *("", " ", "// only a comment\n", "{", "[1", "[,]", "[1,,2]", '{"a"}', "{a:1}"),
    *("{'a':1}", "[01]", "[1.]", "[+1]", "[.5]", "[NaN]", "[1] 2", "/* open", "# c\n1"),
    *('["\\x"]', '["\t"]', '["\\u12g4"]', "\ufeff{}", "[1]\x00"),
    *("// no newline", '["a\nb"]', "[True]", "[nul]", "[1e]", "[-]"),
)


class Writer:
    """Writes documents by chance."""

    def __init__(self, seed: int) -> None:
        """Begin with a seed."""
        self.chance = random.Random(seed)  # noqa: S311 -- not for secrets

    def document(self) -> str:
        """Return one document."""
        share = self.chance.choice((0, 0.02, 0.1, 0.3))
        return self.between(share) + self.value(0, share) + self.between(share)

    def between(self, share: float) -> str:
        """Return blanks and perhaps comments."""
        found = ""
        for _ in range(self.chance.choice((0, 0, 1, 1, 2, 3))):
            is_comment = self.chance.random() < share
            found += self.chance.choice(COMMENTS if is_comment else BLANKS)
        return found

    def text(self) -> str:
        """Return a string."""
        count = self.chance.choice((0, 1, 1, 1, 2))
        return '"' + "".join(self.chance.choice(WORDS) for _ in range(count)) + '"'

    def value(self, depth: int, share: float) -> str:
        """Return a value."""
        kind = self.chance.random()
        if depth > 3 or kind < 0.4:
            return self.chance.choice((self.text(), self.text(), *LITERALS, "true"))
        count = self.chance.choice((0, 1, 1, 2, 3, 5, 9))
        if kind < 0.7:
            items = [self.value(depth + 1, share) for _ in range(count)]
            return "[" + self.listed(items, share) + "]"
        names = {json.loads(name): name for name in (self.text() for _ in range(count))}
        items = [
            name
            + f"{self.between(share)}:{self.between(share)}"
            + self.value(depth + 1, share)
            for name in names.values()
        ]
        return "{" + self.listed(items, share) + "}"

    def listed(self, items: list[str], share: float) -> str:
        """Return items with what stands between them."""
        if not items:
            return self.between(share)
        found = ",".join(
            self.between(share) + item + self.between(share) for item in items
        )
        return found + (
            "," + self.between(share) if self.chance.random() < 2 * share else ""
        )


if __name__ == "__main__":
    writer = Writer(SEED)
    for made in (*BY_HAND, *REFUSED, *(writer.document() for _ in range(COUNT))):
        sys.stdout.write(json.dumps(made) + "\n")
