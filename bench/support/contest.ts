import type { Clients, Outcome } from './load.js'
import type pg from 'pg'
import { databaseCost } from './database-cost.js'
import { type Subject } from './process.js'
import { median } from './figures.js'

/** One of those compared: who answers, and the connections that ask. */
export interface Contestant {
  name: string
  subject: Subject
  clients: Clients
  /** The status of a good answer, 200 unless given. */
  status?: number
}

export interface Score {
  name: string
  /** Answers per second. */
  rate: number
  /** CPU of the server process per answer, in microseconds: unlike the rate hardly moved by what else runs. */
  cpu_us: number
  /** CPU of PostgreSQL per answer; NaN where it cannot be measured. */
  database_us: number
  count: number
  /** Answers of another status. */
  faults: number
}

/** Rounds in turn, so that a noisy minute hits all alike; the median round counts. */
export async function compete(
  db: pg.Pool,
  contestants: Contestant[],
  rounds: number,
  ms: number,
): Promise<Map<string, Score>> {
  // The compiler needs some thousand calls before a server is itself.
  for (const { clients } of contestants) await clients.drive({ ms: 4 * ms, count: 6_000 })
  const heats = new Map<string, Heat[]>()
  for (let round = 0; round < rounds; round++) {
    for (const contestant of contestants) {
      const heat = await runHeat(db, contestant, ms)
      heats.set(contestant.name, [...(heats.get(contestant.name) ?? []), heat])
    }
  }
  return new Map(
    [...heats].map(([name, all]) => [
      name,
      scoreOf(
        contestants.find((one) => one.name === name)!,
        all,
      ),
    ]),
  )
}

interface Heat {
  outcome: Outcome
  cpu_us: number
  database_us: number
}

async function runHeat(db: pg.Pool, { subject, clients }: Contestant, ms: number): Promise<Heat> {
  const cost = async () => [(await subject.cost()).cpu_us, (await databaseCost(db)) ?? Number.NaN] as const
  const before = await cost()
  const outcome = await clients.drive({ ms })
  const after = await cost()
  return { outcome, cpu_us: after[0] - before[0], database_us: after[1] - before[1] }
}

function scoreOf({ name, status = 200 }: Contestant, heats: Heat[]): Score {
  const rates = heats.map(({ outcome }) => (outcome.count / outcome.ms) * 1000)
  const costs = heats.map(({ outcome, cpu_us }) => cpu_us / outcome.count)
  const sum = (of: (outcome: Outcome) => number) => heats.reduce((total, { outcome }) => total + of(outcome), 0)
  return {
    name,
    rate: median(rates),
    cpu_us: median(costs),
    database_us: median(heats.map(({ outcome, database_us }) => database_us / outcome.count)),
    count: sum((outcome) => outcome.count),
    faults: sum((outcome) => outcome.count - (outcome.statuses.get(status) ?? 0)),
  }
}
