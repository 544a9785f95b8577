"""Contracts of commands: a further verb of `synapse`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from synapse_core.testing.contracts.contract import Contract, Subject, contract, require


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it, with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _commands(f"{name} {below.name}", below)


@contract
def is_a_click_command_of_its_own_name(subject: Subject) -> None:
    """It is called what it is listed as, and hides no verb of the core."""
    from synapse_core.cli.frame import VERBS

    command = subject.thing
    found = type(command).__name__
    require(isinstance(command, click.Command), f"it is a {found}, it must be a click.Command")
    name = command.name
    require(name == subject.name, f"listed as {subject.name!r}, the command is named {name!r}")
    require(subject.name not in VERBS, f"{subject.name!r} is a verb of the core, which goes first")


@contract
def says_what_it_does(subject: Subject) -> None:
    """It and every command below it have a help text, and every option one too."""
    for name, command in _commands(subject.name, subject.thing):
        require(bool(command.help), f"`{name}` has no help text")
        for option in command.params:
            documented = not isinstance(option, click.Option) or option.hidden or option.help
            require(bool(documented), f"`{name}`: option {option.name!r} has no help text")


@contract
def shows_its_help_without_running(subject: Subject) -> None:
    """`--help` ends with code 0 and the usage line."""
    from click.testing import CliRunner

    for name, command in _commands(subject.name, subject.thing):
        result = CliRunner().invoke(command, ["--help"])
        shown = f"`{name} --help` ended with {result.exit_code}"
        require(result.exit_code == 0, f"{shown}: {result.exception!r}")
        require("Usage:" in result.output, f"{shown} and shows no usage")


@contract
def refuses_an_unknown_option(subject: Subject) -> None:
    """It ends with code 2, as every verb does."""
    from click.testing import CliRunner

    result = CliRunner().invoke(subject.thing, ["--no-such-option-there-is"])
    require(result.exit_code == 2, f"an unknown option ended with {result.exit_code}, not with 2")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "command": (
        is_a_click_command_of_its_own_name,
        says_what_it_does,
        shows_its_help_without_running,
        refuses_an_unknown_option,
    )
}
