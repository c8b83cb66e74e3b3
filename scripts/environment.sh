# Sourced by the other scripts: makes or reuses .venv, installs this package with the given extras, and sets $python.
#   source scripts/environment.sh test torch
# PORTABLE_BP_VENV: another folder than .venv. PORTABLE_BP_PYTHON: the Python to make a new environment with.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${PORTABLE_BP_VENV:-.venv}
if [ ! -d "$venv" ]; then
    found=
    for candidate in ${PORTABLE_BP_PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "No Python 3.11 or later found${PORTABLE_BP_PYTHON:+ as $PORTABLE_BP_PYTHON}: install one, or add it to the PATH." >&2
        exit 1
    fi
    echo "Making $venv with $("$found" --version)"
    # A half-made environment must not be reused.
    "$found" -m venv "$venv" || { rm -rf "$venv"; echo "Python's venv module failed: on Debian, apt install python3-venv." >&2; exit 1; }
fi
python=$venv/bin/python
[ -x "$python" ] || python=$venv/Scripts/python.exe

for extra in "$@"; do
    mark="$venv/has-$extra-$(cat pyproject.toml scripts/constraints.txt | cksum | tr ' ' '-')"
    if [ ! -e "$mark" ]; then
        echo "Installing the extra '$extra' (once)"
        "$python" -m pip install --quiet --disable-pip-version-check --constraint scripts/constraints.txt --editable ".[$extra]"
        touch "$mark"
    fi
done

# Print the extra that installs a backend's library.
extra_of() {
    local cuda=cuda13
    if nvidia-smi 2>/dev/null | grep -q 'CUDA Version: 12'; then cuda=cuda12; fi
    case "$1" in
        cupy*) echo "$cuda" ;;
        jax:gpu*) echo "jax-$cuda" ;;
        *) echo "${1%%:*}" ;;
    esac
}
