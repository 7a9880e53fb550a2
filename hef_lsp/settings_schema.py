"""The settings as VS Code's manifest declares them, made from the settings themselves.

``python -m hef_lsp.settings_schema FILE`` writes them into a `package.json`; a test keeps the two equal.
The manifest's first section, the extension's own settings, is left as it is.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

from hef_lsp.settings import Settings
from hef_lsp.settings_reference import camel_case

MACHINES_OWN = frozenset({"model"})
"""Sections that say what this machine can do; a shared workspace may still say otherwise."""


def settings_sections() -> list[dict[str, Any]]:
    """One section for each group of settings, in the order of `Settings`."""
    return [
        {"title": name.capitalize(), "properties": _properties(name, kind)}
        for name, kind in get_type_hints(Settings).items()
    ]


def with_settings(manifest: str) -> str:
    """The text of a `package.json` with its settings brought up to date."""
    content = json.loads(manifest)
    sections = content["contributes"]["configuration"]
    content["contributes"]["configuration"] = [sections[0], *settings_sections()]
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _properties(section: str, kind: type) -> dict[str, dict[str, Any]]:
    hints = get_type_hints(kind)
    scope = "machine-overridable" if section in MACHINES_OWN else "window"
    return {
        f"hef.{section}.{camel_case(field.name)}": {
            **_typed(hints[field.name], field),
            "scope": scope,
            "order": order,
            "markdownDescription": field.metadata["help"],
        }
        for order, field in enumerate(dataclasses.fields(kind), 1)
    }


def _typed(hint: Any, field: dataclasses.Field[Any]) -> dict[str, Any]:
    default: Any = field.default
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return {"type": "string", "enum": [str(member) for member in hint], "default": str(default)}
    if hint is bool:
        return {"type": "boolean", "default": default}
    if hint is int:
        limits = {"minimum": field.metadata["low"], "maximum": field.metadata["high"]}
        return {"type": "integer", **limits, "default": default}
    if hint is str:
        return {"type": "string", "default": default}
    return {"type": "array", "items": {"type": "string"}, "default": list(default)}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_settings(path.read_text(encoding="utf-8")), encoding="utf-8")
