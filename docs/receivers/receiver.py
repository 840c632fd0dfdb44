"""A receiver for Python 3.9 and newer, without any package.

Start it with:  WEBHOOK_SECRET=whsec_... python3 receiver.py
In Flask or Django call is_genuine() with the raw body (request.get_data(), request.body) and is_new() with the id.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["WEBHOOK_SECRET"]
TOLERANCE = 300  # seconds the clocks of the two servers may differ; older requests are replays

# At least once means: an event can come twice. Attempts go on for days, so the ids are kept for a week,
# in a file that outlives a restart.
seen = sqlite3.connect(os.environ.get("SEEN_FILE", "seen-webhooks.sqlite"), check_same_thread=False)
seen.execute("create table if not exists seen (id text primary key, at real)")
seen_lock = threading.Lock()


def is_genuine(secret, headers, body, now):
    """Whether the bytes of a request were signed with the secret, as Standard Webhooks says."""
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE:
        return False
    key = base64.b64decode(secret.split("_", 1)[1])
    content = f"{webhook_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    # Two signatures come while a secret is being rotated.
    given = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in given)


def is_new(webhook_id, now):
    with seen_lock, seen:
        seen.execute("delete from seen where at < ?", (now - 7 * 86400,))
        return seen.execute("insert or ignore into seen values (?, ?)", (webhook_id, now)).rowcount == 1


def handle(event):
    if event["type"] == "message.received":
        message = event["data"]["message"]
        print(f"{message['from']}: {message['content'].get('text', '[' + message['type'] + ']')}", flush=True)
    else:
        print(event["type"], flush=True)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(SECRET, self.headers, body, time.time()):
            return self.answer(401, b"wrong signature")
        # Answer first, work afterwards: whoever takes longer than 15 seconds gets the event again.
        new = is_new(self.headers["webhook-id"], time.time())
        self.answer(200, b"ok")
        if new:
            threading.Thread(target=handle, args=(json.loads(body),)).start()

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "4000"))), Receiver)
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
