"""The reference of every command as Markdown, read from the click commands."""

import inspect
import re
from collections.abc import Iterator

import click

from discern.cli.main import cli
from discern.cli.merge_parameter import merge_parameter

_GLOBAL = ("verbose", "quiet", "debug")


def command_reference() -> str:
    """Return one section for each command, options as definition lists."""
    sections = [_section(f"discern {name}", command) for name, command in cli.commands.items()]
    everywhere = [option for option in _options(cli) if option.name in _GLOBAL]
    return "\n".join(
        [
            *sections,
            _section("merge_parameter", merge_parameter),
            "## Options of every command\n\nBefore or after the verb. `--help` shows what a command takes, "
            "`discern --version` the version.\n",
            *map(_definition, everywhere),
        ]
    )


def _section(name: str, command: click.Command) -> str:
    arguments = " ".join(_placeholder(one) for one in command.params if isinstance(one, click.Argument))
    own = [option for option in _options(command) if option.name not in _GLOBAL]
    usage = " ".join(filter(None, [name, "[OPTIONS]" if own else "", arguments]))
    text = as_markdown(inspect.cleandoc(command.help or ""))
    return "\n".join([f"## `{name}`\n", f"```text\n{usage}\n```\n", f"{text}\n", *map(_definition, own)])


def _placeholder(argument: click.Argument) -> str:
    return argument.metavar or str(argument.name).upper()


def _options(command: click.Command) -> Iterator[click.Option]:
    shown = (one for one in command.params if isinstance(one, click.Option) and not one.hidden)
    return (one for one in shown if one.name != "version")


def _definition(option: click.Option) -> str:
    # the context lets click name what an option takes as it does in --help
    takes = "" if option.is_flag or option.count else option.make_metavar(click.Context(cli))
    names = ", ".join(f"`{name} {takes}`" if takes else f"`{name}`" for name in reversed(option.opts))
    meaning = as_markdown(option.help or "")
    default = f" Default: `{option.default}`." if option.show_default else ""
    return f"{names}\n: {meaning}{default}\n"


def as_markdown(text: str) -> str:
    """Return help text as Markdown: options and files in code, everything else as it is."""
    text = re.sub(r"\[default: ([^\]]*)\]", r"Default: \1.", text)
    parts = re.split(r"(`[^`]*`)", text)  # code stays code
    return "".join(part if part.startswith("`") else _marked(part) for part in parts)


def _marked(text: str) -> str:
    text = re.sub(r"([*<\[\]|])", r"\\\1", text)
    return re.sub(
        r"(?<![\w/.])(--[a-z][a-z-]*(?:=[A-Z:]+)?|[\w/]+(?:\.[\w]+)*\.(?:json|html|csv|h5ad|zip)|discern [a-z]+)\b",
        r"`\1`",
        text,
    )
