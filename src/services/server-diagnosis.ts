import { randomBytes } from 'node:crypto'
import { EngineUnreachable, isGateways } from '../clients/engine-http.js'
import type { EvolutionClient } from '../clients/evolution.js'

export interface Problem {
  code: 'unreachable' | 'licence_needed' | 'key_refused' | 'database_down' | 'not_evolution'
  message: string
  /** No send can succeed either. */
  blocks_sends: boolean
}

/** What is wrong with a server. The key is checked without database or network; a name nobody has needs its database. */
export async function diagnose(client: EvolutionClient): Promise<Problem | null> {
  try {
    const key = await client.verifyKey()
    if (/LICENSE/i.test(JSON.stringify(key.body) ?? ''))
      return problem('licence_needed', 'needs a licence: activate it in its manager, or go back to version 2.3.7')
    if (key.status === 401)
      return problem('key_refused', 'refuses our key: EVOLUTION_API_KEY differs from its AUTHENTICATION_API_KEY')
    if (isGateways(key.status))
      return problem('unreachable', `answers ${key.status}, as a proxy does whose server is down`)
    if (key.status !== 200) return problem('not_evolution', `answers ${key.status} to a check of the key`)
    const unknown = await client.connectionState(`health-${randomBytes(6).toString('hex')}`, 5_000)
    if (unknown.status === 404) return null
    return problem('database_down', `answers ${unknown.status} where its database should say 404`, false)
  } catch (err) {
    if (err instanceof EngineUnreachable) return problem('unreachable', `cannot be reached (${err.code})`)
    throw err
  }
}

const problem = (code: Problem['code'], message: string, blocks_sends = true): Problem => ({
  code,
  message,
  blocks_sends,
})

export interface Identity {
  version: string | null
  client_name: string | null
  licence: string
}

/** What a server says about itself; undefined when it is no Evolution. The question makes it ask the internet. */
export async function identify(client: EvolutionClient): Promise<Identity | undefined> {
  const { body } = await client.greeting()
  const { version, clientName, message } = (body ?? {}) as {
    version?: unknown
    clientName?: unknown
    message?: unknown
  }
  if (typeof message !== 'string' || !/evolution/i.test(message)) return undefined
  const { status, body: licence } = await client.licence()
  const words = (licence ?? {}) as { status?: unknown }
  return {
    version: typeof version === 'string' ? version : null,
    client_name: typeof clientName === 'string' ? clientName : null,
    licence: status === 404 ? 'not_needed' : typeof words.status === 'string' ? words.status : 'unknown',
  }
}
