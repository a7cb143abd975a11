"""What the documents cite exists: a threat or an invariant is held by the test that it names, and a link leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "oracle/docs/**/*.md", "contracts/*/*.md", "circuits/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
CITED_FILE = re.compile(r"\b(?:tests/[\w/]*)?test_\w+\.py\b|\b[A-Z]\w+\.t\.sol\b")
CITED_TEST = re.compile(r"\btest_\w+__\w+\b")
LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)")


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    """Every test file by its path."""
    folders = (ROOT / "tests", ROOT / "contracts" / "evm" / "test")
    paths = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".sol")]
    return {path: path.read_text() for path in paths}


def test_documents__are_found() -> None:
    names = {path.name for path in DOCUMENTS}
    assert {"README.md", "THREATS.md", "INVARIANTS.md", "PROTOCOL.md", "VERIFIER.md"} <= names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents__cited_tests__exist(document: Path, sources: dict[Path, str]) -> None:
    text = document.read_text()
    for cited in set(CITED_FILE.findall(text)):
        assert any(path.as_posix().endswith("/" + cited) for path in sources), f"{document.name} cites {cited}"
    for cited in set(CITED_TEST.findall(text)):
        assert any(f"def {cited}" in source for source in sources.values()), f"{document.name} cites {cited}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents__links__lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
