# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that can be in another language, and that all that is told to an artist can be."""

from __future__ import annotations

import ast
import copy
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from csm_retopo.api import errors
from csm_retopo.api.texts import Text

ROOT = Path(__file__).resolve().parents[2]
GERMAN = {
    "{} of {}": "{1}: {0}",
    "a session": "eine Sitzung",
    "{}: no space": "{} {} {}",
    "{:.1f} MB": "{:.2f} MB",
    "The service knows no session {}: check the ID": "Der Dienst kennt {} nicht",
    "{}. {} was requested all the same: import it by this ID": "{} Doch {} wurde bestellt",
}


def german(text: str) -> str:
    return GERMAN.get(text, text)


def test_it_is_english_text() -> None:
    text = Text("{} of {}", 1, Text("a session"))
    assert text == "1 of a session" and isinstance(text, str)
    assert json.dumps([text]) == '["1 of a session"]'
    assert type(str(text)) is str


def test_templates_are_translated_and_what_stands_in_them_is_not() -> None:
    assert Text("{} of {}", 1, Text("a session")).in_language(german) == "eine Sitzung: 1"
    assert Text("{} of {}", "a session", 2).in_language(german) == "2: a session"
    assert Text("{:.1f} MB", 2.345).in_language(german) == "2.35 MB"
    assert Text("unknown {}", 1).in_language(german) == "unknown 1"


def test_names_may_hold_braces() -> None:
    text = Text.joined("; ", [Text("{} of {}", "{0}", "{x}"), "{", Text("a session")])
    assert text == "{0} of {x}; {; a session"
    assert text.in_language(german) == "{x}: {0}; {; eine Sitzung"


def test_a_translators_mistake_leaves_it_english() -> None:
    assert Text("{}: no space", "/tmp").in_language(german) == "/tmp: no space"


def test_it_can_be_copied_and_sent_elsewhere() -> None:
    text = Text("{} of {}", "{0}", Text("a session"))
    for each in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert each == text
        assert each.in_language(german) == text.in_language(german)


def test_errors_can_be_translated() -> None:
    error = errors.RequestedOnly("SESSION_1_2", errors.NoSuchSession("SESSION_1_1"))
    assert str(error).startswith("The service knows no session SESSION_1_1: check the ID. ")
    assert isinstance(error.text, Text)
    assert error.text.in_language(german) == (
        "Der Dienst kennt SESSION_1_1 nicht Doch SESSION_1_2 wurde bestellt"
    )


def told_texts(tree: ast.AST) -> Iterator[ast.expr]:
    """What a module gives to what shows or tells it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        tells = name in ("report", "show_message", "poll_message_set", "told", "draw_text")
        if tells or name in vars(errors):
            yield from node.args
        yield from (each.value for each in node.keywords if each.arg in ("text", "title"))


def untranslatable(path: Path) -> Iterator[str]:
    """Texts with words, put together so that nobody can translate them."""
    for text in told_texts(ast.parse(path.read_text(encoding="utf-8"))):
        for part in ast.walk(text):
            if isinstance(part, ast.JoinedStr):
                fixed = [str(each.value) for each in part.values if isinstance(each, ast.Constant)]
                if any(re.search("[A-Za-z]{2}", each) for each in fixed):
                    yield f"{path.name}:{part.lineno}: {fixed}"


@pytest.mark.parametrize("room", ["operators", "ui", "scene"])
def test_what_an_artist_is_told_can_be_translated(room: str) -> None:
    # Of the background Blenders and the pages, nobody reads anything in the interface.
    apart = {"background", "report", "assets"}
    paths = [
        path
        for path in sorted((ROOT / room).rglob("*.py"))
        if not apart & set(path.relative_to(ROOT).parts)
    ]
    assert paths
    assert not [each for path in paths for each in untranslatable(path)]
