type Json = Record<string, unknown>

/** What a WhatsApp message says, in our words: a type and its content. Unknown kinds keep only their name. */
export function contentOf(messageType: string, message: Json, contextInfo: unknown) {
  const [kind, body] = find(messageType, message)
  const quotedIn = (context: unknown) => text(json(context)?.stanzaId)
  const quoted = quotedIn(contextInfo) ?? quotedIn(json(body)?.contextInfo)
  const { type, content } = read(kind, body)
  return { type, content: quoted ? { ...content, quoted_whatsapp_id: quoted } : content }
}

const WRAPPERS = [
  'ephemeralMessage',
  'viewOnceMessage',
  'viewOnceMessageV2',
  'viewOnceMessageV2Extension',
  'documentWithCaptionMessage',
  'lottieStickerMessage',
  'editedMessage',
]

function find(messageType: string, message: Json): [string, unknown] {
  for (const wrapper of WRAPPERS) {
    const inner = json(json(message[wrapper])?.message)
    if (inner) return find('', inner)
  }
  if (message[messageType] !== undefined) return [messageType, message[messageType]]
  const kind = Object.keys(message).find((name) => name === 'conversation' || Object.hasOwn(READERS, name))
  return [kind ?? messageType, kind ? message[kind] : undefined]
}

const media = (type: string) => (body: Json) => ({
  type,
  content: compact({
    caption: text(body.caption),
    mime_type: text(body.mimetype),
    file_name: text(body.fileName) ?? text(body.title),
    size: whole(body.fileLength),
    seconds: whole(body.seconds),
    voice: body.ptt === true ? true : null,
  }),
})

const plain = (value: unknown) => ({ type: 'text', content: compact({ text: text(value) }) })

const poll = (body: Json) => ({
  type: 'poll',
  content: compact({ name: text(body.name), values: list(body.options).map((option) => text(option.optionName)) }),
})

const READERS: Record<string, (body: Json) => { type: string; content: Json }> = {
  extendedTextMessage: (body) => plain(body.text),
  imageMessage: media('image'),
  videoMessage: media('video'),
  ptvMessage: media('video'),
  audioMessage: media('audio'),
  documentMessage: media('document'),
  stickerMessage: media('sticker'),
  locationMessage: (body) => ({
    type: 'location',
    content: compact({
      latitude: body.degreesLatitude,
      longitude: body.degreesLongitude,
      name: text(body.name),
      address: text(body.address),
    }),
  }),
  contactMessage: (body) => ({ type: 'contact', content: { contacts: [card(body)] } }),
  contactsArrayMessage: (body) => ({ type: 'contact', content: { contacts: list(body.contacts).map(card) } }),
  reactionMessage: (body) => ({
    type: 'reaction',
    content: compact({
      reaction: typeof body.text === 'string' ? body.text : null,
      whatsapp_id: text(json(body.key)?.id),
    }),
  }),
  pollCreationMessage: poll,
  pollCreationMessageV2: poll,
  pollCreationMessageV3: poll,
  pollUpdateMessage: (body) => ({
    type: 'poll_vote',
    content: compact({ whatsapp_id: text(json(body.pollCreationMessageKey)?.id), values: chosen(body.vote) }),
  }),
  // What somebody chose among the buttons of a business account says what a text would.
  buttonsResponseMessage: (body) => plain(body.selectedDisplayText),
  templateButtonReplyMessage: (body) => plain(body.selectedDisplayText),
  listResponseMessage: (body) => plain(body.title),
}

function read(kind: string, body: unknown) {
  if (kind === 'conversation') return plain(body)
  const reader = Object.hasOwn(READERS, kind) ? READERS[kind] : undefined
  const value = json(body)
  return reader && value ? reader(value) : { type: 'unknown', content: compact({ engine_type: text(kind) }) }
}

const card = (body: Json) => compact({ name: text(body.displayName), vcard: text(body.vcard) })

const json = (value: unknown): Json | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined

const list = (value: unknown): Json[] =>
  Array.isArray(value) ? value.map(json).filter((item) => item !== undefined) : []

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

/** Names of options, once the engine has read the vote; null: it could not. */
function chosen(vote: unknown): string[] | null {
  const options = json(vote)?.selectedOptions
  if (!Array.isArray(options) || !options.every((option) => typeof option === 'string')) return null
  return options
}

/** 64-bit numbers come as `{ low, high, unsigned }`, as text or as numbers. */
export function whole(value: unknown): number | null {
  const long = json(value)
  const number = long ? Number(long.high ?? 0) * 2 ** 32 + (Number(long.low ?? 0) >>> 0) : Number(value ?? NaN)
  return Number.isFinite(number) ? number : null
}

function compact(content: Json): Json {
  return Object.fromEntries(Object.entries(content).filter(([, value]) => value !== null && value !== undefined))
}
