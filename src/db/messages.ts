import { type Queryable, inPlace } from './database.js'

export type MessageStatus =
  'queued' | 'sending' | 'sent' | 'delivered' | 'read' | 'failed' | 'unconfirmed' | 'expired' | 'canceled' | 'received'

export interface Message {
  id: number
  user_id: number
  phone_number_id: number
  direction: 'outgoing' | 'incoming'
  source: 'api' | 'phone' | 'contact'
  type: string
  recipient: string
  content: Record<string, unknown>
  status: MessageStatus
  history: { status: MessageStatus; at: string; code?: string }[]
  error_code: string | null
  error_message: string | null
  warning: string | null
  refunded: boolean
  whatsapp_id: string | null
  scheduled_for: Date | null
  retry_of: number | null
  created_at: Date
  sent_at: Date | null
  delivered_at: Date | null
  read_at: Date | null
}

const names = [
  ...['id', 'user_id', 'phone_number_id', 'direction', 'source', 'type', 'recipient', 'content', 'status', 'history'],
  ...['error_code', 'error_message', 'warning', 'refunded', 'whatsapp_id', 'scheduled_for', 'retry_of'],
  ...['created_at', 'sent_at', 'delivered_at', 'read_at'],
]
const columns = names.join(', ')

/** The same, of a table that goes by another name in the statement. */
export const columnsOf = (alias: string) => names.map((name) => `${alias}.${name}`).join(', ')

/** A message after it changed, with what its statistics, refund and event need. */
export interface Changed {
  id: number
  user_id: number
  phone_number_id: number
  direction: Message['direction']
  type: string
  recipient: string
  status: MessageStatus
  error_code: string | null
  error_message: string | null
  warning: string | null
  quota_day: string | null
  new_contact: boolean
  whatsapp_id: string | null
  time_zone: string
  display_name: string
  phone_number: string | null
  metadata: Record<string, unknown>
}

/** What an update of messages `m`, users `u` and phone_numbers `p` returns as `Changed`. */
export const changed = `m.id, m.user_id, m.phone_number_id, m.direction, m.type, m.recipient, m.status, m.error_code,
  m.error_message, m.warning, m.quota_day, m.new_contact, m.whatsapp_id, u.time_zone, p.display_name, p.phone_number,
  p.metadata`

/** One step of a message's history; both arguments are SQL expressions. */
export const step = (status: string, code = 'null') =>
  `jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('status', ${status}, 'at', now(), 'code', ${code})))`

/** How far along a message is: what the engine reports may only raise it. */
export const rank = (status: string) =>
  `array_position(array['queued', 'sending', 'unconfirmed', 'sent', 'failed', 'delivered', 'read'], ${status})`

/**
 * A message by its key, whose owner is asked for outside: with both in one place the planner may take, of a young table, an
 * index of the user's messages that has the id further back, and walk through all of them.
 */
export const withId = (id: string) => `(select * from messages where id = ${id} offset 0)`

export async function findOwned(db: Queryable, userId: number, id: number): Promise<Message | undefined> {
  const [found] = await findEachOwned(db, [{ user_id: userId, id }])
  return found
}

/** One message or undefined for each of these, in their order. */
export async function findEachOwned(
  db: Queryable,
  wanted: { user_id: number; id: number }[],
): Promise<(Message | undefined)[]> {
  if (wanted.length === 0) return []
  const { rows } = await db.query<Message & { place: number }>(
    `select w.place, ${columnsOf('m')}
       from unnest($1::bigint[], $2::bigint[]) with ordinality as w (user_id, wanted_id, place)
      cross join lateral ${withId('w.wanted_id')} m
      where m.user_id = w.user_id`,
    [wanted.map((w) => w.user_id), wanted.map((w) => w.id)],
  )
  return inPlace(rows, wanted.length)
}

export interface Filter {
  phone_number_id?: number
  status?: MessageStatus
  direction?: Message['direction']
  recipient?: string
  from?: Date
  to?: Date
  before?: number
  limit: number
}

/** How far the order of ids and that of creation may be apart: longer than any statement may take. */
const DISORDER_MS = 300_000

/** The first id that was created at that time or later, found by halving: a time needs no index of its own. */
async function firstIdSince(db: Queryable, at: Date): Promise<number> {
  const { rows } = await db.query<{ id: number }>(
    `with recursive halving (low, high) as (
       select coalesce(min(id), 0), coalesce(max(id), 0) + 1 from messages
       union all
       select case when m.created_at < $1 then m.id + 1 else h.low end,
              case when m.created_at < $1 then h.high else (h.low + h.high) / 2 end
         from halving h
        cross join lateral (
          select id, created_at from messages where id >= (h.low + h.high) / 2 order by id limit 1) m
        where h.low < h.high)
     select max(low) as id from halving`,
    [at],
  )
  return rows[0]!.id
}

