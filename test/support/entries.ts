type Body = Record<string, unknown>

/** Something of one user, by whose id a route can be asked. */
export type Owned = 'phone_number' | 'message' | 'webhook' | 'delivery' | 'event' | 'api_key'

export type Ids = Record<Owned, number | string> & { token: string }

/** What a route shows to whom, with a body it takes. */
export type Entry =
  /** Needs no key. */
  | { open: true; body?: Body }
  /** Needs the operator's key. */
  | { operator: true; body?: Body }
  /** Speaks of nothing but the caller. */
  | { own: true; body?: Body }
  /** `:id` names a resource of one user. */
  | { id: Owned; body?: Body }
  /** The body names a resource of one user. */
  | { names: (ids: Ids) => Body }

/** A text that can be sent. */
export const text = { number: '628000000003', text: 'Hi' }
const open = { open: true } as const
const own = { own: true } as const
const ofNumber = { id: 'phone_number' } as const
const ofMessage = { id: 'message' } as const
const ofWebhook = { id: 'webhook' } as const
const byToken = (body: Body): Entry => ({ names: ({ token }) => ({ token, ...body }) })
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString()

/** Every route of the product. A new one must be entered here, or refusals.test.ts fails. */
export const ENTRIES: Record<string, Entry> = {
  'GET /livez': open,
  'GET /readyz': open,
  'GET /health': open,
  'POST /internal/evolution/:engine_name': open, // has a secret of its own: ingress.test.ts
  'POST /internal/evolution/:engine_name/:event': open,
  'GET /link/:token': open, // the token is the permission: numbers-link-page.test.ts
  'GET /link/:token/status': open,
  'POST /link/:token/pairing-code': open,
  'GET /reset-password': open,
  'POST /api/auth/register': { open: true, body: { email: 'ani@example.com', password: 'SecurePass123!' } },
  'POST /api/auth/login': { open: true, body: { email: 'ani@example.com', password: 'SecurePass123!' } },
  'POST /api/auth/reset-password': { open: true, body: { token: 'x'.repeat(43), password: 'SecurePass123!' } },

  'GET /api/user/profile': own,
  'PATCH /api/user/profile': { own: true, body: { full_name: 'Ani', time_zone: 'Asia/Makassar' } },
  'POST /api/user/password': { own: true, body: { old_password: 'wrong', new_password: 'SecurePass123!' } },
  'GET /api/user/export': own,
  'DELETE /api/user': { own: true, body: { password: 'wrong' } },
  'POST /api/user/api-key/rotate': own,
  'GET /api/requests': own,
  'GET /api/api-keys': own,
  'POST /api/api-keys': { own: true, body: { name: 'n8n', scopes: ['send'] } },
  'PATCH /api/api-keys/:id': { id: 'api_key', body: { name: 'n8n' } },
  'DELETE /api/api-keys/:id': { id: 'api_key' },
  'POST /api/api-keys/:id/rotate': { id: 'api_key', body: { overlap_hours: 1 } },

  'POST /api/phone-numbers/create': { own: true, body: { display_name: 'Shop' } },
  'GET /api/phone-numbers': own,
  'GET /api/phone-numbers/:id': ofNumber,
  'PATCH /api/phone-numbers/:id': { id: 'phone_number', body: { display_name: 'Mine' } },
  'GET /api/phone-numbers/:id/qr': ofNumber,
  'GET /api/phone-numbers/:id/qr.png': ofNumber,
  'POST /api/phone-numbers/:id/pairing-code': { id: 'phone_number', body: { phone_number: '081234567890' } },
  'POST /api/phone-numbers/:id/reconnect': ofNumber,
  'POST /api/phone-numbers/:id/restart': ofNumber,
  'POST /api/phone-numbers/:id/logout': ofNumber,
  'POST /api/phone-numbers/:id/link': ofNumber,
  'DELETE /api/phone-numbers/:id/link': ofNumber,
  'GET /api/phone-numbers/:id/history': ofNumber,
  'GET /api/phone-numbers/:id/status': ofNumber,
  'DELETE /api/phone-numbers/:id': ofNumber,
  'GET /api/phone-numbers/:id/queue': ofNumber,
  'DELETE /api/phone-numbers/:id/queue': ofNumber,
  'POST /api/phone-numbers/:id/queue/pause': ofNumber,
  'POST /api/phone-numbers/:id/queue/resume': ofNumber,

  'POST /api/messages/send-text': byToken(text),
  'POST /api/messages/send-media': byToken({ number: text.number, mediaType: 'document', base64: 'aGVsbG8=' }),
  'POST /api/messages/send-sticker': byToken({ number: text.number, base64: 'aGVsbG8=' }),
  'POST /api/messages/send-location': byToken({ number: text.number, name: 'Shop', latitude: -6.2, longitude: 106.8 }),
  'POST /api/messages/send-contact': byToken({
    number: text.number,
    contacts: [{ full_name: 'Ani', phone_number: '628000000001' }],
  }),
  'POST /api/messages/send-poll': byToken({ number: text.number, name: 'Which?', values: ['One', 'Two'] }),
  'POST /api/messages/send-reaction': { names: ({ message }) => ({ message_id: message, reaction: '👍' }) },
  'POST /api/messages/bulk': byToken({ messages: [text] }),
  'GET /api/messages': own,
  'GET /api/messages/:id': ofMessage,
  'PATCH /api/messages/:id': { id: 'message', body: { send_at: inAnHour() } },
  'GET /api/messages/:id/media': ofMessage,
  'POST /api/messages/:id/cancel': ofMessage,
  'POST /api/messages/:id/retry': ofMessage,
  'POST /api/contacts/check': byToken({ numbers: ['628000000001'] }),

  'GET /api/webhooks': own,
  'POST /api/webhooks': {
    names: ({ phone_number }) => ({ phone_number_id: phone_number, url: 'http://127.0.0.1:9/' }),
  },
  'GET /api/webhooks/:id': ofWebhook,
  'PATCH /api/webhooks/:id': { id: 'webhook', body: { description: 'Orders' } },
  'DELETE /api/webhooks/:id': ofWebhook,
  'POST /api/webhooks/:id/rotate-secret': ofWebhook,
  'POST /api/webhooks/:id/test': ofWebhook,
  'GET /api/webhooks/:id/deliveries': ofWebhook,
  'POST /api/webhooks/:id/redeliver': { id: 'webhook', body: { status: 'failed' } },
  'GET /api/deliveries/:id': { id: 'delivery' },
  'POST /api/deliveries/:id/redeliver': { id: 'delivery' },
  'GET /api/events': own,
  'GET /api/events/stream': own,
  'GET /api/events/:id': { id: 'event' },

  'GET /api/statistics': own,
  'GET /api/dashboard': own,
}
