"""The tabs in the order in which they stand on the page: a method's key and what builds its tab."""

from __future__ import annotations

from collections.abc import Callable

from demos import cat, collage, dit4edit, dreamfuse, facediffuser
from models.contract import Spec

TABS: dict[str, Callable[[Spec], None]] = {
    "dreamfuse": dreamfuse.tab,
    "collage": collage.tab,
    "cat": cat.tab,
    "facediffuser": facediffuser.tab,
    "dit4edit": dit4edit.tab,
}
