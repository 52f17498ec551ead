"""Commands that are imported when they are asked for: no command waits for what the others need.

Decides how the root's commands are found; which there are is root.py's table. The list of `tenfold --help` is made from the table
alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


@dataclass(frozen=True, slots=True)
class Part:
    """A command or a group of them.

    Attributes:
        module: where it is. name: its name there, of a function or a Typer. help: one sentence for the root's help.
    """

    module: str
    name: str
    help: str


class Parts(TyperGroup):
    """A group whose commands are in modules of their own; subclasses bring `table`."""

    table: ClassVar[Mapping[str, Part]] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lists = False
        self.commands = {name: TyperCommand(name, help=part.help) for name, part in self.table.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """In the table's order."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command; while help is written, its sentence does."""
        part = self.table.get(cmd_name)
        return self.commands.get(cmd_name) if self._lists or part is None else load(cmd_name, part)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._lists = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._lists = False


def load(name: str, part: Part) -> Any:
    """Import a command or group."""
    found = getattr(import_module(part.module), part.name)
    holder = typer.Typer()
    holder.callback()(lambda: None)   # a holder of one command would be that command
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    group = typer.main.get_command(holder)
    return group.commands[name] if isinstance(group, TyperGroup) else group
