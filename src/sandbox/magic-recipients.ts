import type { Behaviour } from './engine/behaviours.js'

export interface MagicRecipient {
  number: string
  name: string
  /** For the documentation. */
  what_happens: string
  behaviour: Partial<Behaviour>
}

/**
 * Numbers that behave in a documented way. Every other number is an ordinary one: accepted, `send.message`, then
 * delivered and read.
 */
export const MAGIC_RECIPIENTS: readonly MagicRecipient[] = [
  {
    number: '628000000001',
    name: 'echo',
    what_happens: 'answers `Echo: <text>` as an incoming message; media are answered with a text naming the type',
    behaviour: { echo: true },
  },
  {
    number: '628000000002',
    name: 'not on WhatsApp',
    what_happens: 'refused before sending: 400 with exists:false',
    behaviour: { on_whatsapp: false },
  },
  {
    number: '628000000003',
    name: 'stays pending',
    what_happens: 'accepted, no report ever comes',
    behaviour: { receipts: 'none' },
  },
  {
    number: '628000000004',
    name: 'refused by WhatsApp',
    what_happens: 'accepted, then reported as ERROR',
    behaviour: { receipts: 'error' },
  },
  {
    number: '628000000005',
    name: 'connection closed',
    what_happens: 'not sent: 400 `Error: Connection Closed`',
    behaviour: { refusal: { status: 400, message: ['Error: Connection Closed'] } },
  },
  {
    number: '628000000006',
    name: 'answers too late',
    what_happens: 'sent, and send.message is posted, but the HTTP answer comes only after 90 seconds',
    behaviour: { answer: 'hang' },
  },
  {
    number: '628000000007',
    name: '400 although sent',
    what_happens: 'sent, but answered with 400 and a database text; no send.message, not to be found',
    behaviour: { answer: 'database_text', recorded: false, receipts: 'none' },
  },
  {
    number: '628000000008',
    name: '500 although sent',
    what_happens: 'sent, send.message posted, to be found, but answered with 500 and a page of HTML, as by a proxy',
    behaviour: { answer: 'html_500' },
  },
  {
    number: '628000000009',
    name: 'reset although sent',
    what_happens: 'sent, send.message posted, to be found, but the connection is reset without an answer',
    behaviour: { answer: 'reset' },
  },
  {
    number: '628000000010',
    name: 'delivered, never read',
    what_happens: 'accepted and delivered, but no read report comes',
    behaviour: { receipts: 'delivered' },
  },
  {
    number: '628000000011',
    name: '500 before sending',
    what_happens: 'not sent: always 500 `Internal Server Error` in the shape of the engine',
    behaviour: { refusal: { status: 500, message: 'Internal Server Error' } },
  },
  {
    number: '628000000012',
    name: 'slow',
    what_happens: 'accepted after 3 seconds, in which all sends of the phone number wait',
    behaviour: { wait: 'slow' },
  },
  {
    number: '628000000013',
    name: 'early reports',
    what_happens: 'delivered and read are reported before the send is answered',
    behaviour: { receipts: 'before_answer' },
  },
  {
    number: '628000000014',
    name: 'upload fails once',
    what_happens: 'the first upload of media fails with 500 on all hosts (safe to repeat); text is sent normally',
    behaviour: { first_upload_fails: true },
  },
  {
    number: '628000000015',
    name: 'lost without a trace',
    what_happens: 'sent, but the connection is reset, no send.message is posted and nothing can be found',
    behaviour: { answer: 'reset', recorded: false, receipts: 'none' },
  },
  {
    number: '628000000016',
    name: 'privacy id',
    what_happens: 'the chat is addressed by a @lid: the answer names the lid, reports and messages come from it',
    behaviour: { lid: true },
  },
]

/** The one group every sandbox number is a member of; no reports come from groups. */
export const MAGIC_GROUP = { jid: '120363000000000001@g.us', name: 'Sandbox group' } as const
