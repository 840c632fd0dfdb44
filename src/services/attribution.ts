import type { Queryable } from '../db/database.js'
import * as ingressRows from '../db/ingress.js'
import * as phoneNumbers from '../db/phone-numbers.js'
import type { PhoneNumber, Zone } from '../db/phone-numbers.js'
import type { Fact } from './engine-events.js'
import { instancesNamed, namesOf } from './engine-names.js'

export interface EngineEvent {
  engine_name: string
  key: Buffer
  fact: Exclude<Fact, { kind: 'ignored' }>
}

export type Phone = PhoneNumber & Zone
export type Told = EngineEvent & { phone: Phone; generation: number; current: boolean }

export async function withoutRepeats(tx: Queryable, batch: EngineEvent[]): Promise<EngineEvent[]> {
  const distinct = [...new Map(batch.map((event) => [event.key.toString('hex'), event])).values()]
  const fresh = await ingressRows.rememberKeys(
    tx,
    distinct.map((event) => event.key),
  )
  return distinct.filter((event) => fresh.has(event.key.toString('hex')))
}

export async function lockOwners(tx: Queryable, batch: EngineEvent[]): Promise<Map<string, Phone>> {
  const names = batch.flatMap((event) => instancesNamed(event.engine_name))
  const rows = await phoneNumbers.lockByInstances(tx, [...new Set(names)])
  return new Map(rows.map((row) => [row.instance_name, row]))
}

/** Finds whose events these are; those of deleted or unknown instances are dropped, as the engine goes on for a while. */
export function attribute(batch: EngineEvent[], owners: Map<string, Phone>): Told[] {
  return batch.flatMap((event) => {
    const name = namesOf(event.engine_name).find(({ instance }) => owners.has(instance))
    if (!name) return []
    const phone = owners.get(name.instance)!
    const { generation } = name
    return [Object.assign(event, { phone, generation, current: generation === phone.engine_generation })]
  })
}
