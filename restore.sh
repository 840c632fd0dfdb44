#!/usr/bin/env bash
# Puts a backup of backup.sh back. What is in the stack now is lost.
#
#   ./restore.sh backups/2026-01-31T030000Z                       asks first
#   ./restore.sh --yes backups/2026-01-31T030000Z                 does not ask
#   ./restore.sh --without-sessions backups/2026-01-31T030000Z    the database only
#
# On a new machine: put the project's folder there, copy the backup's file `env` to .env, then run this.
# Without sessions (the backup has none, or the old machine still runs) every number must be linked again: it is marked
# so, and its user gets phone_number.disconnected with the reason server_lost.
set -euo pipefail
started=$PWD
# shellcheck source=deploy/compose.sh
source "$(dirname "${BASH_SOURCE[0]}")/deploy/compose.sh"

sessions=1 yes='' from=''
for arg in "$@"; do
  case $arg in
  --without-sessions) sessions='' ;;
  --yes) yes=1 ;;
  -*) give_up 'Usage: ./restore.sh [--yes] [--without-sessions] FOLDER' ;;
  *) from=$arg ;;
  esac
done
[ -n "$from" ] || give_up 'Usage: ./restore.sh [--yes] [--without-sessions] FOLDER'
case $from in /*) ;; *) from=$started/$from ;; esac
[ -f "$from/database.dump" ] || give_up "There is no backup in $from: database.dump is missing."
[ -f .env ] || give_up "There is no .env: cp $from/env .env"
if [ -f "$from/SHA256SUMS" ]; then
  (cd "$from" && sha256sum --quiet -c SHA256SUMS) || give_up 'The backup is damaged: a file differs from its check sum. Take another one.'
fi
engines=$(compose config --services | grep '^evolution-api-')
if [ -n "$sessions" ]; then
  for file in evolution-redis.rdb $(printf '%s.tar.gz ' $engines); do
    [ -f "$from/$file" ] || give_up "$file is missing in $from, and with it the keys of linked phones. Restore with --without-sessions: every number must then be linked again."
  done
fi
if [ -f "$from/env" ] && ! diff -q <(grep -E '^(EVOLUTION_API_KEY|JWT_SECRET)=' "$from/env") <(grep -E '^(EVOLUTION_API_KEY|JWT_SECRET)=' .env) >/dev/null; then
  say 'Note: EVOLUTION_API_KEY or JWT_SECRET in .env is not that of the backup. Access tokens end; all else goes on.'
fi

if [ -z "$yes" ]; then
  read -r -p "Everything in the running stack is replaced by $from. Type yes to go on: " answer
  [ "$answer" = yes ] || give_up 'Nothing was changed.'
fi

say 'Stopping what writes …'
# shellcheck disable=SC2086
compose stop nginx saas-api $engines >/dev/null 2>&1 || true
compose up -d postgres redis >/dev/null 2>&1
mapfile -t stores < <(containers postgres)
wait_healthy 120 "${stores[@]}" || give_up 'PostgreSQL does not start: docker-compose logs postgres'

say 'The database …'
in_postgres() { compose exec -T postgres "$@"; }
in_postgres psql -q -U postgres -d postgres -v ON_ERROR_STOP=1 \
  -c 'drop database if exists evolution with (force)' -c 'create database evolution' </dev/null
in_postgres pg_restore -U postgres -d evolution --no-owner --exit-on-error --single-transaction <"$from/database.dump"

# inside SERVICE COMMAND: a container of its own on the service's volumes, with nothing else started.
inside() {
  local service=$1
  shift
  compose run --rm -T --no-deps --entrypoint sh "$service" -c "$1"
}
if [ -n "$sessions" ]; then
  say 'The keys of the linked phones …'
  compose stop evolution-redis >/dev/null 2>&1 || true
  # A snapshot is a valid first part of an append-only file.
  inside evolution-redis 'rm -rf /data/* && mkdir -p /data/appendonlydir && cat >/data/appendonlydir/appendonly.aof.1.base.rdb &&
    echo "file appendonly.aof.1.base.rdb seq 1 type b" >/data/appendonlydir/appendonly.aof.manifest &&
    { chown -R redis /data 2>/dev/null || true; }' <"$from/evolution-redis.rdb"
  for service in $engines; do
    say "The instances of $service …"
    gunzip -c "$from/$service.tar.gz" | inside "$service" 'find /evolution/instances -mindepth 1 -delete && tar xf - -C /evolution/instances'
  done
else
  say 'Marking the numbers that must be linked again …'
  compose run --rm -T --no-deps saas-api sessions-lost </dev/null
fi

say 'Starting everything …'
# The cache may know users and limits of before.
compose exec -T redis redis-cli flushall </dev/null >/dev/null || true
compose up -d
say 'Done. Look at it: docker-compose exec saas-api doctor'
