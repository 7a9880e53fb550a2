"""The house style's countable parts hold, and the counter itself can fail."""

import sizes


def test_packages_keep_the_sizes() -> None:
    assert sizes.breaches() == []


def test_a_long_file_and_a_missing_docstring_are_found() -> None:
    found = list(sizes.breaches_of("x = 1\n" * 351, "long.py"))
    assert any("351 lines" in line for line in found)
    assert any("without a docstring" in line for line in found)


def test_a_long_function_is_found() -> None:
    source = '"""Doc."""\ndef long():\n' + "    x = 1\n" * 60
    assert any("long: 61 lines" in line for line in sizes.breaches_of(source, "f.py"))


def test_short_functions_are_counted() -> None:
    short, long = "def a():\n    pass\n", "def b():\n" + "    x = 1\n" * 40
    assert sizes.share_of_short_functions([short, long]) == 0.5
