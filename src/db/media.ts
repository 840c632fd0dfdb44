import type { Queryable } from './database.js'

export async function insert(tx: Queryable, media: { message_id: number; bytes: Buffer }[]): Promise<void> {
  if (media.length === 0) return
  await tx.query('insert into media (message_id, bytes) select * from unnest($1::bigint[], $2::bytea[])', [
    media.map((m) => m.message_id),
    media.map((m) => m.bytes),
  ])
}

export async function find(db: Queryable, messageId: number): Promise<Buffer | undefined> {
  const { rows } = await db.query<{ bytes: Buffer }>('select bytes from media where message_id = $1', [messageId])
  return rows[0]?.bytes
}

export async function remove(tx: Queryable, messageIds: number[]): Promise<void> {
  if (messageIds.length > 0) await tx.query('delete from media where message_id = any($1::bigint[])', [messageIds])
}
