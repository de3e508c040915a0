"""Conventions that would otherwise be wishes: who imports whom, what is exported, what must never be committed."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra import shipped

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("perennial", "functions", "training", "infra", "localcloud")
TEXT = {".py", ".toml", ".md", ".txt", ".in", ".json", ".yaml", ".yml", ".cfg", ".html", ""}
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py") and "templates" not in path.parts
)


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return [path for path in paths if path.is_file() and path.suffix in TEXT]


def test_import_contracts_are_kept():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", sorted(name for names in shipped.FUNCTIONS.values() for name in names))
def test_a_function_module_has_a_handler_settings_and_says_what_it_does(name: str):
    from functions import _shell

    module = importlib.import_module(f"functions.{name}")
    assert callable(module.handler)
    assert issubclass(module.Settings, _shell.Settings)
    assert module.Settings.__doc__
    for part in ("Trigger:", "AWS actions"):
        assert part in (module.__doc__ or ""), f"functions/{name}.py: its docstring must have {part!r}"


def test_every_function_module_is_in_one_bundle():
    modules = {path.stem for path in (ROOT / "functions").glob("*.py")} - {"__init__", "_shell"}
    listed = [name for names in shipped.FUNCTIONS.values() for name in names]
    assert sorted(modules) == sorted(listed)


def test_a_function_module_is_named_verb_noun():
    for names in shipped.FUNCTIONS.values():
        for name in names:
            assert re.fullmatch(r"[a-z]+_[a-z]+", name), name


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_exports_exists_and_is_documented(name: str):
    path = ROOT / (name.replace(".", "/") + ".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{name}: a module must say what it gives"
    exported = exports(tree)
    defined = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    bound = set(defined) | {
        target.id
        for node in ast.walk(tree)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
    bound |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    bound |= {node.name.id for node in tree.body if isinstance(node, ast.TypeAlias)}
    assert set(exported) <= bound, f"{name}: __all__ names what isn't there: {sorted(set(exported) - bound)}"
    undocumented = [one for one in exported if one in defined and not ast.get_docstring(defined[one])]
    assert undocumented == [], f"{name}: exported without a docstring"


def exports(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def test_locks_name_no_package_index_and_have_hashes():
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert sorted(source.stem for source in (ROOT / "requirements").glob("*.in")) == [lock.stem for lock in locks]
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text, lock.name
        assert "--index-url" not in text and "--find-links" not in text, lock.name
        pinned = re.findall(r"^[a-zA-Z0-9._-]+(?:\[[^\]]*\])?==", text, re.MULTILINE)
        assert len(pinned) == text.count("==") - markers(text), lock.name
        assert text.count("--hash=sha256:") >= len(pinned), lock.name


def markers(text: str) -> int:
    """`==` in environment markers: python_version == '3.12'."""
    return len(re.findall(r"(?<=\s)==\s*'", text))


def test_locks_agree_on_every_version():
    versions: dict[str, set[str]] = {}
    # The image's versions are AWS's, whatever ours are.
    for lock in {*(ROOT / "requirements").glob("*.txt")} - {ROOT / "requirements" / "image.txt"}:
        for name, version in re.findall(r"^([a-zA-Z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", lock.read_text(), re.MULTILINE):
            versions.setdefault(name.lower(), set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_npm_locks_name_no_registry():
    for lock in (ROOT / "package-lock.json", ROOT / "tests" / "iam" / "package-lock.json"):
        assert "resolved" not in lock.read_text(), lock


def test_nothing_that_is_committed_names_a_folder_of_somebodys_machine():
    # Folders that only one person's machine has; /opt/ml and /tmp are what AWS and every system have.
    personal = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/[\w.-]+")
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in committed()
        for match in personal.finditer(path.read_text(encoding="utf-8", errors="ignore"))
    ]
    assert found == []


def test_the_words_of_the_glossary_are_used_instead_of_their_rivals():
    """DESIGN's words: a name of ours that says otherwise makes two concepts of one."""
    rivals = re.compile(r"(?:^|_)(?:utils?|helpers?|common|managers?|baseline|raw2)(?:_|$)")
    names = {part for module in MODULES for part in module.split(".")}
    assert [name for name in sorted(names) if rivals.search(name)] == []


def test_a_module_over_400_lines_says_why_it_is_one_idea():
    """Its docstring has a sentence that begins with "Longer than 400 lines"."""
    unexplained = {}
    for name in MODULES:
        text = (ROOT / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8")
        explained = "Longer than 400 lines" in (ast.get_docstring(ast.parse(text)) or "")
        if len(text.splitlines()) > 400 and not explained:
            unexplained[name] = len(text.splitlines())
    assert unexplained == {}


def test_continuous_integration_runs_what_a_person_runs():
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")


def test_make_alone_says_what_there_is():
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("demo", "test", "up", "synth", "bench", "lint", "lock", "check"):
        assert re.search(rf"make {target}\b", done.stdout), target


# --- documentation that can't lie ---

DOCS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "loops").glob("*/README.md")])


def test_the_reference_of_the_command_line_is_what_the_commands_say():
    from perennial.cli.reference import render

    kept = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    assert kept == render(), "run: .venv/bin/python -m perennial.cli.reference > docs/reference/cli.md"


def test_the_reference_of_loop_toml_is_what_the_policies_say():
    from perennial.cli.loop_reference import render

    kept = (ROOT / "docs" / "reference" / "loop.md").read_text(encoding="utf-8")
    assert kept == render(), "run: .venv/bin/python -m perennial.cli.loop_reference > docs/reference/loop.md"


def test_every_key_of_a_loop_toml_has_a_meaning_and_no_other_has():
    from perennial.cli.loop_reference import MEANINGS, SECTIONS, settings

    keys = {(section, key): field.description for section in SECTIONS for key, _, field in settings(section)}
    told = {(section, key) for section, meanings in MEANINGS.items() for key in meanings}
    assert {place for place, description in keys.items() if not description} == told


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_links_only_to_files_and_headings_that_exist(page: Path):
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (heading and heading not in anchors(there)):
            missing.append(target)
    assert missing == []


def anchors(page: Path) -> set[str]:
    """The names that headings of a page are linked by, made as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_commands_that_exist(page: Path):
    from perennial.cli.reference import commands

    known = {" ".join(name.split()[:2]) for name, _ in commands()}
    named = re.findall(r"(?:`|^    )(perennial [a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(set(named) - known) == []


def test_the_tour_passes_every_function_that_a_record_meets():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    met = {name for names in shipped.FUNCTIONS.values() for name in names} - {"conclude_run", "tear_down"}
    assert {name for name in met if f"functions/{name}.py" not in tour} == set()


def test_the_ml_test_score_counts_what_tests_show():
    sections = re.split(r"^## ", (ROOT / "docs" / "ml-test-score.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    sums = {}
    for section in sections[1:5]:
        title = section.splitlines()[0]
        rows = re.findall(r"^\| (.+?) \| ([01]) \| (.+) \|$", section, re.MULTILINE)
        assert len(rows) == 7, title
        for row, counts, why in rows:
            named = re.findall(r"`(tests/\S+?\.py)::(test_\w+)`", why)
            assert bool(named) == (counts == "1"), row
            for path, test in named:
                assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{row}: {path}::{test}"
        sums[title] = sum(counts == "1" for _, counts, _ in rows)
        assert f"{title}: {sums[title]} of 7" in section
    assert len(sums) == 4
    assert f"**{min(sums.values())}**" in sections[5]
