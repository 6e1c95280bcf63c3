# Sourced by the other scripts: makes .venv and keeps it up to date. Needs only Python >= 3.11.
#
#   ensure_venv [EXTRA…]   the project and these extras, installed editable, in .venv

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
    if [ -n "$candidate" ] && "$candidate" -c \
      'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "trio_jobs needs Python 3.11 or newer; set PYTHON to one" >&2
  return 1
}

# install VENV REQUIREMENT…: uv where there is one, pip otherwise.
install() {
  local venv=$1
  shift
  if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python "$venv/bin/python" "$@"
  else
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  fi
}

ensure_venv() {
  local extras stamp python
  extras=$(IFS=,; echo "$*")
  stamp=".venv/installed-${extras:-none}"
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    echo "Setting up .venv with $python …" >&2
    if command -v uv >/dev/null 2>&1; then
      uv venv --quiet --python "$python" .venv
    else
      "$python" -m venv .venv || { rm -rf .venv; return 1; }
    fi
  fi
  if [ ! "$stamp" -nt pyproject.toml ]; then
    echo "Installing trio_jobs${extras:+ with $extras} …" >&2
    install .venv --editable ".${extras:+[$extras]}"
    touch "$stamp"
  fi
}
