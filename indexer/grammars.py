"""Tree-sitter grammars: which languages have one, and a parse that cannot run away.

Owns loading (lazy, once) and the table of what each grammar calls a definition. Where a
file is cut is `indexer.borders` and `indexer.chunker`.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Parser, Tree

logger = logging.getLogger(__name__)

# A parse keeps the interpreter's lock (about 0.1 s a megabyte), so that typing would stutter
# while a larger file is read; such files are tables or generated, and lines serve them as well.
_MOST_BYTES = 512 * 1024
# Grammars with generics try every unclosed `<` as a type list: 20,000 of them in 80 KB take
# half a minute (measured with C# and TypeScript), 1,000 take 0.1 s. Code has a handful.
_MOST_UNCLOSED = 1000

_MODULES: dict[str, tuple[str, str]] = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "ruby": ("tree_sitter_ruby", "language"),
    "php": ("tree_sitter_php", "language_php"),
}

# Every language with a grammar.
LANGUAGES = frozenset(_MODULES)

_JAVASCRIPT = """
    function_declaration generator_function_declaration class_declaration method_definition export_statement
"""
_TYPESCRIPT = f"""{_JAVASCRIPT}
    abstract_class_declaration interface_declaration enum_declaration type_alias_declaration module
    internal_module ambient_declaration
"""
_C = "function_definition struct_specifier union_specifier enum_specifier type_definition"
_DEFINITIONS: dict[str, frozenset[str]] = {
    language: frozenset(kinds.split())
    for language, kinds in {
        "python": "function_definition class_definition decorated_definition",
        "javascript": _JAVASCRIPT,
        "typescript": _TYPESCRIPT,
        "tsx": _TYPESCRIPT,
        "go": "function_declaration method_declaration type_declaration",
        "rust": """function_item impl_item struct_item enum_item trait_item mod_item union_item
            macro_definition""",
        "java": """class_declaration interface_declaration enum_declaration record_declaration
            annotation_type_declaration method_declaration constructor_declaration static_initializer""",
        "c": _C,
        "cpp": f"{_C} class_specifier namespace_definition template_declaration concept_definition",
        "csharp": """namespace_declaration class_declaration interface_declaration struct_declaration
            enum_declaration record_declaration method_declaration constructor_declaration
            destructor_declaration operator_declaration property_declaration indexer_declaration""",
        "ruby": "class module method singleton_method singleton_class",
        "php": """function_definition class_declaration interface_declaration trait_declaration
            enum_declaration method_declaration namespace_definition""",
    }.items()
}


@dataclass(frozen=True)
class Grammar:
    """`definitions` holds the node kinds at which a chunk best begins."""

    language: Language
    definitions: frozenset[str]


@cache
def grammar_of(language: str | None) -> Grammar | None:
    """The grammar of `language`, loaded on first use; None where there is none or it does not load."""
    if language not in _MODULES:
        return None
    module, function = _MODULES[language]
    try:
        pointer: object = getattr(importlib.import_module(module), function)()
        return Grammar(Language(pointer), _DEFINITIONS[language])
    except (ImportError, AttributeError, ValueError, OSError) as error:
        logger.warning(
            "No grammar for %s (%s): its files are cut by lines; install %s",
            language,
            error,
            module.replace("_", "-"),
        )
        return None


def parse(grammar: Grammar, text: str) -> Tree | None:
    """The tree of `text`, or None if parsing would hold up everything else. Any thread may call."""
    source = text.encode("utf-8", "replace")
    if len(source) > _MOST_BYTES or _n_unclosed(text) > _MOST_UNCLOSED:
        return None
    return Parser(grammar.language).parse(source)


def _n_unclosed(text: str) -> int:
    """``<`` that are no shifts and no comparisons with ``=``, less the ``>``."""
    return text.count("<") - 2 * text.count("<<") - text.count("<=") - text.count(">")
