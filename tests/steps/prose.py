"""Extracts the prose of source files as blocks: text with the line of each character."""

import re
from bisect import bisect_right
from pathlib import Path

# Comments, string literals and character literals of Rust; what precedes a match is code.
RUST_TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*)
    | (?P<block>/\*.*?\*/)
    | (?P<raw>\b[bc]?r(?P<hashes>\#*)"(?P<raw_text>.*?)"(?P=hashes))
    | (?P<string>[bc]?"(?P<text>(?:\\.|[^"\\])*)")
    | (?P<char>b?'(?:\\[^\n']+|\\'|[^'\\\n])')
    """,
    re.VERBOSE | re.DOTALL,
)
# Names that a file defines.
RUST_NAME = re.compile(r"\b(?P<kind>struct|enum|union|trait|type|fn|mod|const|static)\s+(?:mut\s+)?(?P<name>[A-Za-z]\w*)")
PYTHON_NAME = re.compile(r"^\s*(?:async\s+)?(?P<kind>def|class)\s+(?P<name>\w+)", re.MULTILINE)

MARKER = re.compile(r"^\s*(?://[/!]?|#+!?|--+|/\*+|\*(?=\s)|\"{3})\s?")
LIST_ITEM = re.compile(r"^\s*(?:[*+-]|\d+\.)\s")
# An escape of a string literal becomes as many blanks: positions must stay as they are.
ESCAPE = re.compile(r"\\(?:\n|u\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|[nrt0])")


class Block:
    """A paragraph, a string literal or a name."""

    def __init__(self):
        self.text = ""
        self._starts = []
        self._lines = []

    def add(self, text, line):
        """Appends `text`, which begins on `line` of its file."""
        for number, part in enumerate(text.split("\n"), line):
            if self.text:
                self.text += "\n"
            self._starts.append(len(self.text))
            self._lines.append(number)
            self.text += part.lstrip()

    def line(self, position):
        """Returns the line of the character at `position`."""
        return self._lines[bisect_right(self._starts, position) - 1]


class Name:
    """A definition: its kind, its name and its line."""

    def __init__(self, kind, name, line):
        self.kind = kind
        self.name = name
        self.line = line


def extract(path, text):
    """Returns the blocks and the names of a file."""
    suffix = Path(path).suffix
    if suffix == ".rs":
        blocks, code = rust(text)
        return blocks, names(RUST_NAME, code)
    return paragraphs(text.split("\n")), names(PYTHON_NAME, text) if suffix == ".py" else []


def names(pattern, code):
    """Returns the definitions that `pattern` finds in `code`."""
    return [Name(m["kind"], m["name"], code.count("\n", 0, m.start("name")) + 1) for m in pattern.finditer(code)]


def paragraphs(lines, first=1):
    """Returns the paragraphs of `lines` without comment markers; an empty line or a list item begins a new one."""
    blocks, block = [], None
    for number, line in enumerate(lines, first):
        item = LIST_ITEM.match(line)
        line = MARKER.sub("", line)
        item = item or LIST_ITEM.match(line)
        if not line.strip():
            block = None
            continue
        if block is None or item:
            block = Block()
            blocks.append(block)
        block.add(line, number)
    return blocks


def rust(text):
    """Returns the prose of a Rust file, and its code with comments and literals blanked out."""
    blocks, code, position, line = [], [], 0, 1
    comment, comment_first, comment_last = [], 0, 0
    for token in RUST_TOKEN.finditer(text):
        before = text[position : token.start()]
        line += before.count("\n")
        code += [before, re.sub(r"[^\n]", " ", token[0])]
        position = token.end()
        if token["comment"]:
            if comment and (line != comment_last + 1 or before.strip()):
                blocks += paragraphs(comment, comment_first)
                comment = []
            comment_first = comment_first if comment else line
            comment.append(token["comment"])
            comment_last = line
        elif token["block"]:
            blocks += paragraphs(token["block"].removesuffix("*/").split("\n"), line)
        elif token["raw"]:
            blocks += paragraphs(token["raw_text"].split("\n"), line)
        elif token["string"]:
            block = Block()
            block.add(ESCAPE.sub(blank, token["text"]), line)
            blocks.append(block)
        line += token[0].count("\n")
    code.append(text[position:])
    return blocks + paragraphs(comment, comment_first), "".join(code)


def blank(escape):
    """Replaces an escape by blanks, but keeps its line break."""
    return re.sub(r"[^\n]", " ", escape[0])
