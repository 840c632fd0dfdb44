#!/usr/bin/env bash
# Walks through every call of the README, in its order, against a running server, and checks each answer.
#
#   ./test-api.sh [base-url]         default: http://localhost, then http://localhost:3000
#
# Needs bash, curl, and node or jq. What it makes it deletes again, except the user it registers (no call does that).
# Settings, all optional:
#   API_KEY=wsk_…         use this user instead of registering one
#   RECIPIENT=628…        whom to write to; default: the sandbox's echo, or on a real engine the number itself
#   MEDIA_BASE_URL=http…  where the server finds image.png, video.mp4, audio.mp3 and document.pdf
#   CURL_CA_BUNDLE=…      trust this certificate, such as nginx/ssl/fullchain.pem that you signed yourself
#   SCAN_SECONDS=30       how long to wait for the QR code to be scanned
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TMP=$(mktemp -d)
API_KEY=${API_KEY:-}
SCAN_SECONDS=${SCAN_SECONDS:-30}
PHONE_ID='' RECEIVER_PID='' SKIPPED=0 PASSED=0 STATUS='' AUTH=''

# ---- talking to the server ----------------------------------------------------------------------------------------

# call METHOD PATH [JSON]: sets STATUS, and leaves the body in $TMP/body and the headers in $TMP/headers.
call() {
  local args=(-sS -m 100 -X "$1" -o "$TMP/body" -D "$TMP/headers" -w '%{http_code}')
  if [ -n "$AUTH" ]; then args+=(-H "$AUTH"); fi
  : >"$TMP/body"
  if [ $# -gt 2 ]; then
    STATUS=$(printf '%s' "$3" | curl "${args[@]}" -H 'content-type: application/json' --data-binary @- "$BASE$2")
  else
    STATUS=$(curl "${args[@]}" "$BASE$2")
  fi
}

# json a.b.0.c: that member of the last body, empty when it is missing or null.
if command -v jq >/dev/null; then
  json() {
    jq -r --arg path "$1" 'getpath($path | split(".") | map(tonumber? // .))
      | if . == null then "" elif type == "object" or type == "array" then tojson else . end' "$TMP/body" 2>/dev/null
  }
elif command -v node >/dev/null; then
  json() {
    node -e 'let at = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"))
      for (const name of process.argv[2].split(".")) at = at == null ? at : at[name]
      console.log(at == null ? "" : typeof at === "object" ? JSON.stringify(at) : String(at))' "$TMP/body" "$1" 2>/dev/null
  }
else
  echo 'test-api.sh needs node or jq to read JSON. Install one of them and try again.' >&2
  exit 2
fi

# ---- saying what happened -----------------------------------------------------------------------------------------

pass() { PASSED=$((PASSED + 1)); echo "  ok    $*"; }
skip() { SKIPPED=$((SKIPPED + 1)); echo "  skip  $*"; }
note() { echo "        $*"; }
fail() {
  echo "  FAIL  $*" >&2
  echo "        the answer was $STATUS: $(head -c 600 "$TMP/body" 2>/dev/null)" >&2
  exit 1
}

# expect "STATUS…" WHAT: the last call answered with one of these.
expect() {
  case " $1 " in *" $STATUS "*) ;; *) fail "$2: expected status $1" ;; esac
}
# equal PATH VALUE WHAT
equal() { [ "$(json "$1")" = "$2" ] || fail "$3: expected $1 to be $2, got '$(json "$1")'"; }
# present PATH WHAT
present() { [ -n "$(json "$1")" ] || fail "$2: $1 is missing"; }
# at_least PATH N WHAT
at_least() { [ "$(json "$1")" -ge "$2" ] 2>/dev/null || fail "$3: expected $1 to be $2 or more, got '$(json "$1")'"; }

cleanup() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "$PHONE_ID" ]; then
    AUTH="x-api-key: $API_KEY"
    call DELETE "/api/phone-numbers/$PHONE_ID"
    echo "Deleted phone number $PHONE_ID (status $STATUS)."
  fi
  if [ -n "$RECEIVER_PID" ]; then kill "$RECEIVER_PID" 2>/dev/null; fi
  rm -rf "$TMP"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- a webhook receiver of our own, where one can be reached ------------------------------------------------------

# Keeps each request as $TMP/hook-<n>.json: { headers, body }, body as the exact text.
start_receiver() {
  node -e '
    const { createServer } = require("http"), { renameSync, writeFileSync } = require("fs"), dir = process.argv[1]
    let n = 0
    const server = createServer((req, res) => {
      const chunks = []
      req.on("data", (chunk) => chunks.push(chunk)).on("end", () => {
        const draft = dir + "/draft"
        writeFileSync(draft, JSON.stringify({ headers: req.headers, body: Buffer.concat(chunks).toString() }))
        renameSync(draft, dir + "/hook-" + ++n + ".json")
        res.end("ok")
      })
    }).listen(0, "127.0.0.1", () => {
      writeFileSync(dir + "/port", String(server.address().port))
    })' "$TMP" &
  RECEIVER_PID=$!
  disown "$RECEIVER_PID"
  local tries=0
  until [ -s "$TMP/port" ]; do
    tries=$((tries + 1))
    [ "$tries" -le 50 ] || return 1
    sleep 0.1
  done
}

# verify TYPE TEXT: 0 when such an event has come (its body holds TEXT) and its signature is right, 1 when none has
# come, 2 when the signature is wrong. The signature is checked by hand, as docs/webhooks.md explains it.
verify() {
  node -e '
    const { createHmac } = require("crypto"), { readdirSync, readFileSync } = require("fs")
    const [dir, secret, type, text] = process.argv.slice(1)
    const hooks = readdirSync(dir).filter((name) => name.startsWith("hook-"))
    for (const { headers, body } of hooks.map((name) => JSON.parse(readFileSync(dir + "/" + name, "utf8")))) {
      if (JSON.parse(body).type !== type || !body.includes(text)) continue
      const key = Buffer.from(secret.replace("whsec_", ""), "base64")
      const signed = headers["webhook-id"] + "." + headers["webhook-timestamp"] + "." + body
      const wanted = "v1," + createHmac("sha256", key).update(signed).digest("base64")
      process.exit(headers["webhook-signature"].split(" ").includes(wanted) ? 0 : 2)
    }
    process.exit(1)' "$TMP" "$WEBHOOK_SECRET" "$1" "$2"
}

await_webhook() {
  local tries=0 result=1
  while [ "$tries" -lt 75 ]; do
    verify "$1" "$2"
    result=$?
    [ "$result" -eq 1 ] || break
    tries=$((tries + 1))
    sleep 0.2
  done
  case $result in
  0) pass "webhook: $1 came, and its signature is right" ;;
  2) fail "webhook: the signature of $1 is wrong" ;;
  *) fail "webhook: $1 did not come within 15 s" ;;
  esac
}

# ---- showing a QR code in the terminal ----------------------------------------------------------------------------

show_qr() {
  json phone_number.qr_code | sed 's/^data:image\/png;base64,//' | base64 -d >"$TMP/qr.png"
  note 'Scan this QR code with WhatsApp > Linked devices:'
  if command -v node >/dev/null && draw_qr "$TMP/qr.png"; then return; fi
  note "$TMP/qr.png (open it; it is deleted at the end)"
}

# Reads the PNG, finds the size of one module from the finder pattern in its corner, and prints two rows per line.
draw_qr() {
  node -e '
    const zlib = require("zlib"), file = require("fs").readFileSync(process.argv[1])
    const data = []
    let at = 8, width = 0, height = 0, depth = 0, colour = 0, palette, alpha
    while (at < file.length) {
      const size = file.readUInt32BE(at), type = file.toString("latin1", at + 4, at + 8)
      const body = file.subarray(at + 8, at + 8 + size)
      if (type === "IHDR") [width, height, depth, colour] = [body.readUInt32BE(0), body.readUInt32BE(4), body[8], body[9]]
      if (type === "PLTE") palette = body
      if (type === "IDAT") data.push(body)
      at += 12 + size
    }
    const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colour], bits = channels * depth
    const step = Math.max(1, bits >> 3), stride = Math.ceil((width * bits) / 8)
    const raw = zlib.inflateSync(Buffer.concat(data)), rows = []
    const paeth = (a, b, c) => {
      const p = a + b - c, [x, y, z] = [a, b, c].map((v) => Math.abs(p - v))
      return x <= y && x <= z ? a : y <= z ? b : c
    }
    for (let y = 0; y < height; y++) {
      const filter = raw[y * (stride + 1)], row = Buffer.from(raw.subarray(y * (stride + 1) + 1, (y + 1) * (stride + 1)))
      for (let i = 0; i < stride; i++) {
        const a = i >= step ? row[i - step] : 0, b = y ? rows[y - 1][i] : 0, c = y && i >= step ? rows[y - 1][i - step] : 0
        row[i] += [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter]
      }
      rows.push(row)
    }
    const dark = (x, y) => {
      if (depth < 8) {
        const value = (rows[y][(x * depth) >> 3] >> (8 - depth - ((x * depth) & 7))) & ((1 << depth) - 1)
        return colour === 3 ? palette[value * 3] < 128 : value < 1 << (depth - 1)
      }
      const value = rows[y][x * step]
      return (colour === 3 ? palette[value * 3] : value) < 128
    }
    let left = 0, top = 0
    while (top < height && ![...Array(width).keys()].some((x) => dark(x, top))) top++
    while (!dark(left, top)) left++
    let run = 0
    while (dark(left + run, top)) run++
    const unit = run / 7, count = Math.round((width - 2 * left) / unit)
    const module = (x, y) => x >= 0 && y >= 0 && x < count && y < count &&
      dark(Math.floor(left + (x + 0.5) * unit), Math.floor(top + (y + 0.5) * unit))
    for (let y = -2; y < count + 2; y += 2) {
      let line = ""
      for (let x = -2; x < count + 2; x++) line += [" ", "▄", "▀", "█"][2 * module(x, y) + module(x, y + 1)]
      console.log("        \x1b[30;107m" + line + "\x1b[0m")
    }' "$1" 2>/dev/null
}

# ---- where ---------------------------------------------------------------------------------------------------------

find_base() {
  local candidate
  for candidate in http://localhost http://localhost:3000; do
    if curl -s -m 5 "$candidate/health" | grep -q '"status"'; then
      BASE=$candidate
      return
    fi
  done
  echo 'No server answers at http://localhost or http://localhost:3000. Start one (npm start), or give its address:' >&2
  echo '  ./test-api.sh http://localhost:3001' >&2
  exit 1
}

BASE=${1:-}
BASE=${BASE%/}
BASE=${BASE%/api}
if [ -z "$BASE" ]; then find_base; fi
# With HTTPS on, Nginx moves everybody there.
MOVED=$(curl -s -m 10 -o /dev/null -w '%{redirect_url}' "$BASE/livez")
case $MOVED in
*/livez) echo "$BASE moves to ${MOVED%/livez}." && BASE=${MOVED%/livez} ;;
esac
case $BASE in
http://localhost | http://localhost:* | http://127.* | http://\[::1\]*) LOOPBACK=1 ;;
*) LOOPBACK='' ;;
esac
SANDBOX=''
if [ "$(curl -s -m 10 -o /dev/null -w '%{http_code}' "$BASE/samples/image.png")" = 200 ]; then SANDBOX=1; fi
echo "Testing $BASE ($([ -n "$SANDBOX" ] && echo 'sandbox engine: nothing leaves that machine' || echo 'real engine'))"

# ---- the calls, in the order of the README -------------------------------------------------------------------------

call GET /health
expect 200 'health'
equal status ok 'health'
pass 'GET /health'

FRESH=''
if [ -z "$API_KEY" ]; then
  FRESH=1
  EMAIL="test-api-$(date +%s)-$RANDOM@example.com"
  call POST /api/auth/register \
    "{\"email\":\"$EMAIL\",\"password\":\"SecurePass123!\",\"full_name\":\"John Doe\",\"company_name\":\"Acme Corp\",\"plan_type\":\"starter\"}"
  [ "$(json error.code)" != forbidden ] || fail 'register: registration is closed here; run with API_KEY=wsk_…'
  expect 201 'register'
  equal user.plan_type starter 'register'
  present user.max_phone_numbers 'register'
  API_KEY=$(json user.api_key)
  case $API_KEY in wsk_*) ;; *) fail 'register: user.api_key does not begin with wsk_' ;; esac
  pass " 1. register: user $(json user.id)"

  call POST /api/auth/login "{\"email\":\"$EMAIL\",\"password\":\"SecurePass123!\"}"
  expect 200 'login'
  equal user.email "$EMAIL" 'login'
  ACCESS_TOKEN=$(json access_token)
  [ -n "$ACCESS_TOKEN" ] || fail 'login: access_token is missing'
  pass ' 2. log in'
else
  skip ' 1. register: API_KEY is set'
  skip ' 2. log in: API_KEY is set'
fi

AUTH="x-api-key: $API_KEY"
call GET /api/user/profile
expect 200 'profile'
present user.email 'profile'
present user.max_messages_per_day 'profile'
pass " 3. profile: plan $(json user.plan_type)"

