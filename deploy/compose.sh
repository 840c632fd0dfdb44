# Read by the scripts beside it and above: the project's folder, and docker-compose in either of its two forms.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

if command -v docker-compose >/dev/null; then
  compose() { docker-compose "$@"; }
else
  compose() { docker compose "$@"; }
fi

say() { echo "$(date +%H:%M:%S) $*"; }
give_up() {
  echo "$*" >&2
  exit 1
}

# The containers of a service that run, one id per line.
containers() { compose ps -q "$1" 2>/dev/null | while read -r id; do docker ps -q --no-trunc --filter "id=$id"; done; }

# wait_healthy SECONDS ID…
wait_healthy() {
  local end=$((SECONDS + $1)) id
  shift
  for id in "$@"; do
    until [ "$(docker inspect -f '{{.State.Health.Status}}' "$id" 2>/dev/null)" = healthy ]; do
      [ "$SECONDS" -lt "$end" ] || return 1
      [ "$(docker inspect -f '{{.State.Status}}' "$id" 2>/dev/null)" != exited ] || return 1
      sleep 1
    done
  done
}
