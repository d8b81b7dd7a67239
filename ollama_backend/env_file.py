"""Reads a `.env` file with python-dotenv, and reports what cannot be read."""

from io import StringIO
from pathlib import Path

import dotenv
from dotenv.parser import Binding, parse_stream


def read_env_file(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the variables in a file and the problems with it. A file that does not exist has neither."""
    try:
        text = path.read_text("utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError:
        return {}, []
    except IsADirectoryError:
        # Docker creates a directory in place of a file that is to be mounted and does not exist.
        return {}, [".env: it is a directory. Remove it, and create a file in its place if one is needed."]
    except (OSError, UnicodeDecodeError) as exc:
        return {}, [f".env: it cannot be read ({type(exc).__name__}). Make it readable UTF-8 text."]
    bindings = list(parse_stream(StringIO(text)))
    # Lines are not shown, because they may contain keys.
    problems = [
        f".env: line {_line(binding)} cannot be read. Write it as NAME=value, and close all quotes."
        for binding in bindings
        if binding.error
    ]
    # python-dotenv would log a warning for each of the others.
    readable = "".join(binding.original.string for binding in bindings if not binding.error)
    values = dotenv.dotenv_values(stream=StringIO(readable))
    return {name: value or "" for name, value in values.items()}, problems


def _line(binding: Binding) -> int:
    """Return the line at which a binding begins, without the blank lines before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
