/**
 * Where pending_deliveries and failed_deliveries are not what deliveries says: nowhere, whoever wrote what. A delivery that
 * is neither although it was never written again was delivered by its first attempt, which is there.
 */
export async function differences(db: { query(text: string): Promise<{ rows: unknown[] }> }): Promise<unknown[]> {
  const { rows } = await db.query(
    `with noted as (
       select webhook_id, due_at, id, version, event_id, phone_number_id, attempts, attempts_from from pending_deliveries
        union all
       select webhook_id, created_at, id, null, null, null, null, null from failed_deliveries),
     wanted as (
       select webhook_id, due_at, id, claims, event_id, phone_number_id, attempts, attempts_from
         from deliveries d
        where status = 'pending'
          and not (attempts = 0
                   and exists (select 1 from webhook_logs l where l.delivery_id = d.id and l.attempt = 1 and l.error is null)
                   and not exists (select 1 from pending_deliveries p where p.id = d.id))
        union all
       select webhook_id, created_at, id, null, null, null, null, null from deliveries where status = 'failed')
     (table noted except all table wanted) union all (table wanted except all table noted)`,
  )
  return rows
}
