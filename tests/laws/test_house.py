"""Laws of the tree: what may be called how, import what, and be how long."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for room in ("selfsup", "tasks", "scripts", "tests") for path in (ROOT / room).rglob("*.py"))
LIBRARY = [path for path in MODULES if not path.is_relative_to(ROOT / "tests")]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
RECIPES = sorted((ROOT / "scripts" / "recipes").glob("*.yaml"))
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}
DRAWING = {"bench_learning", "diagnose"} | {path.stem for path in SCRIPTS if path.stem.startswith("show_")}
# What a model may import, so that its files open at people's who lack this package.
HUB = {"torch", "transformers", "huggingface_hub", "dataclasses", "typing", "collections", "math", "warnings"}


def called(path):
    return str(path.relative_to(ROOT))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def tracked():
    """Files that git knows, and new ones that it does not ignore."""
    asked = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout of git")
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.mark.skipif(not importlib.util.find_spec("importlinter"), reason="import-linter is not installed")
def test_imports_point_down():
    linter = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    found = subprocess.run([sys.executable, "-c", linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert "KEPT" in found.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "selfsup" / "models").glob("[!_]*.py")), ids=called)
def test_models_import_what_strangers_have(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= HUB
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, "`from ..x` cannot be copied"
            assert node.module, "`from . import x` saves and then fails: write `from .x import Y`"
            assert "." not in node.module
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert node.module.split(".")[0] in HUB


@pytest.mark.parametrize("path", MODULES, ids=called)
def test_names_say_what_is_inside(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    assert not VAGUE & {word for part in parts for word in part.strip("_").split("_")}


@pytest.mark.parametrize("path", [path for path in LIBRARY if path.stat().st_size], ids=called)
def test_modules_open_with_a_sentence(path):
    text = ast.get_docstring(tree(path))
    assert text, "a module opens with one sentence on what it is for"
    assert re.match(r"[A-Z].*?[.:?](\s|$)", text, re.DOTALL)


@pytest.mark.parametrize("path", SCRIPTS, ids=called)
def test_scripts_compose_and_do_not_think(path):
    assert len(path.read_text().splitlines()) <= 60
    assert path.stem not in sys.stdlib_module_names
    found = importlib.util.find_spec(path.stem)
    assert found is None or found.origin == str(path), "a script must not shadow a module that others import"


def test_no_file_names_a_place_on_our_machines():
    places = re.compile(rb"(?<![\w.])/(?:work|root|opt)/[\w.]")
    found = [
        f"{called(path)}: {line.strip()[:100]!r}"
        for path in tracked()
        if path != Path(__file__)
        for line in path.read_bytes().splitlines()
        if places.search(line)
    ]
    assert not found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=called)
def test_recipes_load(recipe):
    # A recipe is called after its script.
    script = max((path for path in SCRIPTS if recipe.stem.startswith(path.stem)), key=lambda path: len(path.stem))
    starts = {"pretrain": ["--corpus", "some/text"], "in_context": []}
    start = next((flags for name, flags in starts.items() if name in recipe.stem), ["--model", "some/model"])
    flags = [*start, "--output", "some/run", "--config", str(recipe), "--print_config"]
    printed = subprocess.run([sys.executable, str(script), *flags], capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    whole = leaves(yaml.safe_load(printed.stdout))
    for name, value in leaves(yaml.safe_load(recipe.read_text())).items():
        assert whole[name] == value, name


def leaves(tree, path=""):
    """Values by dotted name; classes by their last name, and their arguments as if they stood beside it."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if name == "init_args":
            found |= leaves(value, path)
        elif isinstance(value, dict):
            found |= leaves(value, f"{path}{name}.")
        else:
            found[path + name] = value.split(".")[-1] if name == "class_path" else value
    return found


def test_commands_start_without_what_few_of_them_need():
    """`--help` is not to wait for libraries that draw or read tables; pictures are what show_*.py is for."""
    program = """
import runpy, sys
for script in sys.argv[1:]:
    sys.path[0] = script.rpartition("/")[0]
    runpy.run_path(script, run_name="imported")
    late = {"matplotlib", "datasets", "evaluate", "pandas"} & sys.modules.keys()
    assert not late, f"{script} imports {late}"
"""
    scripts = [str(path) for path in sorted((ROOT / "scripts").glob("*.py")) if path.stem not in DRAWING]
    assert len(scripts) > 5
    done = subprocess.run([sys.executable, "-c", program, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
