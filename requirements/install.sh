#!/usr/bin/env bash
# Make or update the environment FOLDER (default .venv) from the lock: requirements/install.sh [FOLDER]
set -euo pipefail
here=$(dirname "$0")
folder=${1:-.venv}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "error: Python 3.11 or newer is needed, $("$python" --version) was found; name another one as PYTHON=..." >&2
    exit 2
}
[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check "$@"; }
torch_needs_cuda() {
    "$folder/bin/python" - <<'END'
import importlib.metadata, sys
sys.exit(not any(name.startswith(("nvidia", "cuda")) for name in importlib.metadata.requires("torch") or []))
END
}

# A CPU-only torch saves several GB; where none is offered, or TORCH=cuda asks for it, the lock's build follows.
if [ "${TORCH:-cpu}" != cuda ]; then
    pip install --quiet --no-deps --require-hashes -r "$here/torch-cpu.txt" 2>/dev/null \
        || echo "No CPU-only build of torch is offered by the configured package index; installing the CUDA build (several GB)." >&2
fi
pip install --quiet --no-deps --require-hashes -r "$here/lock.txt"
if torch_needs_cuda; then
    pip install --quiet --no-deps --require-hashes -r "$here/cuda.txt"
fi
cp "$here/lock.txt" "$folder/lock.txt" # `make` compares it with the lock to see whether the environment is current
