"""The reference pages that come out of the code: commands, settings, errors."""

from __future__ import annotations

import inspect

import click

from engine import errors
from engine.cli.output import EXIT_CODES
from engine.errors import Bot4Error
from engine.settings import document


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group by name, also of one that imports them when they are wanted."""
    context = click.Context(group)
    found = ((name, group.get_command(context, name)) for name in group.list_commands(context))
    return {name: command for name, command in found if command is not None}


def commands(group: click.Group, name: str = "bot4") -> str:
    """Every command with its help, in Markdown."""
    out = ["# Commands", "", "Every command, from the program itself. `bot4 COMMAND --help` says the same.", ""]
    out += ["| exit code | meaning |", "|---|---|", *(f"| {code} | {text} |" for code, text in EXIT_CODES.items()), ""]
    out += _group(group, name)
    return "\n".join(out).rstrip() + "\n"


def _group(group: click.Group, path: str) -> list[str]:
    out: list[str] = []
    for name, command in sorted(subcommands(group).items()):
        full = f"{path} {name}"
        if isinstance(command, click.Group):
            out += _group(command, full)
            continue
        out += [f"## `{full}`", "", *_help(command), ""]
        rows = [_row(parameter) for parameter in command.params if isinstance(parameter, click.Option)]
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        rows = [f"| `{(p.name or '').upper()}` | {'' if p.required else 'may be left out'} |" for p in arguments] + rows
        if rows:
            out += ["| argument, option | what it is |", "|---|---|", *rows, ""]
    return out


def _help(command: click.Command) -> list[str]:
    text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    out = text.strip().splitlines()
    return [*out, "", "```sh", example.strip(), "```"] if example else out


def _row(option: click.Option) -> str:
    words = ", ".join(f"`{word}`" for word in (*option.opts, *option.secondary_opts))
    return f"| {words} | {(option.help or '').replace('|', ' ').replace('[', '(').replace(']', ')')} |"


def error_page() -> str:
    """Every error by its code."""
    out = ["# Errors", "", "Each error has a code that never changes: search the logs for it.", ""]
    out += ["| code | name | what is wrong | what to do |", "|---|---|---|---|"]
    found = sorted(_tree(Bot4Error), key=lambda cls: (len(cls.code), cls.code))
    out += [f"| {cls.code} | `{cls.__name__}` | {cls.sentence} | {cls.remedy} |" for cls in found]
    return "\n".join(out) + "\n"


def _tree(root: type[Bot4Error]) -> list[type[Bot4Error]]:
    below = [cls for child in root.__subclasses__() for cls in _tree(child)]
    own = [root] if root.__module__.startswith(errors.__name__) else []
    return list(dict.fromkeys(own + below))


def pages(group: click.Group) -> dict[str, str]:
    """File names below docs/reference and their text."""
    return {
        "commands.md": commands(group),
        "settings.md": document.reference(),
        "errors.md": error_page(),
        "base.toml.md": f"# config/base.toml\n\n```toml\n{document.base_toml()}```\n",
    }
