#!/usr/bin/env python3
"""Refuses words that are not plain technical English: in prose, in names and in commit subjects.

    words.py [PATH]...    files and folders of the current folder, by default all of it
    words.py --commits    subjects of the commits after the one that words.toml names
    words.py --self-test  plants each phrase and name in files and checks that it is found

Prints `file:line: "phrase": write ...` and exits with 1 if something was found, with 77 if the history is missing.
The list and its exceptions are in words.toml.
"""

import fnmatch
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

sys.dont_write_bytecode = True
from prose import extract  # noqa: E402

HERE = Path(__file__).resolve().parent
LIST = tomllib.loads((HERE / "words.toml").read_text(encoding="utf-8"))
COMMITS = LIST["commits"]
SUFFIXES = {"", ".c", ".go", ".h", ".in", ".ld", ".lua", ".md", ".mjs", ".py", ".rs", ".sh", ".toml", ".txt", ".x", ".yml"}
SKIPPED_FOLDERS = {".git", "target", "node_modules", "__pycache__"}
SENTENCE_START = r"(?:^|(?<=[.:;!?|]\s))"
TYPES = {"struct", "enum", "union", "trait", "type", "class"}
# Words that end like a participle or a third person, and can be imperatives.
IMPERATIVES = re.compile(r"(?:.*ss|bring|string|ping|need|feed|embed|seed|exceed|proceed|shed|focus|alias|canvas|bias)$")


class Phrase:
    """A phrase of the word list."""

    def __init__(self, entry):
        find = entry["find"]
        before = "" if "{start}" in find else r"(?<![\w-])"
        after = "" if "(?=" in find or find.endswith((" ", "{", ".")) else r"(?!\w)"
        find = find.replace(" ", r"\s+").replace("{start}", SENTENCE_START)
        self.pattern = re.compile(f"{before}(?:{find}){after}", 0 if entry.get("case") else re.IGNORECASE)
        self.write = entry["write"]
        self.plant = entry["plant"]
        self.keep = entry.get("keep", [])


class Refused:
    """A name that must not be defined again."""

    def __init__(self, entry):
        self.kind = next(kind for kind in ("type", "const", "fn", "mod") if kind in entry)
        self.name = entry[self.kind]
        self.under = entry.get("under", "")
        self.write = entry["write"]

    def matches(self, path, name):
        """Returns whether this is the name that `path` defines."""
        kinds = {"type": TYPES, "const": {"const", "static"}, "fn": {"fn", "def"}, "mod": {"mod"}}[self.kind]
        return name.name == self.name and name.kind in kinds and path.startswith(self.under)


PHRASES = [Phrase(entry) for entry in LIST["phrases"]]
REFUSED = [Refused(entry) for entry in LIST["names"]]


def check(path, text):
    """Yields the findings of a file: line, phrase and recommendation."""
    blocks, names = extract(path, text)
    for block in blocks:
        for phrase in PHRASES:
            for match in phrase.pattern.finditer(block.text):
                yield block.line(match.start()), " ".join(match[0].split()), phrase.write
    for name in names:
        for phrase in PHRASES:
            if match := phrase.pattern.search(name.name.replace("_", " ")):
                yield name.line, match[0].replace(" ", "_"), f"{phrase.write} (in `{name.name}`)"
        for refused in REFUSED:
            if refused.matches(path, name):
                yield name.line, name.name, refused.write


def files(paths):
    """Returns the files to check, relative to the top folder: those of git, or of the folder without git."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "--", *paths], capture_output=True, check=False, text=True
    )
    if listing.returncode == 0:
        found = listing.stdout.split("\0")
    else:
        found = []
        for folder, folders, names in os.walk("."):
            folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
            found += [os.path.relpath(os.path.join(folder, name)) for name in names]
        found = [file for file in found if not paths or any((file + "/").startswith(path.rstrip("/") + "/") for path in paths)]
    return sorted({file for file in found if is_checked(file)})


def is_checked(file):
    """Returns whether a file is text that people write."""
    if Path(file).suffix not in SUFFIXES or any(fnmatch.fnmatch(file, pattern) for pattern in LIST["exclude"]):
        return False
    return os.path.isfile(file) and not os.path.islink(file)


def check_files(paths):
    """Prints what is wrong in files; returns how many findings there are."""
    count, used = 0, set()
    checked = files(paths)
    for file in checked:
        for line, phrase, write in sorted(check(file, Path(file).read_text(encoding="utf-8", errors="replace"))):
            if (file, phrase.lower()) in ALLOWED:
                used.add((file, phrase.lower()))
                continue
            print(f'{file}:{line}: "{phrase}": write {write}')
            count += 1
    for file, phrase in sorted(ALLOWED - used):
        if not paths:
            print(f'tests/steps/words.toml: "{phrase}" is allowed in {file} and does not occur there')
            count += 1
    print(f"{len(checked)} files, {count} findings")
    return count


ALLOWED = {(entry["file"], entry["phrase"].lower()) for entry in LIST["allow"] if entry["reason"]}


def wrong_subject(subject):
    """Returns what is wrong with the subject of a commit, or None."""
    if len(subject) > COMMITS["max_characters"]:
        return f"write at most {COMMITS['max_characters']} characters"
    if not re.search(COMMITS["subject"], subject) or ";" in subject:
        return "write `area: verb object`, one change"
    verb = subject.split(": ", 1)[1].split(" ")[0]
    if verb in COMMITS["not_verbs"] or (verb.endswith(("ing", "ed", "s")) and not IMPERATIVES.match(verb)):
        return f'write an imperative instead of "{verb}"'
    for phrase in PHRASES:
        if match := phrase.pattern.search(subject):
            return f'"{match[0]}": write {phrase.write}'
    return None


def check_commits():
    """Prints the subjects that are wrong; returns how many, or None without the history."""
    after = LIST["commits_after"]
    history = subprocess.run(
        ["git", "log", "--no-merges", "--format=%h %s", f"{after}..HEAD"], capture_output=True, check=False, text=True
    )
    shallow = subprocess.run(["git", "merge-base", "--is-ancestor", after, "HEAD"], capture_output=True, check=False)
    if history.returncode != 0 or shallow.returncode != 0:
        return None
    subjects = [line.split(" ", 1) for line in history.stdout.splitlines()]
    wrong = [(commit, subject, reason) for commit, subject in subjects if (reason := wrong_subject(subject))]
    for commit, subject, reason in wrong:
        print(f"{commit}: {subject}: {reason}")
    print(f"{len(subjects)} commits, {len(wrong)} findings")
    return len(wrong)


def main(arguments):
    """Runs what the arguments name and returns the exit code."""
    if arguments == ["--self-test"]:
        from words_test import self_test

        return self_test()
    if arguments == ["--commits"]:
        count = check_commits()
        return 77 if count is None else min(count, 1)
    return min(check_files(arguments), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
