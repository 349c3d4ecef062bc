"""The documents, taken apart: fenced blocks with what a comment before them says, and tables."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"```(?P<language>[a-z]*)\Z")
_MARK = re.compile(r"<!-- (?P<word>[a-z ]+): (?P<value>.+) -->\Z")
_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``mark`` and ``value`` come from a comment in the line before it."""

    document: Path
    line: int
    language: str
    text: str
    mark: str = ""
    value: str = ""

    @property
    def place(self) -> str:
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Document:
    """A Markdown file of the documentation."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    def blocks(self) -> list[Block]:
        """Return the fenced blocks in their order; a fence that is not closed is an error."""
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        lines = self.text.splitlines()
        numbered = iter(enumerate(lines, start=1))
        for number, line in numbered:
            fence = _FENCE.fullmatch(line)
            if fence is None:
                assert not line.startswith("```"), (
                    f"{self.path.name}:{number}: a fence that is not understood"
                )
                continue
            body: list[str] = []
            for _, inner in numbered:
                if inner == "```":
                    break
                body.append(inner)
            else:
                raise AssertionError(f"{self.path.name}:{number}: the block does not end")
            mark = _MARK.fullmatch(lines[number - 2]) if number > 1 else None
            found = (mark["word"], mark["value"]) if mark else ("", "")
            yield Block(self.path, number, fence["language"], "\n".join(body) + "\n", *found)

    def prose(self) -> str:
        """Return the text without fenced blocks and comments."""
        text = re.sub(r"(?ms)^```.*?^```$", "", self.text)
        return re.sub(r"<!--.*?-->", "", text)

    def spans(self) -> list[str]:
        """Return what stands in backquotes outside of blocks."""
        return _SPAN.findall(self.prose())

    def column(self, heading: str, number: int = 0) -> list[str]:
        """Return what stands in backquotes in one column of the first table after a heading."""
        _, found, rest = self.text.partition(f"\n{heading}\n")
        assert found, f"{self.path.name} has no heading {heading!r}"
        table = re.search(r"(?m)(?:^\|.*\n)+", rest)
        assert table is not None, f"{self.path.name}: no table under {heading!r}"
        rows = [row.strip("|").split("|") for row in table[0].splitlines()[2:]]
        return [span for row in rows for span in _SPAN.findall(row[number])]


@pytest.fixture
def document() -> Callable[[str], Document]:
    """Return a document by its file name."""
    return lambda name: Document(next(path for path in DOCUMENTS if path.name == name))


@pytest.fixture(scope="session")
def documents() -> list[Document]:
    return [Document(path) for path in DOCUMENTS]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a newcomer: our commands on the path, own state files and caches, no proxy."""
    home = tmp_path_factory.mktemp("home")
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.lower().endswith("_proxy") and not key.startswith(("PYTEST_", "SESSION_", "LOCAL_DEVNET"))
    }
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SESSION_HARNESS_STATE_DIR": str(home / "state"),
        "SESSION_HARNESS_CACHE_DIR": str(home / "cache"),
        "PYTHONUTF8": "1",
        "COLUMNS": "120",
    }
