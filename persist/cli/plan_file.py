"""PlanFile: the module of a migration plan, to which a step is added."""

import ast
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from persist.domain.entity_type import EntityType
from persist.storage.migrations.step_proposal import ProposedStep

NEW_FILE = '''"""``{name}``: its migration plan."""

from typing import Any

from persist import MigrationPlan, MigrationStep

PLAN = MigrationPlan(
    []
)
'''

EARLIER_STEP = """MigrationStep(
    1,
    {version},
    description="data of earlier versions stays as it is",
),
"""


class CannotEdit(Exception):
    """The module has no plan in the form that can be edited."""


@dataclass(frozen=True)
class PlanFile:
    """The file of a plan, and the variable that the plan has there."""

    path: Path
    variable: str
    name: str

    @classmethod
    def of(cls, entity_type: EntityType, folder: Path) -> "PlanFile":
        """Return the file that defines the plan of a class, or a new one."""
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file is None or not Path(file).is_relative_to(Path.cwd()):
                continue
            for variable, value in vars(module).items():
                if value is entity_type.plan and _assigns(Path(file), variable):
                    path = Path(file).relative_to(Path.cwd())
                    return cls(path, variable, entity_type.name)
        module_name = entity_type.name.replace("-", "_")
        return cls(folder / f"{module_name}.py", "PLAN", entity_type.name)

    @property
    def expression(self) -> str:
        """How the module of the class names the plan."""
        return f"{self.path.stem}.{self.variable}"

    def add(self, step: ProposedStep) -> None:
        """Add a step at the end of the plan. Raises ``CannotEdit``."""
        is_new = not self.path.exists()
        text = NEW_FILE.format(name=self.name)
        if not is_new:
            text = self.path.read_text(encoding="utf-8")
        lines = list(step.source(self._function(step)))
        if is_new and step.from_version > 1:
            lines = [
                *EARLIER_STEP.format(version=step.from_version).split("\n"),
                *lines,
            ]
        text = self._with_step(text, lines, step)
        ast.parse(text)
        self.path.parent.mkdir(exist_ok=True)
        if is_new and not (self.path.parent / "__init__.py").exists():
            (self.path.parent / "__init__.py").write_text(
                '"""The migration plans of the entity classes."""\n'
            )
        self.path.write_text(text, encoding="utf-8")

    def _function(self, step: ProposedStep) -> str:
        return f"to_version_{step.to_version}"

    def _with_step(self, text: str, lines: list[str], step: ProposedStep) -> str:
        statement, steps = self._plan(text)
        end = _offset(text, steps.end_lineno, steps.end_col_offset) - 1
        start = _offset(text, statement.lineno, 0)
        comma = ""
        last = end
        if steps.elts:
            element = steps.elts[-1]
            last = _offset(text, element.end_lineno, element.end_col_offset)
            between = re.sub("#[^\n]*", "", text[last:end])
            comma = "" if "," in between else ","
        added = textwrap.indent("\n".join(line for line in lines if line), " " * 8)
        function = "\n".join(step.function(self._function(step)))
        needs_function = bool(step.values or step.removed)
        return "".join(
            (
                text[:start],
                f"\n{function}\n\n\n" if needs_function else "",
                text[start:last],
                comma,
                text[last:end].rstrip(" \n"),
                f"\n{added}\n    ",
                text[end:],
            )
        )

    def _plan(self, text: str) -> tuple[ast.Assign, ast.List]:
        """Return the statement that assigns the plan, and the list of its steps."""
        for statement in ast.parse(text).body:
            if not _is_assignment(statement, self.variable):
                continue
            call = statement.value
            steps = call.args[0] if isinstance(call, ast.Call) and call.args else None
            if isinstance(steps, ast.List):
                return statement, steps
        raise CannotEdit(
            f"{self.path}: there is no {self.variable} = MigrationPlan([...]); write"
            " the plan in this form, or add the step yourself"
        )


def _assigns(file: Path, variable: str) -> bool:
    """Return whether a module assigns a variable itself, and does not import it."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    return any(_is_assignment(statement, variable) for statement in module.body)


def _is_assignment(statement: ast.stmt, variable: str) -> TypeGuard[ast.Assign]:
    text = ast.unparse(statement)
    return isinstance(statement, ast.Assign) and text.startswith(f"{variable} = ")


def _offset(text: str, line: int | None, column: int | None) -> int:
    """Return the position of a node in the text; columns count bytes of UTF-8."""
    lines = text.splitlines(keepends=True)
    before = sum(map(len, lines[: (line or 1) - 1]))
    inside = lines[(line or 1) - 1].encode()[: column or 0].decode()
    return before + len(inside)
