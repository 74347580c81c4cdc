"""The documentation says what the code does."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

from paas.settings import Settings

ROOT = Path(__file__).parent.parent.parent


def test_every_setting_is_documented_with_its_default() -> None:
    expected = [
        f"| `{f.name.replace('_', '-')}` | `{json.dumps(f.default)}` | {f.metadata['doc']} |" for f in fields(Settings)
    ]
    rows = (ROOT / "docs" / "settings.md").read_text().split("|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    assert rows == expected


def test_links_between_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []
