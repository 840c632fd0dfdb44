import type { Queryable } from '../db/database.js'
import type { NewEvent } from '../db/events.js'
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
/** `place`: where in its batch it came. */
export type Told = EngineEvent & { phone: Phone; generation: number; current: boolean; place: number }

/** What is to be told about something that came at that place of its batch. */
export interface News {
  place: number
  event: NewEvent
}

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
export function attribute(
  batch: EngineEvent[],
  owners: Map<string, Phone>,
  isNobodys: (engineName: string) => void,
): Told[] {
  return batch.flatMap((event, place) => {
    const name = namesOf(event.engine_name).find(({ instance }) => owners.has(instance))
    if (!name) {
      isNobodys(event.engine_name)
      return []
    }
    const phone = owners.get(name.instance)!
    const { generation } = name
    return [Object.assign(event, { phone, generation, current: generation === phone.engine_generation, place })]
  })
}