/** What `messages_status_idx` has; of a status that comes as a parameter the planner cannot know that it is there. */
const INDEXED = ['queued', 'sending', 'failed', 'unconfirmed', 'expired', 'canceled']

/**
 * The index whose order a page is read in, as far as its length: named by a range and the order, which no other index has.
 * With `= $1` and an order by id alone the planner also reads all that everybody wrote since, or all that there is of one's own.
 */
function walked({ phone_number_id, status, recipient }: Filter): 'phone_number_id' | 'user_id' | undefined {
  if (recipient !== undefined || (status && INDEXED.includes(status))) return undefined // indexes of their own
  return phone_number_id === undefined ? 'user_id' : 'phone_number_id'
}

/** Newest first; in a transaction that has begun with BEGIN_IN_PARTS. */
export async function listOwned(db: Queryable, userId: number, filter: Filter): Promise<Message[]> {
  const { from, to } = filter
  const [fromId, toId] = await Promise.all([
    from && firstIdSince(db, new Date(from.getTime() - DISORDER_MS)),
    to && firstIdSince(db, new Date(to.getTime() + DISORDER_MS)),
  ])
  const values: unknown[] = [userId]
  const along = walked(filter)
  const where = [along === 'user_id' ? 'user_id between $1 and $1' : 'user_id = $1']
  const add = (condition: string, value: unknown) => {
    if (value === undefined) return
    values.push(value)
    where.push(condition.replaceAll('?', `$${values.length}`))
  }
  const isOfNumber = along === 'phone_number_id' ? 'phone_number_id between ? and ?' : 'phone_number_id = ?'
  add(isOfNumber, filter.phone_number_id)
  add('status = ?', filter.status)
  if (filter.status && INDEXED.includes(filter.status)) where.push(`status in ('${INDEXED.join("', '")}')`)
  add('direction = ?', filter.direction)
  if (filter.direction === 'incoming') where.push(`direction = 'incoming'`) // as the index of those has it
  add('recipient = ?', filter.recipient)
  add('created_at >= ?', from)
  add('created_at < ?', to)
  add('id >= ?', fromId)
  add('id < ?', toId)
  add('id < ?', filter.before)
  values.push(filter.limit)
  const order = along === undefined ? 'id desc' : `${along}, id desc`
  const { rows } = await db.query<Message>(
    `select ${columns} from messages where ${where.join(' and ')} order by ${order} limit $${values.length}`,
    values,
  )
  return rows
}

/** What it takes to send a message once more. */
export async function findForRetry(db: Queryable, userId: number, id: number) {
  const { rows } = await db.query<
    Message & {
      ttl_seconds: number
      on_ambiguous: 'keep' | 'retry'
      token: string
      has_bytes: boolean
      reply_to: string | null
      fingerprint: Buffer
    }
  >(
    `select ${columnsOf('m')}, m.ttl_seconds, m.on_ambiguous, m.reply_to, m.fingerprint, p.token,
            exists (select 1 from media where message_id = m.id) as has_bytes
       from ${withId('$2')} m join phone_numbers p on p.id = m.phone_number_id
      where m.user_id = $1`,
    [userId, id],
  )
  return rows[0]
}

/** Where the engine keeps the file of a message. */
export async function findMediaSource(db: Queryable, userId: number, id: number) {
  const { rows } = await db.query<Message & { engine_name: string; server_instance: string }>(
    `select ${columnsOf('m')}, engine_name(p.instance_name, p.engine_generation) as engine_name, p.server_instance
       from ${withId('$2')} m join phone_numbers p on p.id = m.phone_number_id
      where m.user_id = $1 and p.deleted_at is null`,
    [userId, id],
  )
  return rows[0]
}

/** Marks what WhatsApp has not acknowledged; groups report nothing and are left out. */
export async function warnSilent(tx: Queryable, seconds: number, limit: number, now?: Date): Promise<Changed[]> {
  const { rows } = await tx.query<Changed>(
    `update messages m set warning = 'no_ack', updated_at = now()
       from (select id from messages
              where status = 'sent' and source = 'api' and warning is null and recipient not like '%@g.us'
                and sent_at < coalesce($2, now()) - make_interval(secs => $1)
              order by sent_at limit $3 for update skip locked) silent, users u, phone_numbers p
      where m.id = silent.id and u.id = m.user_id and p.id = m.phone_number_id
     returning ${changed}`,
    [seconds, now ?? null, limit],
  )
  return rows
}
