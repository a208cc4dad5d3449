"""The contract's first part: the class, its options, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields

from hpsearch.errors import OptionError
from hpsearch.plugins.backend import Capabilities
from hpsearch.session.api import SEARCH_ARGUMENTS
from hpsearch.testing.contract.base import Contract
from hpsearch.testing.objectives import Distance

HANDED_ON = ("pruner", "storage")
"""The arguments of ``search`` that are handed on to a backend with an option of that name."""


class FormContract(Contract):
    """The class and its module."""

    def test_the_class_keeps_the_form_of_a_backend(self) -> None:
        """The class keeps the form of a backend.

        Options are a frozen dataclass, max_parallel is None or at least 1, and every declared
        capability that needs a hook has it.
        """
        cls = self.plugin.load()
        declared: Capabilities = cls.capabilities
        self.expect(
            cls.Options.__dataclass_params__.frozen,
            f"{cls.Options.__qualname__} is a dataclass that can be changed; use frozen=True",
        )
        most = declared.max_parallel
        self.expect(most is None or (type(most) is int and most > 0), f"max_parallel is {most!r}")
        needed = {
            "hpsearch_run": declared.owns_loop,
            "hpsearch_suggest": not declared.owns_loop,
            "hpsearch_suggest_parameter": declared.define_by_run,
            "hpsearch_report": declared.pruning and not declared.owns_loop,
        }
        lacking = [hook for hook, need in needed.items() if need and not hasattr(cls, hook)]
        self.expect(not lacking, f"{cls.__qualname__} lacks {', '.join(lacking)}")

    def test_every_option_can_be_reached(self) -> None:
        """No option has the name of one of search()'s own arguments.

        The argument would take the value. Only 'pruner' and 'storage' are handed on, where they
        are of the engine's own kind.
        """
        hidden = [
            field.name
            for field in fields(self.plugin.load().Options)
            if field.name in SEARCH_ARGUMENTS and field.name not in HANDED_ON
        ]
        self.expect(not hidden, f"hidden behind search()'s own arguments: {', '.join(hidden)}")

    def test_options_are_checked_before_the_first_trial(self) -> None:
        """Options are checked before the first trial.

        An unknown option is refused with the names of the known ones, a bad value with the name of
        its option (set bad_options to test some); both as an OptionError.
        """
        known = tuple(field.name for field in fields(self.plugin.load().Options))
        unknown = {"no_such_option": 1}
        self.refused(
            OptionError, Distance(), self.space, naming=("no_such_option", *known), **unknown
        )
        for option, value in self.bad_options.items():
            bad = {option: value}
            self.refused(OptionError, Distance(), self.space, naming=(option,), **bad)

    def test_importing_the_module_imports_no_engine(self) -> None:
        """The engine is imported when a search opens, and not before.

        Listing backends imports none of them. Importing a backend's class imports nothing but the
        standard library, hpsearch and the backend's own package.
        """
        plugin = self.plugin
        module = plugin.target.partition(":")[0]
        argument = json.dumps({"path": sys.path, "name": plugin.name, "module": module})
        answer = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-P", "-c", _IMPORTS, argument],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.expect(answer.returncode == 0, f"a fresh Python failed:\n{answer.stderr}")
        seen = json.loads(answer.stdout)
        own = {"hpsearch", "pluggy", module.partition(".")[0], *self.may_import}
        light = sys.stdlib_module_names | own
        for what in ("listing backends", "importing the class"):
            packages = {name.partition(".")[0] for name in seen[what]}
            heavy = sorted(name for name in packages - light if not name.startswith("__"))
            self.expect(not heavy, f"{what} imported {', '.join(heavy)}")
        self.expect(
            module == "hpsearch" or module not in seen["listing backends"],
            f"listing backends imported {module}",
        )


_IMPORTS = """
import json, sys
given = json.loads(sys.argv[1])
sys.path[:] = given["path"]
before = set(sys.modules)
from hpsearch.plugins import registry
plugin = next(plugin for plugin in registry.installed() if plugin.name == given["name"])
listed = set(sys.modules)
plugin.load()
loaded = set(sys.modules)
seen = {"listing backends": listed - before, "importing the class": loaded - listed}
print(json.dumps({what: sorted(names) for what, names in seen.items()}))
"""
