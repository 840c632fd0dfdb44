#!/usr/bin/env bash
# Backs up everything that cannot be made again, while it runs.
#
#   ./backup.sh [folder]            default: backups, beside this file
#   BACKUP_KEEP=14 ./backup.sh      keeps the newest 14 there and deletes older ones (default 14; 0 keeps all)
#
# Every night at 3, with cron (crontab -e):
#   0 3 * * * /opt/whatsapp-saas/backup.sh /var/backups/whatsapp-saas >>/var/log/whatsapp-saas-backup.log 2>&1
#
# What is in it: the database (our tables and Evolution's), evolution-redis and the instance folders (the encryption keys
# of every linked phone), and .env. Whoever has it can send in the name of every number: keep it like a password, and a
# copy of it on another machine. Restore: ./restore.sh FOLDER
set -euo pipefail
umask 077
started=$PWD
# shellcheck source=deploy/compose.sh
source "$(dirname "${BASH_SOURCE[0]}")/deploy/compose.sh"

root=${1:-$PWD/backups}
case $root in /*) ;; *) root=$started/$root ;; esac
keep=${BACKUP_KEEP:-14}
name=$(date -u +%Y-%m-%dT%H%M%SZ)
draft=$root/.unfinished-$name
mkdir -p "$draft"
trap 'rm -rf "$draft"' EXIT

[ -n "$(containers postgres)" ] || give_up 'PostgreSQL does not run: docker-compose up -d postgres, then try again.'
[ -n "$(containers evolution-redis)" ] || give_up 'evolution-redis does not run: docker-compose up -d evolution-redis, then try again.'

say 'The database …'
compose exec -T postgres pg_dump -U postgres --format=custom --compress=6 evolution </dev/null >"$draft/database.dump"
compose exec -T postgres pg_restore --list <"$draft/database.dump" >/dev/null || give_up 'The dump cannot be read back: is the disk full?'

say 'The keys of the linked phones …'
# Into a file first: on standard output its end would be followed by words.
compose exec -T evolution-redis sh -c 'redis-cli --rdb /tmp/backup.rdb >/dev/null 2>&1 && cat /tmp/backup.rdb; rm -f /tmp/backup.rdb' \
  </dev/null >"$draft/evolution-redis.rdb"
[ "$(head -c 5 "$draft/evolution-redis.rdb")" = REDIS ] || give_up 'evolution-redis gave no snapshot: docker-compose logs evolution-redis'

for service in $(compose config --services | grep '^evolution-api-'); do
  say "The instances of $service …"
  [ -n "$(containers "$service")" ] || give_up "$service does not run: docker-compose up -d $service, then try again."
  # A file may change while it is read (1): it is small, and the next backup has it.
  compose exec -T "$service" tar cf - -C /evolution/instances . </dev/null | gzip >"$draft/$service.tar.gz" ||
    [ "${PIPESTATUS[0]}" -eq 1 ] || give_up "The instances of $service could not be read."
done

cp .env "$draft/env"
(cd "$draft" && sha256sum -- * >SHA256SUMS)
mv "$draft" "$root/$name"
trap - EXIT
say "Done: $root/$name ($(du -sh "$root/$name" | cut -f1))"

if [ "$keep" -gt 0 ]; then
  find "$root" -mindepth 1 -maxdepth 1 -type d -name '20??-??-??T??????Z' | sort -r | tail -n "+$((keep + 1))" | while read -r old; do
    rm -rf "$old"
    say "Deleted the old one $old"
  done
fi
