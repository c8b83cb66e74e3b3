# Sourced by the other scripts: makes .venv with this package and the extras named, or reuses it; sets $python.
#   source scripts/environment.sh test torch
# PORTABLE_BP_VENV names another folder than .venv, PORTABLE_BP_PYTHON the Python that a new one is made with.

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
        echo "No Python 3.11 or later was found${PORTABLE_BP_PYTHON:+ as $PORTABLE_BP_PYTHON}: install one, or put it on the PATH." >&2
        exit 1
    fi
    echo "Making $venv with $("$found" --version)"
    # A half-made environment would be reused for ever.
    "$found" -m venv "$venv" || { rm -rf "$venv"; echo "Python's venv module failed: on Debian, apt install python3-venv." >&2; exit 1; }
fi
python=$venv/bin/python
[ -x "$python" ] || python=$venv/Scripts/python.exe

for extra in "$@"; do
    mark="$venv/has-$extra-$(cat pyproject.toml scripts/constraints.txt | cksum | tr ' ' '-')"
    if [ ! -e "$mark" ]; then
        echo "Installing what '$extra' needs (once)"
        "$python" -m pip install --quiet --disable-pip-version-check --constraint scripts/constraints.txt --editable ".[$extra]"
        touch "$mark"
    fi
done

# Prints the extra that brings a backend's library.
extra_of() {
    local cuda=cuda13
    if nvidia-smi 2>/dev/null | grep -q 'CUDA Version: 12'; then cuda=cuda12; fi
    case "$1" in
        cupy*) echo "$cuda" ;;
        jax:gpu*) echo "jax-$cuda" ;;
        *) echo "${1%%:*}" ;;
    esac
}
