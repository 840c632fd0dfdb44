#!/usr/bin/env bash
# Replaces every saas-api by a new one, with today's image and today's .env, and fails no request meanwhile.
#
#   deploy/rolling-restart.sh            the same image, new settings
#   deploy/rolling-restart.sh --build    builds the image first: an upgrade
#   deploy/rolling-restart.sh --pull     fetches the image first (SAAS_API_IMAGE): an upgrade
#
# A substitute starts beside them. When it is healthy, Nginx sends everybody to it; the old ones finish what they have,
# and compose replaces them. Then everybody goes to the new ones, and the substitute finishes and goes. It needs the
# memory of one replica more for a minute.
set -euo pipefail
# shellcheck source=compose.sh
source "$(dirname "${BASH_SOURCE[0]}")/compose.sh"

case ${1:-} in
--build) compose build saas-api ;;
--pull) compose pull saas-api ;;
'') ;;
*) give_up 'Usage: deploy/rolling-restart.sh [--build|--pull]' ;;
esac

count=$(containers saas-api | wc -l)
nginx=$(containers nginx | head -n 1)
[ "$count" -gt 0 ] || give_up 'No saas-api runs here. Start everything with: docker-compose up -d'
[ -n "$nginx" ] || give_up 'Nginx does not run. Start it with: docker-compose up -d nginx'
project=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.project"}}' "$nginx")
handover=${project}_handover
substitute=${project}_substitute

# Whatever happens, nobody is sent to a substitute that is gone.
clean_up() {
  docker exec "$nginx" rm -f /run/saas-api-new || true
  sleep 3 # who had asked for its address has used it by now
  docker stop -t 30 "$substitute" >/dev/null 2>&1 || true
  docker rm -f "$substitute" >/dev/null 2>&1 || true
  docker network disconnect "$handover" "$nginx" >/dev/null 2>&1 || true
  docker network rm "$handover" >/dev/null 2>&1 || true
}

say "Starting a substitute beside the $count that run."
clean_up
trap clean_up EXIT
compose run -d --no-deps --use-aliases --name "$substitute" saas-api >/dev/null
# Under its usual name it must not be found, or it would be asked until the moment it stops. It has another one.
docker network disconnect "${project}_front" "$substitute"
docker network create "$handover" >/dev/null
docker network connect "$handover" "$nginx"
docker network connect --alias saas-api-new "$handover" "$substitute"
if ! wait_healthy 120 "$substitute"; then
  docker logs --tail 20 "$substitute" >&2
  give_up 'The substitute did not become healthy, so nothing was replaced. Its last words are above.'
fi

say 'Sending everybody to the substitute.'
docker exec "$nginx" touch /run/saas-api-new
sleep 3 # who had asked for an old one's address has used it by now

say "Replacing the $count."
compose up -d --no-deps --no-build --force-recreate --scale "saas-api=$count" saas-api >/dev/null 2>&1 ||
  give_up 'They could not be replaced: docker-compose logs saas-api'
mapfile -t new < <(containers saas-api)
wait_healthy 120 "${new[@]}" || give_up 'Not all became healthy: docker-compose logs saas-api'

say 'Sending everybody to the new ones.'
clean_up
trap - EXIT
say "Done: $count replaced."
