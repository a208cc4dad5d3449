#!/usr/bin/env bash
# Resolve the dependencies afresh and write both constraints files: run this to move to newer versions, then `make test`.
# torch stays where TORCH says, and is installed first, so that no other package chooses its build.
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH=${TORCH:-2.13.0}
PYTHON=${PYTHON:-python3.11}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pin FILE TITLE ENGINES PIP_ARGUMENTS...: everything that pip brings for these arguments, and hpsearch for the engines that
# it installs itself, each with its exact version.
pin() {
    local file=$1 title=$2 engines=$3
    shift 3
    local pip="$work/$file/bin/python -m pip"
    "$PYTHON" -m venv "$work/$file"
    $pip install --quiet --upgrade pip
    $pip install --quiet "torch==$TORCH"
    $pip install --quiet "$@"
    [ -z "$engines" ] || "$work/$file/bin/hpsearch" install $engines
    {
        echo "# $title"
        echo "# Written by scripts/pin.sh; torch is installed first from here."
        $pip freeze --all --exclude-editable | sed 's/^\(torch==[^+]*\)+.*/\1/'
    } >"$file"
}

pin constraints.txt "The environment of make demo, make test, make lint and make types: transformers 5." \
    "sigopt wandb" \
    -e "core[demo,testing]" -e plugins/optuna -e plugins/ray -e plugins/sigopt -e plugins/wandb --group dev
pin constraints-transformers4.txt "The environment of make test-transformers4: the last transformers 4." "" \
    -e "core[transformers,testing]" -e plugins/optuna --group transformers4
