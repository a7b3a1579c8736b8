#!/usr/bin/env bash
# Prints the path of a Python that can make virtual environments: python.sh 3.11
set -euo pipefail
version=${1:?"usage: python.sh VERSION"}

# A launcher may stand for a Python that isn't there (pyenv's shims do) and a Debian Python may lack
# venv, so each candidate is run; it prints the path of the interpreter behind launchers and venvs.
usable() {
    [ -n "$1" ] && command -v "$1" >/dev/null && "$1" -I -c "
import sys
if '%d.%d' % sys.version_info[:2] != '$version':
    sys.exit(1)
import ensurepip, venv
print(sys._base_executable)" 2>/dev/null
}

for candidate in "python$version" python3 "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version".*/bin/python; do
    usable "$candidate" && exit
done
if command -v uv >/dev/null; then
    usable "$(uv python find --no-project "$version" 2>/dev/null)" && exit
fi

echo "Python $version with its venv module was not found:" \
    "install python$version and python$version-venv (Debian, Ubuntu), or Python $version by pyenv or uv" >&2
exit 1
