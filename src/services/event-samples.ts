import type { EventType } from './public-events.js'

const AT = '2026-11-22T08:30:00.000Z'
const INCOMING = {
  id: 4711,
  phone_number_id: 1,
  direction: 'incoming',
  type: 'text',
  from: '628111222333',
  chat: '628111222333',
  lid: '123456789012345@lid',
  group: false,
  sender_name: 'Budi',
  whatsapp_id: '3EB0C767D26B8A1F2E4D',
  content: { text: 'Hello, is my order on its way?' },
  sent_at: AT,
}
const ADDRESS = { whatsapp_id: INCOMING.whatsapp_id, chat: INCOMING.chat }
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** The `data` of a typical event of each type: what a test sends, and what the documentation shows. */
const SAMPLES: Record<EventType, Record<string, unknown>> = {
  'message.received': { message: INCOMING },
  'message.sent_from_phone': {
    message: {
      ...INCOMING,
      direction: 'outgoing',
      from: '6281234567890',
      sender_name: null,
      content: { text: 'Yes, it arrives tomorrow.' },
    },
  },
  'message.status': {
    message: {
      id: 4712,
      phone_number_id: 1,
      direction: 'outgoing',
      type: 'text',
      recipient: '628111222333',
      status: 'delivered',
      whatsapp_id: '3EB0A1B2C3D4E5F60718',
      warning: null,
      error: null,
    },
  },
  'message.edited': { message: { ...ADDRESS, content: { text: 'Hello, is my order #17 on its way?' } } },
  'message.deleted': { message: ADDRESS },
  'phone_number.qr': { qr_code: PIXEL, qr_expires_at: AT, pairing_code: null },
  'phone_number.connected': { status: 'connected', phone_number: '6281234567890' },
  'phone_number.disconnected': {
    status: 'disconnected',
    reason: 'logged_out',
    advice: 'The phone unlinked this device. Scan a new QR code: GET /api/phone-numbers/{id}/qr.',
  },
  'phone_number.degraded': {
    ack_ratio_1h: 0.42,
    messages: 50,
    advice: 'WhatsApp acknowledges few of the messages of this number. Look at the phone, and send less for a while.',
  },
  'phone_number.restricted': {
    restriction: { type: 'new_conversations', until: AT },
    advice: 'WhatsApp refuses new conversations of this number. They wait until then; replies go out as usual.',
  },
  'plan.expiring': {
    phase: 'warning',
    active_until: AT,
    sends_until: '2026-11-25T08:30:00.000Z',
    advice: 'Your plan ends soon. Ask the operator to renew it.',
  },
  'plan.expired': {
    phase: 'expired',
    active_until: AT,
    sends_until: '2026-11-25T08:30:00.000Z',
    advice:
      'Nothing is sent any more. Numbers stay linked, messages wait until their time to live is over. Ask the operator to renew your plan.',
  },
  'usage.threshold': { percent: 80, used: 800, limit: 1000, day: '2026-11-22' },
  'webhook.disabled': {
    webhook: { id: 7, phone_number_id: 1, url: 'https://example.com/whatsapp' },
    reason: 'failing',
    failing_since: AT,
    advice:
      'No delivery succeeded for five days. Repair the receiver and enable the webhook: PATCH /api/webhooks/{id}.',
  },
  gap: {
    from: AT,
    to: '2026-11-22T08:45:00.000Z',
    reason: 'engine_not_answering',
    fetched: 0,
    advice: 'Messages that arrived in this time may be missing here. They are on the phone.',
  },
}

export const sampleData = (type: EventType): Record<string, unknown> => SAMPLES[type]
