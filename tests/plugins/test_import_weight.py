"""Listing imports nothing heavy."""

import pytest

HEAVY = ("numpy", "tokenizers", "gguf", "safetensors", "jinja2", "cffi")


@pytest.mark.parametrize("arguments", [["--help"], ["plugins", "--json"], ["components", "--json"]])
def test_command_imports_nothing_heavy(site, arguments):
    process = site.python(
        f"""
        import sys
        from synapse_core.cli.frame import run
        run({arguments!r})
        print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
        """
    )
    assert process.stderr.splitlines()[-1] == "[]"


def test_importing_the_package_imports_nothing_of_it(site):
    process = site.python(
        """
        import sys
        import synapse_core
        print([n for n in sys.modules if n.startswith("synapse_core.") or n in ("click", "attrs")])
        """
    )
    assert process.stdout.strip() == "[]"