if [ -n "$FRESH" ]; then
  OLD_KEY=$API_KEY
  AUTH="authorization: Bearer $ACCESS_TOKEN"
  call POST /api/user/api-key/rotate
  expect 200 'rotate'
  present api_key 'rotate'
  API_KEY=$(json api_key)
  AUTH="x-api-key: $API_KEY"
  call GET /api/user/profile
  expect 200 'rotate: the new key'
  AUTH="x-api-key: $OLD_KEY"
  for _ in $(seq 1 35); do # another replica without Redis may believe the old key for 30 s
    call GET /api/user/profile
    if [ "$STATUS" = 401 ]; then break; fi
    sleep 1
  done
  expect 401 'rotate: the old key'
  pass '    rotate the API key: the new one works, the old one does not'
  AUTH="x-api-key: $API_KEY"
else
  skip '    rotate the API key: yours stays as it is'
fi

WEBHOOK_URL='' WEBHOOK_SECRET='' NO_WEBHOOK=''
if [ -z "$LOOPBACK" ]; then
  NO_WEBHOOK='the server is not on this machine, so it cannot call a receiver here'
elif ! command -v node >/dev/null; then
  NO_WEBHOOK='the receiver needs node'
elif start_receiver; then
  WEBHOOK_URL="http://127.0.0.1:$(cat "$TMP/port")/webhook"
else
  NO_WEBHOOK='the receiver did not start'
fi

NAME="test-api $(date +%H:%M:%S)"
if [ -n "$WEBHOOK_URL" ]; then
  call POST /api/phone-numbers/create "{\"display_name\":\"$NAME\",\"webhook_url\":\"$WEBHOOK_URL\"}"
  if [ "$STATUS" = 400 ] && grep -q WEBHOOK_PRIVATE_TARGETS "$TMP/body"; then
    NO_WEBHOOK='this server calls no receivers on its own machine (WEBHOOK_PRIVATE_TARGETS)'
    WEBHOOK_URL=''
  fi
fi
if [ -z "$WEBHOOK_URL" ]; then call POST /api/phone-numbers/create "{\"display_name\":\"$NAME\"}"; fi
[ "$(json error.code)" != plan_limit_reached ] || fail 'create: delete a phone number first, or use another user'
expect 201 'create'
PHONE_ID=$(json phone_number.id)
TOKEN=$(json phone_number.token)
WEBHOOK_SECRET=$(json phone_number.webhook_secret)
equal phone_number.display_name "$NAME" 'create'
present phone_number.instance_name 'create'
[ -n "$TOKEN" ] || fail 'create: token is missing'
if [ -n "$WEBHOOK_URL" ]; then present phone_number.webhook_secret 'create'; fi
pass " 4. create a phone number: id $PHONE_ID, $(json phone_number.status)"

call GET "/api/phone-numbers/$PHONE_ID/qr?wait=20"
expect 200 'QR code'
equal phone_number.id "$PHONE_ID" 'QR code'
if [ "$(json phone_number.status)" != connected ]; then
  case $(json phone_number.qr_code) in data:image/png\;base64,*) ;; *) fail 'QR code: qr_code is not a PNG data URL' ;; esac
fi
pass " 5. QR code: expires $(json phone_number.qr_expires_at)"
if [ -z "$SANDBOX" ]; then show_qr; fi

call GET /api/phone-numbers
expect 200 'list'
grep -q "\"id\":$PHONE_ID," "$TMP/body" || fail "list: phone number $PHONE_ID is missing"
pass ' 6. list the phone numbers'

CONNECTED=''
for _ in $(seq 1 "$SCAN_SECONDS"); do
  call GET "/api/phone-numbers/$PHONE_ID/status"
  expect 200 'status'
  if [ "$(json phone_number.status)" = connected ]; then
    CONNECTED=1
    break
  fi
  sleep 1
done
pass " 7. status: $(json phone_number.status)"
OWN_NUMBER=$(json phone_number.phone_number)
if [ -n "$SANDBOX" ] && [ -z "$CONNECTED" ]; then fail "status: not connected after $SCAN_SECONDS s"; fi

if [ -z "$CONNECTED" ]; then
  skip " 9. send a text: nobody scanned the QR code within $SCAN_SECONDS s (SCAN_SECONDS=120 waits longer)"
  skip '10. send media: the same'
  skip '    webhook: the same'
  RECIPIENT=''
elif [ -n "$SANDBOX" ]; then
  RECIPIENT=${RECIPIENT:-628000000001}
