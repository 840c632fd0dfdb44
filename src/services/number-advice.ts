const SCAN = 'Scan a new QR code: GET /api/phone-numbers/{id}/qr, or hand out a link page: POST …/link.'

/** What to do about a number that is not as it should be, for whoever owns it. */
const ADVICE: Record<string, string> = {
  logged_out: `It was unlinked, on the phone or by a log-out. ${SCAN}`,
  restricted_by_whatsapp: 'WhatsApp has ended this session. Look at the phone before you link again.',
  qr_expired: `Nobody scanned the QR code in time. ${SCAN}`,
  server_lost: `The server that held this number is lost, and its session with it. ${SCAN}`,
  instance_lost: `The engine no longer knows this number's session. ${SCAN}`,
  suspended: 'The operator has unlinked this number together with its user.',
  reconnecting: 'The connection to WhatsApp is lost and being rebuilt. Queued messages go out when it is back.',
  unstable:
    'The connection comes and goes. Look whether the phone is online and linked to one engine only; further changes are told when it has been calm for ten minutes.',
  connection_closed:
    'It looks connected, but nothing can be sent. It is restarted by itself; if that does not help, link it anew: POST /api/phone-numbers/{id}/logout, then scan.',
  on_another_server:
    'Its server says that another one runs it. Ask the operator to look: two servers must not share a database and a client name.',
  silent: 'It has received nothing for much longer than usual, so its connection is restarted once.',
  no_acknowledgements:
    'WhatsApp acknowledges few of its messages, so its connection is restarted once. Look at the phone, and send less for a while.',
}

export const adviceFor = (reason: string): string | null => ADVICE[reason] ?? null
