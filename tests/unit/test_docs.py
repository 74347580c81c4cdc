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


def test_every_trigger_has_a_sample_and_a_line_in_the_list_of_hooks() -> None:
    code = "".join(file.read_text() for file in sorted((ROOT / "paas" / "deploy").glob("*.py")))
    triggers = set(re.findall(r'run_hook\(ctx, "([a-z-]+)"', code))
    listed = set(re.findall(r"^\| `([a-z-]+)` \| app", (ROOT / "hooks" / "README.md").read_text(), re.MULTILINE))
    samples = {file.stem for file in (ROOT / "hooks").glob("*.sample")}
    assert triggers == listed == samples
    assert triggers


def test_every_command_that_is_named_exists() -> None:
    from paas.cli.root import all_commands

    texts = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("hooks/*"), *ROOT.glob("paas/**/*.py")]
    named = {name for file in texts for name in re.findall(r"\bpaas ([a-z-]+:[a-z-]+)", file.read_text())}
    assert sorted(named - all_commands().keys()) == []
