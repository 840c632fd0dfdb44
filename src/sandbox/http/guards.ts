import type { NextFunction, Request, Response } from 'express'
import { failure, instanceNotFound, unauthorized, unknownInstance } from '../engine/failure.js'
import type { Engine } from '../engine/engine.js'
import type { Json } from '../store/records.js'

/** A Express body may be anything, or missing. */
export function bodyOf(req: Request): Json {
  const body: unknown = req.body
  return typeof body === 'object' && body !== null && !Array.isArray(body) ? (body as Json) : {}
}

export function queryOf(req: Request, name: string): string | undefined {
  const value = req.query[name]
  return typeof value === 'string' ? value : undefined
}

/** Troubles of the whole server come before everything else; the controls stay reachable. */
export function refuseInTrouble(engine: Engine) {
  return (req: Request, res: Response, next: NextFunction): void => {
    const { refuse, licence_required, wrong_key } = engine.world.troubles.of()
    if (refuse === 'close') {
      req.socket.destroy()
      return
    }
    if (refuse === '503') {
      res.status(503).type('html').send('<html><body><h1>503 Service Unavailable</h1></body></html>')
      return
    }
    if (licence_required && req.path !== '/license/status') {
      res.status(503).json({
        error: 'service not activated',
        code: 'LICENSE_REQUIRED',
        message: 'License required. Activate this instance in the manager.',
      })
      return
    }
    if (wrong_key && req.path !== '/' && req.path !== '/license/status') throw unauthorized()
    next()
  }
}

export function requireGlobalKey(engine: Engine, req: Request): void {
  if (req.get('apikey') !== engine.world.settings.api_key) throw unauthorized()
}

/** Existence is checked before the key, so an unknown instance is told to anybody. */
export function requireInstanceKey(engine: Engine, req: Request, name: string): void {
  if (!engine.exists(name)) throw unknownInstance(name)
  const key = req.get('apikey')
  const token = engine.world.database.instanceByName(name)?.token ?? engine.get(name)?.row.token
  if (key !== engine.world.settings.api_key && (key === undefined || key !== token)) throw unauthorized()
}

/** The names fetchInstances is about: the key decides, then the filters, whose unknown values are told apart. */
export function namesToFetch(engine: Engine, req: Request): Set<string> | undefined {
  const { database, settings } = engine.world
  const key = req.get('apikey')
  if (key !== settings.api_key) {
    const own = key === undefined ? [] : database.instancesWhere((row) => row.token === key)
    if (own.length === 0) throw unauthorized()
    return new Set(own.map((row) => row.name))
  }
  const id = queryOf(req, 'instanceId')
  const number = queryOf(req, 'number')
  const name = queryOf(req, 'instanceName')
  if (id !== undefined || number !== undefined) {
    const found = database.instancesWhere((row) => (id === undefined ? row.number === number : row.id === id))[0]
    if (!found || !engine.get(found.name)) throw instanceNotFound((id ?? number)!)
    return new Set([found.name])
  }
  if (name === undefined) return undefined
  if (!engine.get(name)) throw instanceNotFound(name)
  return new Set([name])
}

/** The name of a new instance, before anything else is looked at. */
export function requireFreeName(engine: Engine, req: Request): void {
  const name = bodyOf(req).instanceName
  if (name === undefined) return
  if (typeof name !== 'string') {
    const detail = 'Argument `name`: Invalid value provided. Expected StringFilter or String, provided Int.'
    throw failure(500, [
      `PrismaClientValidationError: \nInvalid \`<query>\` invocation in\n[source excerpt removed]\n${detail}`,
    ])
  }
  if (engine.exists(name)) throw failure(403, [`This name "${name}" is already in use.`])
}