else
  RECIPIENT=${RECIPIENT:-$OWN_NUMBER}
fi

# sent WHAT: the last send was accepted; a server with much to do may answer 202, and the message goes out later.
SENT=0
sent() {
  expect '200 202' "$1"
  present message.id "$1"
  present message.recipient "$1"
  grep -qi '^x-quota-remaining:' "$TMP/headers" || fail "$1: the header X-Quota-Remaining is missing"
  if [ "$STATUS" = 200 ]; then
    present message.whatsapp_id "$1"
    SENT=$((SENT + 1))
  fi
}

if [ -n "$RECIPIENT" ]; then
  TEXT="Hello from test-api.sh $RANDOM$RANDOM"
  call POST /api/messages/send-text "{\"token\":\"$TOKEN\",\"number\":\"$RECIPIENT\",\"text\":\"$TEXT\"}"
  sent 'send-text'
  pass " 9. send a text: $(json message.status)"

  if [ -n "$SANDBOX" ]; then
    MEDIA_BASE=$BASE/samples
  else
    MEDIA_BASE=${MEDIA_BASE_URL:-}
    MEDIA_BASE=${MEDIA_BASE%/}
  fi
  for kind in image:image.png video:video.mp4 audio:audio.mp3 document:document.pdf; do
    file=${kind#*:} kind=${kind%%:*} how=$MEDIA_BASE
    common="\"token\":\"$TOKEN\",\"number\":\"$RECIPIENT\",\"mediaType\":\"$kind\",\"caption\":\"Check this out!\""
    if [ -n "$MEDIA_BASE" ]; then
      call POST /api/messages/send-media "{$common,\"mediaUrl\":\"$MEDIA_BASE/$file\"}"
      # The server may know itself by another address than we do.
      if [ "$STATUS" = 400 ] && grep -q MEDIA_PRIVATE_TARGETS "$TMP/body"; then MEDIA_BASE=''; fi
    fi
    if [ -z "$MEDIA_BASE" ]; then
      how=base64
      if [ -f "$HERE/samples/$file" ]; then
        bytes=$(base64 <"$HERE/samples/$file" | tr -d '\n')
      elif [ "$kind" = document ]; then
        bytes=$(printf 'A small document.' | base64) file=document.txt
      else
        skip "10. send media, $kind: no sample at hand; set MEDIA_BASE_URL"
        continue
      fi
      call POST /api/messages/send-media "{$common,\"fileName\":\"$file\",\"base64\":\"$bytes\"}"
    fi
    sent "send-media, $kind"
    equal message.type "$kind" "send-media, $kind"
    pass "10. send media, $kind from $how: $(json message.status)"
  done

  if [ -z "$WEBHOOK_URL" ]; then
    skip "    webhook: $NO_WEBHOOK"
  else
    await_webhook phone_number.connected ''
    if [ -n "$SANDBOX" ] && [ "$RECIPIENT" = 628000000001 ]; then await_webhook message.received "Echo: $TEXT"; fi
  fi
fi

TODAY=$(date -u +%Y-%m-%d)
call GET '/api/statistics?start_date=2024-01-01&end_date=2024-01-31'
expect 200 'statistics'
equal statistics.start_date 2024-01-01 'statistics'
equal statistics.end_date 2024-01-31 'statistics'
call GET "/api/statistics?start_date=${TODAY%-*}-01"
if [ "$STATUS" = 400 ]; then call GET /api/statistics; fi # the user's day may be a day, and so a month, behind UTC
expect 200 'statistics'
at_least statistics.totals.messages_sent "$SENT" 'statistics'
pass "11. statistics: $(json statistics.totals.messages_sent) sent, $(json statistics.totals.messages_received) received"

call GET /api/dashboard
expect 200 'dashboard'
present dashboard.plan.plan_type 'dashboard'
at_least dashboard.usage_today.used "$SENT" 'dashboard'
at_least dashboard.phone_numbers.total 1 'dashboard'
pass "12. dashboard: $(json dashboard.usage_today.used) of $(json dashboard.usage_today.limit) messages used today"

call DELETE "/api/phone-numbers/$PHONE_ID"
expect 200 'delete'
DELETED=$PHONE_ID PHONE_ID=''
call GET "/api/phone-numbers/$DELETED/status"
expect 404 'delete: the phone number afterwards'
pass " 8. delete the phone number: $DELETED is gone"

echo "$PASSED passed, $SKIPPED skipped."
