import type { IRouter, Request, Response } from 'express'
import type { Engine } from '../engine/engine.js'
import { failure, thrown } from '../engine/failure.js'
import type { Instance } from '../engine/instance.js'
import type { Json } from '../store/records.js'
import { bodyOf, queryOf, requireInstanceKey } from './guards.js'
import { violations, type Schema } from './json-schema.js'

export interface Call {
  name: string
  body: Json
  req: Request
  res: Response
}

export type Answer = { status: number; body: unknown }

export const ok = (body: unknown): Answer => ({ status: 200, body })

export const created = (body: unknown): Answer => ({ status: 201, body })

interface Route {
  method: 'get' | 'post' | 'delete'
  path: string
  schema?: Schema
  /** Answers, or has answered by itself and returns nothing. */
  handle: (call: Call) => Answer | undefined | Promise<Answer | undefined>
}

/** Adds a route whose path ends in the name of an instance. */
export function addInstanceRoute(router: IRouter, engine: Engine, { method, path, schema, handle }: Route): void {
  router[method](`${path}/:instanceName`, async (req: Request, res: Response) => {
    const named = req.params.instanceName as string
    requireInstanceKey(engine, req, named)
    const body = bodyOf(req)
    if (schema) requireValid(body, schema)
    // Evolution's hole: after the key was checked, the query string may name another instance
    const answer = await handle({ name: queryOf(req, 'instanceName') ?? named, body, req, res })
    if (answer) res.status(answer.status).json(answer.body)
  })
}

export function requireValid(body: unknown, schema: Schema): void {
  const found = violations(body, schema)
  if (found.length > 0) throw failure(400, [found])
}

/** The instance in this server's memory; on another server Evolution stumbles over `undefined`. */
export function requireLoaded(engine: Engine, name: string, member: string): Instance {
  const instance = engine.get(name)
  if (!instance) throw thrown(`Cannot read properties of undefined (reading '${member}')`)
  return instance
}
