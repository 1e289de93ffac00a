"""Typed arguments from flags and YAML; what is wrong with them is said in one sentence."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentError, ArgumentParser

_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null"}


def build_parser(main: Callable[..., Any], recipe: Path | None = None) -> ArgumentParser:
    """The parser of a script's `main`: its signature is the interface, its docstring the help.

    Args:
        main: typed; a parameter called `arguments` is no flag.
        recipe: YAML with the defaults.
    """
    parser = ArgumentParser(
        prog=Path(sys.argv[0]).name,
        default_config_files=[str(recipe)] if recipe else [],
        exit_on_error=False,
        allow_abbrev=False,  # else a flag cut short would be taken for another one
    )
    parser.add_argument("--config", action="config", help="YAML file with arguments; flags win over it")
    parser.add_function_arguments(main, skip={"arguments"})
    for action in parser._actions:
        if _type_of(action) is bool:
            action.nargs, action.const = "?", True  # `--resume` alone means `--resume true`
    lists = sorted(flag for flag in parser._option_string_actions if flag.endswith(".help"))
    if lists:
        parser.epilog = (
            f"{', '.join(lists)}: what else goes below these, where it is a class with its name behind "
            "(--objectives.help MaskedTokens). --print_config: the values of all."
        )
    return parser


def parse(parser: ArgumentParser, flags: list[str]) -> tuple[Any, dict[str, Any]]:
    """Read flags and YAML, and make the objects that they describe.

    Args:
        parser: of `build_parser`.
        flags: of the command line.
    Returns:
        the arguments as they were read, to be dumped; and the objects by the name of the parameter.
    Raises:
        ValueError: one sentence on what is misspelt, missing or out of range.
    """
    try:
        parsed = parser.parse_args(flags)
        return parsed, vars(parser.instantiate(parsed))
    except ArgumentError as error:
        _refuse(str(error), parser, flags, error)
    except ArithmeticError as error:
        raise ValueError(
            f"a size among the arguments cannot be reckoned with ({error}): sizes are 1 or more"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"--config wants a YAML file in UTF-8, but what came holds 0x{error.object[error.start]:02x} at byte "
            f"{error.start}: give another file"
        ) from error
    except ValueError as error:
        raise ValueError(_located(str(error), flags)) from error


def _refuse(message: str, parser: ArgumentParser, flags: list[str], error: Exception) -> NoReturn:
    """Say in one sentence what jsonargparse says in many lines."""
    keys = [key for key in re.findall(r'Parser key "([^"]+)"', message) if key != "config"]
    if found := re.search(r"unrecognized arguments: (.*)", message, re.DOTALL):
        word = next((word for word in found[1].split() if word.startswith("--")), found[1].split()[0])
        sentence = _unknown(word.partition("=")[0], _known(parser))
    elif found := re.search(r"arguments? (?:is|are) required: (.*)", message):
        sentence = (
            f"{', '.join('--' + name for name in found[1].split(', '))} must be given, but did not come: see --help"
        )
    elif found := re.search(r"argument (--\S+): expected (.*)", message):
        sentence = f"{found[1]} wants a value, but none came: write it behind the flag"
    elif found := re.search(r"Option '([^']+)' is not accepted", message):
        sentence = _misspelt(message, found[1], keys, parser, flags)
    elif found := re.search(r"Group '([^']+)' does not accept option '([^']+)'", message):
        sentence = _unknown(f"{found[1]}.{found[2]}", [flag.removeprefix("--") for flag in _known(parser)])
    elif found := re.search(r'Parser key "config": (.*)', message):
        sentence = f"--config wants a YAML file, but this came: {found[1]}"
    elif "is abstract" in message and keys:
        sentence = _nameless(keys[0], parser, flags)
    elif (found := re.search(r"Expected a dot import path string: (\S+)", message)) and keys:
        sentence = _unknown(found[1], [kind.__name__ for kind in _kinds(parser, keys[0])], f"a class of {_flag(keys)}")
    elif (found := re.search(r"Subtypes: (.*?)\n\s*Errors:.*Given value: (.*)", message, re.DOTALL)) and keys:
        sentence = _mistyped(keys, re.findall(r"<class '[^']+'>|[\w.]+\[.*?\](?=, |\])", found[1]), found[2], flags)
    elif (found := re.search(r"Expected an? (.*)\. Got value: (.*)", message, re.DOTALL)) and keys:
        sentence = _mistyped(keys, [found[1]], found[2], flags)
    elif (found := re.search(r"can't encode character '(\S+)'", message)) and keys:
        sentence = f"{_flag(keys)} in Unicode is wanted, but it holds half a character, {found[1]}: write it in UTF-8"
    elif found := re.search(r"Unexpected config: (.*)", message, re.DOTALL):
        sentence = f"--config wants a YAML file of `name: value` lines, but this came: {_short(found[1]) or 'nothing'}"
    else:
        reason = "; ".join(line.strip(" -:") for line in message.splitlines() if line.strip())
        sentence = f"{re.sub(r'Parser key .config.', '--config', reason)}; see --help"
    raise ValueError(sentence) from error


def _located(message: str, flags: list[str]) -> str:
    """What a class said of a value it got, with the flag that gave it, where that can be told."""
    came = re.search(r"but (\S+) came", message)
    if not came or any(flag.startswith("--") and flag.rpartition(".")[2] in message for flag in flags):
        return message
    for flag, value in pairwise(flags):
        with suppress(ValueError):
            if float(value.lstrip(".")) == float(came[1]):
                return f"{flag}: {message}"
    return message


def _misspelt(message: str, name: str, keys: list[str], parser: ArgumentParser, flags: list[str]) -> str:
    """An unknown name in YAML, or below a flag that is a class."""
    if not keys:
        return _unknown(name, [flag.removeprefix("--") for flag in _known(parser)])
    given = re.search(r"given class_path '([\w.]+)\.(\w+)'", message)
    fields = list(inspect.signature(getattr(importlib.import_module(given[1]), given[2])).parameters) if given else []
    return _unknown(name, fields, f"an argument of {given[2]} in {_flag(keys)}" if given else "")


def _nameless(key: str, parser: ArgumentParser, flags: list[str]) -> str:
    """Arguments of a class that was not named."""
    known = ", ".join(kind.__name__ for kind in _kinds(parser, key))
    flag = next((flag for flag in flags if flag.startswith(f"--{key}.")), f"--{key}.NAME.x")
    name = ".".join(flag.split(".")[:2])
    return f"{flag} came, but no class was named for {name}: put one of {known} behind {name}, or correct the name"


def _mistyped(keys: list[str], types: list[str], value: str, flags: list[str]) -> str:
    """A value of the wrong type, or none of the words that are allowed."""
    choices = [word for kind in types if kind.startswith("typing.Literal") for word in ast.literal_eval(kind[14:])]
    value = _short(value)
    flag = next((flag.partition("=")[0] for flag in flags if flag.partition("=")[0].endswith("." + keys[-1])), None)
    if choices:
        return _unknown(value, choices, f"one of the values of {flag or _flag(keys)}")
    wanted = " or ".join(dict.fromkeys(_in_words(kind) for kind in types))
    return f"{flag or _flag(keys)} must be {wanted}, but {value} came: correct it"


def _unknown(name: str, known: Iterable[str], what: str = "an argument") -> str:
    """A sentence on a name that is not known, with the nearest that is."""
    known = list(known)
    last = {word.rpartition(".")[2].removeprefix("--"): word for word in known}  # `--sed` may mean `--train.seed`
    near = get_close_matches(name, known, 1, 0.7) or [
        last[word] for word in get_close_matches(name.rpartition(".")[2].removeprefix("--"), last, 1, 0.75)
    ]
    few = f"choose from {', '.join(known)}" if known and len(known) <= 24 else "see --help"
    return f"{name} is not {what}: " + (f"did you mean {near[0]}?" if near else few)


def _known(parser: ArgumentParser) -> list[str]:
    """All flags, those of the fields of classes included."""
    flags = [flag for flag in parser._option_string_actions if flag.startswith("--") and not flag.endswith(".help")]
    for action in parser._actions:
        kind = _type_of(action)
        if inspect.isclass(kind) and kind.__module__ not in ("builtins", "pathlib"):
            flags += [f"--{action.dest}.{name}" for name in inspect.signature(kind).parameters]
    return flags


def _kinds(parser: ArgumentParser, key: str) -> list[type]:
    """The classes that a flag takes which were imported: all below the one it is typed with."""
    action = next((action for action in parser._actions if action.dest == key.partition(".")[0]), None)
    kinds = [
        kind for kind in (*get_args(_type_of(action)), _type_of(action)) if inspect.isclass(kind) and kind is not str
    ]
    found = []
    for kind in kinds:
        for below in kind.__subclasses__():
            found += [below]
            kinds.append(below)  # is looked at in its turn
    return sorted({kind.__name__: kind for kind in found if not inspect.isabstract(kind)}.values(), key=str)


def _type_of(action: Any) -> Any:
    return getattr(action, "_typehint", None)


def _flag(keys: list[str]) -> str:
    return "--" + ".".join(keys)


def _in_words(kind: str) -> str:
    name = kind.removeprefix("<class '").removesuffix("'>")
    return _WORDS.get(name, f"a {name.rpartition('.')[2]}" if "[" not in name else "a list as in --help")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "..."
