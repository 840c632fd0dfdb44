import type { Queryable } from './database.js'

/** Messages that share a file have one copy each, but it travels once. */
export async function insert(tx: Queryable, media: { message_id: number; bytes: Buffer }[]): Promise<void> {
  const owners = new Map<Buffer, number[]>()
  for (const { message_id, bytes } of media) {
    const ids = owners.get(bytes)
    if (ids) ids.push(message_id)
    else owners.set(bytes, [message_id])
  }
  await Promise.all(
    [...owners].map(([bytes, ids]) =>
      tx.query('insert into media (message_id, bytes) select unnest($1::bigint[]), $2::bytea', [ids, bytes]),
    ),
  )
}

export async function find(db: Queryable, messageId: number): Promise<Buffer | undefined> {
  const { rows } = await db.query<{ bytes: Buffer }>('select bytes from media where message_id = $1', [messageId])
  return rows[0]?.bytes
}

/** As the engine wants it: made there, it is in our memory once, and not three times. */
export async function findAsBase64(db: Queryable, messageId: number): Promise<string | undefined> {
  const { rows } = await db.query<{ base64: string }>(
    `select translate(encode(bytes, 'base64'), E'\\n', '') as base64 from media where message_id = $1`,
    [messageId],
  )
  return rows[0]?.base64
}

export async function remove(tx: Queryable, messageIds: number[]): Promise<void> {
  if (messageIds.length > 0) await tx.query('delete from media where message_id = any($1::bigint[])', [messageIds])
}
