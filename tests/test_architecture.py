"""The shape of the code, enforced: who may import whom, one front door per dependency, module and function length, no cycles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "paas"
MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 60

CONTRACTS = ("engines", "builders", "schedulers", "proxies", "services")
FOUNDATION = ("errors", "timing", "output", "paths", "settings", "plugins")
#: Area -> areas it may import, besides itself. An implementation is `<kind>/<name>`, its contract is `<kind>`.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (), "timing": (), "output": ("errors", "timing"),
    "paths": ("errors",), "settings": ("errors",), "plugins": ("errors",),
    "model": FOUNDATION,
    "host": FOUNDATION,
    **{contract: (*FOUNDATION, "model", *CONTRACTS) for contract in CONTRACTS},
    **{part: (*FOUNDATION, "model", "host", *CONTRACTS) for part in ("state", "oci", "network")},
    "engines/*": (*FOUNDATION, "model", "host", *CONTRACTS, "oci", "network"),
    "builders/*": (*FOUNDATION, "model", "host", *CONTRACTS, "oci"),
    "schedulers/*": (*FOUNDATION, "model", "host", *CONTRACTS),
    "proxies/*": (*FOUNDATION, "model", "host", *CONTRACTS),
    "services/*": (*FOUNDATION, "model", "host", *CONTRACTS),
    "context": (*FOUNDATION, "model", "host", *CONTRACTS, "state"),
    "deploy": (*FOUNDATION, "model", "host", *CONTRACTS, "state", "context"),
    **{front: ("*",) for front in ("cli", "gateway", "serve")},
}  # fmt: skip
FRONTS = ("cli", "gateway", "serve")
#: Modules of a front that the other fronts may use: the client of the executor's socket.
SHARED_BY_FRONTS = ("paas.cli.client",)
#: Dependency -> the only modules or packages that may import it.
FRONT_DOORS: dict[str, tuple[str, ...]] = {
    "pyroute2": ("paas.network",),
    "paramiko": ("paas.gateway",),
    "click": ("paas.cli",),
    "cronsim": ("paas.model.cron",),
    "jinja2": ("paas.proxies.nginx.render",),
    "sqlite3": ("paas.state",),
    "cryptography": ("paas.state.vault", "paas.gateway"),
    "subprocess": ("paas.host.run",),
    "git": ("paas.host.git",),
    "multiprocessing": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def area(self) -> str:
        parts = self.name.split(".")[1:]
        if not parts:
            return "paas"
        if parts[0] in CONTRACTS and len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir():
            return f"{parts[0]}/*"  # a plain module beside the implementations is theirs to share, and part of the contract
        return parts[0]


@cache
def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("paas", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name=name, path=path, tree=ast.parse(path.read_text(), str(path))))
    return tuple(found)


@cache
def names() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def imports_of(module: Module, nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} imports relatively in line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in names() else str(node.module)


def all_imports(module: Module) -> frozenset[str]:
    return frozenset(imports_of(module, ast.walk(module.tree)))


def imports_at_start(module: Module) -> frozenset[str]:
    """Return what importing the module imports: not inside functions, not for the type checker."""

    def walk(nodes: list[ast.stmt]) -> Iterator[ast.AST]:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                continue
            yield node
            yield from walk([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])

    return frozenset(imports_of(module, walk(module.tree.body)))


def area_of(name: str) -> str:
    return next(module.area for module in modules() if module.name == name)


def implementation_of(name: str) -> str:
    return ".".join(name.split(".")[:3])


def violations(module: Module) -> Iterator[str]:
    allowed = MAY_IMPORT.get(module.area, ())
    for target in sorted(name for name in all_imports(module) if name in names() and name != "paas"):
        area = area_of(target)
        if module.area in FRONTS and area in FRONTS and area != module.area and target not in SHARED_BY_FRONTS:
            yield f"{module.name} imports {target}: cli, gateway and serve do not import each other"
        elif area.endswith("/*") and module.area not in FRONTS and implementation_of(module.name) != implementation_of(target):
            yield f"{module.name} imports {target}: an implementation is reached by its contract, loaded by plugins"
        elif area != module.area and "*" not in allowed and area not in allowed:
            yield f"{module.name} imports {target}: {module.area} may not import {area}"


def test_every_module_belongs_to_a_known_area() -> None:
    assert [m.name for m in modules() if m.area not in (*MAY_IMPORT, "paas")] == []


def test_imports_follow_the_table_of_layers() -> None:
    assert [line for module in modules() for line in violations(module)] == []


@pytest.mark.parametrize("dependency", FRONT_DOORS)
def test_each_dependency_has_one_front_door(dependency: str) -> None:
    def is_door(module: Module) -> bool:
        return any(module.name == door or module.name.startswith(f"{door}.") for door in FRONT_DOORS[dependency])

    users = [m.name for m in modules() if any(name.split(".")[0] == dependency for name in all_imports(m))]
    assert [name for name in users if not is_door(next(m for m in modules() if m.name == name))] == []


def test_no_import_cycle() -> None:
    graph = {module.name: imports_at_start(module) & names() for module in modules()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "import cycle: " + " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for target in sorted(graph[name] - {name}):
            visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_no_module_is_too_long_to_read() -> None:
    lengths = {module.name: len(module.path.read_text().splitlines()) for module in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_no_function_is_too_long_to_read() -> None:
    functions = [
        (f"{module.name}.{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [(name, lines) for name, lines in functions if lines > MAX_FUNCTION_LINES] == []


def test_the_model_is_pure() -> None:
    impure = {"os", "time", "socket", "subprocess", "random", "shutil", "tempfile", "threading", "datetime"}
    reckons_with_dates = {"paas.model.cron": {"datetime"}}
    found = [(m.name, (all_imports(m) & impure) - reckons_with_dates.get(m.name, set())) for m in modules() if m.area == "model"]
    assert [(name, imported) for name, imported in found if imported] == []
    clocks = {"now", "utcnow", "today"}
    reading = [(m.name, n.attr) for m in modules() if m.area == "model" for n in ast.walk(m.tree)
               if isinstance(n, ast.Attribute) and n.attr in clocks]  # fmt: skip
    assert reading == []


def test_every_module_and_public_class_says_what_it_is() -> None:
    silent = [m.name for m in modules() if m.path.read_text().strip() and not ast.get_docstring(m.tree)]
    silent += [
        f"{m.name}.{node.name}"
        for m in modules()
        for node in m.tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_only_the_command_line_exits_the_process() -> None:
    def exits(module: Module) -> bool:
        return any(
            node.attr == "exit" and isinstance(node.value, ast.Name) and node.value.id == "sys"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute)
        )

    assert [m.name for m in modules() if exits(m) and m.area not in FRONTS] == []
