/** Where pending_deliveries and failed_deliveries are not what deliveries says: nowhere, whoever wrote what. */
export async function differences(db: { query(text: string): Promise<{ rows: unknown[] }> }): Promise<unknown[]> {
  const { rows } = await db.query(
    `with noted as (
       select 'pending' as status, webhook_id, due_at as moment, id, version from pending_deliveries
        union all
       select 'failed', webhook_id, created_at, id, null from failed_deliveries),
     wanted as (
       select status, webhook_id, case status when 'pending' then due_at else created_at end as moment, id,
              case status when 'pending' then claims end as version
         from deliveries where status <> 'delivered')
     (table noted except all table wanted) union all (table wanted except all table noted)`,
  )
  return rows
}
