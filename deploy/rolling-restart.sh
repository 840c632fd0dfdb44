#!/usr/bin/env bash
# Replaces every saas-api by a new one, with today's image and today's .env, and fails no request meanwhile.
#
#   deploy/rolling-restart.sh            the same image, new settings
#   deploy/rolling-restart.sh --build    builds the image first: an upgrade
#   deploy/rolling-restart.sh --pull     fetches the image first (SAAS_API_IMAGE): an upgrade
#
# One more replica starts beside the old ones. When it is healthy, Nginx sends everybody to it, the old ones finish what
# they have and stop, and the missing ones are started. It needs the memory of one replica more for a minute.
set -euo pipefail
# shellcheck source=compose.sh
source "$(dirname "${BASH_SOURCE[0]}")/compose.sh"

case ${1:-} in
--build) compose build saas-api ;;
--pull) compose pull saas-api ;;
'') ;;
*) give_up 'Usage: deploy/rolling-restart.sh [--build|--pull]' ;;
esac

mapfile -t old < <(containers saas-api)
count=${#old[@]}
nginx=$(containers nginx | head -n 1)
[ "$count" -gt 0 ] || give_up 'No saas-api runs here. Start everything with: docker-compose up -d'
[ -n "$nginx" ] || give_up 'Nginx does not run. Start it with: docker-compose up -d nginx'

scale_to() { compose up -d --no-deps --no-recreate --scale "saas-api=$1" saas-api >/dev/null 2>&1; }
added() { containers saas-api | grep -vxF "$(printf '%s\n' "${old[@]}")" || true; }

say "Starting one beside the $count that run."
scale_to $((count + 1)) || give_up 'The new one could not be started: docker-compose logs saas-api'
mapfile -t new < <(added)
[ ${#new[@]} -gt 0 ] || give_up 'No new container came up: docker-compose ps'
if ! wait_healthy 120 "${new[@]}"; then
  docker logs --tail 20 "${new[0]}" >&2 || true
  docker rm -f "${new[@]}" >/dev/null
  give_up 'The new one did not become healthy and was removed; the old ones serve as before. Its last words are above.'
fi

# A network of its own gives the new one a name that no old one has.
handover=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.project"}}' "$nginx")_handover
docker network inspect "$handover" >/dev/null 2>&1 || docker network create "$handover" >/dev/null
for left in $(docker network inspect -f '{{range $id, $_ := .Containers}}{{$id}} {{end}}' "$handover"); do
  docker network disconnect -f "$handover" "$left" || true
done
docker network connect "$handover" "$nginx"
for id in "${new[@]}"; do docker network connect --alias saas-api-new "$handover" "$id"; done

say 'Sending everybody to the new one.'
trap 'docker exec "$nginx" rm -f /run/saas-api-new' EXIT
docker exec "$nginx" touch /run/saas-api-new
sleep 3 # who had asked for an old one's address has used it by now

say "Stopping the $count old."
docker stop -t 30 "${old[@]}" >/dev/null
docker rm "${old[@]}" >/dev/null

if [ "$count" -gt 1 ]; then
  say "Starting the other $((count - 1))."
  scale_to "$count" || give_up 'The others could not be started: docker-compose logs saas-api'
  mapfile -t new < <(containers saas-api)
  wait_healthy 120 "${new[@]}" || give_up 'Not all became healthy: docker-compose logs saas-api'
fi
docker exec "$nginx" rm -f /run/saas-api-new
trap - EXIT
say "Done: $count of $count replaced."
