"""Build every wheel and use each one in an empty environment, as after `pip install`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
PROGRAMS = ROOT / "scripts" / "wheel_checks"

# What a user installs, and the program that must then work, with nothing else installed.
CHECKS = (
    (("hpsearch",), "core.py"),
    (("hpsearch-optuna",), "optuna_search.py"),
    (("hpsearch-ray",), "ray_search.py"),
    (("hpsearch-sigopt", "pip"), "sigopt_search.py"),
    (("hpsearch-wandb", "pip"), "wandb_search.py"),
    (("hpsearch[transformers]", "hpsearch-optuna"), "trainer_search.py"),
)


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; one that fails ends the checks."""
    subprocess.run([str(part) for part in command], check=True, cwd=cwd)


def build_wheels(folder: Path) -> dict[str, Path]:
    """Build each package's sdist, and from it the wheel; return the wheels by distribution name."""
    wheels = {}
    for project in (ROOT / "core", *sorted((ROOT / "plugins").glob("*/"))):
        out = folder / project.name
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, project)
        (wheel,) = out.glob("*.whl")
        wheels[wheel.name.partition("-")[0].replace("_", "-")] = wheel
    return wheels


def check_contents(wheel: Path) -> None:
    """A wheel carries its types, its licence and its entry points, and no tests."""
    names = zipfile.ZipFile(wheel).namelist()
    for suffix in ("/py.typed", ".dist-info/licenses/LICENSE", ".dist-info/entry_points.txt"):
        if not any(name.endswith(suffix) for name in names):
            sys.exit(f"{wheel.name} holds no {suffix}")
    if stray := [name for name in names if name.startswith(("src/", "tests/"))]:
        sys.exit(f"{wheel.name} holds what it should not: {stray}")


def install(folder: Path, requirements: tuple[str, ...], constraints: Path) -> Path:
    """Install into a new environment that holds nothing else, not even pip; return its python."""
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    pinned = (*pip, "--constraint", CONSTRAINTS)
    if "hpsearch[transformers]" in requirements:
        run(*pinned, "torch")  # first, so that no other package chooses its build
    run(*pinned, "--constraint", constraints, *requirements)
    return python


def main() -> None:
    """Build the wheels, look into them, and use them."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-wheels-") as name:
        folder = Path(name)
        wheels = build_wheels(folder / "dist")
        for wheel in wheels.values():
            check_contents(wheel)
        ours = folder / "ours.txt"
        ours.write_text("".join(f"{name} @ {path.as_uri()}\n" for name, path in wheels.items()))
        for requirements, program in CHECKS:
            work = folder / Path(program).stem
            work.mkdir()
            python = install(work / "environment", requirements, ours)
            run(python, "-I", PROGRAMS / program, cwd=work)
            print(f"wheels: {' '.join(requirements)}, {program}: ok", flush=True)


if __name__ == "__main__":
    main()
