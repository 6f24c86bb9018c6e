"""The self-test of words.py: plants what is refused, and looks for it where it was planted."""

import tempfile
from pathlib import Path

from words import COMMITS, PHRASES, REFUSED, check, wrong_subject

# A file name, its text with a place for the phrase, and the line of that place.
PLACES = [
    ("comment.rs", "fn first() {}\n// {}\nfn last() {}\n", 2),
    ("doc.rs", "//! A purpose.\n\n/// {}\npub struct Key;\n", 3),
    ("literal.rs", "const TEXT: &str = \"\\\"it's\\\"\";\nconst C: char = '\"';\nconst OTHER: &str = \"{}\";\n", 3),
    ("raw.rs", "const TEXT: &str = r#\"\n\"\n\n{}\"#;\n", 4),
    ("document.md", "# Title\n\n* an item\n* {}\n", 4),
    ("script.sh", "#!/bin/sh\n\n# {}\ntrue\n", 3),
    ("module.py", '"""{}"""\n', 1),
    ("header.h", "/*\n * {}\n */\n", 2),
]
KEYWORDS = {"type": ["struct", "pub(crate) enum", "trait", "type"], "const": ["const", "static"], "fn": ["fn"], "mod": ["mod"]}


def self_test():
    """Returns 0 if each phrase and each name is found wherever it can stand, and nothing else is found."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for phrase in PHRASES:
            for example in phrase.plant:
                faults += missed(folder, example)
            for example in phrase.keep:
                if phrase.pattern.search(example):
                    faults.append(f"found in: {example}")
        faults += missed_names(folder)
    faults += [f"refused: {subject}" for subject in COMMITS["good"] if wrong_subject(subject)]
    faults += [f"not refused: {subject}" for subject in COMMITS["bad"] if not wrong_subject(subject)]
    print("\n".join(faults) or f"self-test: {len(PHRASES)} phrases and {len(REFUSED)} names are found")
    return min(len(faults), 1)


def found(folder, name, text):
    """Writes a file and returns the lines of its findings."""
    file = Path(folder) / name
    file.write_text(text, encoding="utf-8")
    return [line for line, _, _ in check(name, file.read_text(encoding="utf-8"))]


def missed(folder, example):
    """Returns the places where `example` is not found, on one line and broken into two, and in a test's name."""
    for name, text, line in PLACES:
        if name != "literal.rs" or '"' not in example:
            if line not in found(folder, name, text.replace("{}", example)):
                yield f"{name}: not found: {example}"
    head, _, tail = example.rpartition(" ")
    if head and not found(folder, "wrapped.rs", f"fn first() {{}}\n/// {head}\n    /// {tail}\n"):
        yield f"wrapped.rs: not found: {example}"
    if example.replace(" ", "").isalpha() and example.islower():
        if not found(folder, "name.rs", f"#[test]\nfn {example.replace(' ', '_')}() {{}}\n"):
            yield f"name.rs: not found: {example}"
    if found(folder, "code.rs", 'const C: &str = "";\n'):
        yield "code.rs: found in code"


def missed_names(folder):
    """Returns the names that are not found where they are defined, or found in prose."""
    for refused in REFUSED:
        for keyword in KEYWORDS[refused.kind]:
            text = f"use other::Name;\n\n    {keyword} {refused.name} {{}}\n"
            (Path(folder) / "names.rs").write_text(text, encoding="utf-8")
            under = f"{refused.under}/names.rs" if refused.under else "names.rs"
            if 3 not in [line for line, _, _ in check(under, text)]:
                yield f"not found: {keyword} {refused.name}"
