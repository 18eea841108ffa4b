"""House style for the API pages: numpydoc whose types stand in the annotations only.

``name : text`` in our docstrings gives shapes, units and meaning; numpydoc takes what follows the colon for a type.
This Griffe extension puts it on a line of its own, so that the type comes from the annotation.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(Parameters|Attributes)\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", flags=re.DOTALL | re.MULTILINE)


ITEM = re.compile(r"^(\w[\w, ]*?)(?: : (.+))?\n((?:[ \t]+.*\n|\n)*)", flags=re.MULTILINE)


def without_types(text: str) -> str:
    """The docstring with every ``name : text`` of its parameters on two lines, and ``a, b : text`` for each of both."""
    return SECTION.sub(lambda found: f"{found[1]}\n{'-' * len(found[1])}\n{ITEM.sub(_item, found[2] + chr(10))}", text)


def _item(found: re.Match[str]) -> str:
    about = f"    {found[2]}\n{found[3]}" if found[2] else found[3]
    return "".join(f"{name.strip()}\n{about.rstrip()}\n" for name in found[1].split(",")) + "\n"


class HouseStyle(griffe.Extension):
    """Rewrites docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class and function."""
        if obj.docstring is not None and not obj.is_alias:
            obj.docstring.value = without_types(obj.docstring.value)
