"""Reading the code blocks of a Markdown file, with the directives that stand before them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token

# One word alone, or one word with a colon and a value; anything longer is a note to readers.
DIRECTIVE = re.compile(r"<!--\s*([a-z]+)(?::[ \t]*(\S.*?))?\s*-->", re.DOTALL)
HIDDEN = re.compile(r"<!--\s*hidden:\s*\n(.*?)\n?-->", re.DOTALL)
WITH_VALUE = frozenset({"env", "file", "raises", "uses"})
BARE = frozenset({"output", "run"})


class DocsError(ValueError):
    """A code block that the documentation's tests cannot check, with its place."""


@dataclass(frozen=True, slots=True)
class Block:
    """One code block: its language, its text, the number of its first line, and its directives."""

    language: str
    code: str
    line: int
    directives: tuple[tuple[str, str], ...] = field(default=())

    def values(self, name: str) -> list[str]:
        """The values of a directive, in their order; [""] for one without a value."""
        return [value for word, value in self.directives if word == name]

    def has(self, name: str) -> bool:
        """Whether a directive stands before the block."""
        return bool(self.values(name))


def read_blocks(text: str, path: str) -> list[Block]:
    """The code blocks of a Markdown text, in order; DocsError with its place on a bad one."""
    blocks: list[Block] = []
    pending: list[tuple[str, str]] = []
    for token in MarkdownIt("commonmark").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            for hidden_line, code in _hidden_code(token):
                blocks.append(Block("python", code, line + hidden_line, tuple(pending)))
                pending = []
            pending.extend(_directives(token, f"{path}:{line}"))
        elif token.type == "fence":
            language = token.info.strip()
            if not language:
                raise DocsError(f"{path}:{line}: a code block without a language; is it `text`?")
            blocks.append(Block(language, token.content, line + 1, tuple(pending)))
            pending = []
        elif token.type == "code_block":
            raise DocsError(f"{path}:{line}: an indented code block; fence it with a language")
        elif pending and token.type != "list_item_open":
            raise DocsError(f"{path}:{line}: <!-- {pending[0][0]} --> stands before no code block")
    if pending:
        raise DocsError(f"{path}: <!-- {pending[0][0]} --> stands before no code block")
    return blocks


def _hidden_code(token: Token) -> Iterator[tuple[int, str]]:
    """The Python code of `<!-- hidden: ... -->` comments, each with its first line's distance."""
    for match in HIDDEN.finditer(token.content):
        yield token.content.count("\n", 0, match.start(1)), match.group(1) + "\n"


def _directives(token: Token, place: str) -> Iterator[tuple[str, str]]:
    for match in DIRECTIVE.finditer(HIDDEN.sub("", token.content)):
        word, value = match.group(1), match.group(2) or ""
        if word not in (WITH_VALUE if value else BARE):
            raise DocsError(f"{place}: no such directive: {match.group(0)}")
        yield word, value
