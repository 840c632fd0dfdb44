import type { Due } from '../db/connection-checks.js'

/** What to do about a number after the engine was asked how it is. */
export interface Decision {
  action: 'none' | 'restart' | 'connect' | 'park'
  /** What the engine says is news to us. */
  learn?: 'open' | 'connecting'
  next_seconds: number
  problem: string | null
  missing: number
  restarts: number
  no_restart_seconds: number | null
  /** This server runs it, so it can be told things. */
  present: boolean
  /** This problem is new: its user is told. */
  tell?: boolean
}

const WELL_SECONDS = 300
const SUSPECT_SECONDS = 30
/** Restarts that did not help are repeated ever more rarely. */
const RESTART_PAUSES = [60, 300, 900, 3_600, 21_600]
/** A problem that is only inferred is answered with one restart in so long. */
const GUESS_PAUSE_SECONDS = 86_400
/** An engine that opens sockets by itself says so all the time; one that is quiet has stopped trying. */
const QUIET_MS = 120_000
/** A server that has just started does not know its instances yet, so one look proves nothing. */
const LOOKS_UNTIL_LOST = 4

/** Pure. `state` is the engine's word, `missing` when it knows no such instance, `elsewhere` when another server has it. */
export function decide(due: Due, state: string, now: Date): Decision {
  const base = {
    action: 'none' as const,
    present: state !== 'missing' && state !== 'elsewhere',
    problem: due.problem,
    missing: 0,
    restarts: due.restarts,
    no_restart_seconds: null,
  }
  switch (state) {
    case 'open':
      return { ...base, ...decideOpen(due) }
    case 'missing':
      return { ...base, ...decideMissing(due) }
    case 'elsewhere':
      // A server that is still loading its instances says so too, and then it is over soon.
      return { ...base, problem: 'on_another_server', next_seconds: SUSPECT_SECONDS }
    default:
      return { ...base, ...decideLost(due, state, now) }
  }
}

type Part = Pick<Decision, 'next_seconds'> & Partial<Decision>

function decideOpen(due: Due): Part {
  const learn = due.status !== 'connected' || due.reconnecting ? 'open' : undefined
  const problem = due.sends_fail ? 'connection_closed' : due.problem === 'connection_closed' ? null : due.problem
  if (problem === null || problem === 'on_another_server')
    // While a restart is still recent it counts: a lane that has not tried again yet proves nothing.
    return { learn, problem: null, restarts: due.may_restart ? 0 : due.restarts, next_seconds: WELL_SECONDS }
  const tell = due.restarts === 0 || problem !== 'connection_closed'
  if (!due.may_restart) return { learn, problem, next_seconds: SUSPECT_SECONDS }
  const guessed = problem !== 'connection_closed'
  return {
    learn,
    action: 'restart',
    tell,
    problem: guessed ? null : problem,
    restarts: guessed ? 0 : due.restarts + 1,
    no_restart_seconds: guessed ? GUESS_PAUSE_SECONDS : pauseAfter(due.restarts),
    next_seconds: SUSPECT_SECONDS,
  }
}

function decideMissing(due: Due): Part {
  const missing = due.missing + 1
  return { missing, action: missing >= LOOKS_UNTIL_LOST ? 'park' : 'none', next_seconds: SUSPECT_SECONDS }
}

/**
 * Not open. While the engine tries by itself it is left alone, since each further call would open one more socket; one
 * that has gone quiet is given a push, ever more rarely.
 */
function decideLost(due: Due, state: string, now: Date): Part {
  const learn = due.status === 'connected' && !due.reconnecting ? 'connecting' : undefined
  const quiet = !due.last_event_at || now.getTime() - due.last_event_at.getTime() > QUIET_MS
  if (learn || !quiet || !due.may_restart) return { learn, next_seconds: SUSPECT_SECONDS }
  return {
    action: state === 'connecting' ? 'restart' : 'connect',
    restarts: due.restarts + 1,
    no_restart_seconds: pauseAfter(due.restarts),
    next_seconds: SUSPECT_SECONDS,
  }
}

const pauseAfter = (restarts: number) => RESTART_PAUSES[Math.min(restarts, RESTART_PAUSES.length - 1)]!
