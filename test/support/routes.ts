import type { Express } from 'express'
import type { Scope } from '../../src/db/api-keys.js'
import type { ScopeGuard } from '../../src/middleware/authenticate.js'

export interface Route {
  method: string
  path: string
  /** What a key must have, where the route says so. */
  scopes?: readonly Scope[]
}

interface Layer {
  route?: { path: string | string[]; methods: Record<string, boolean>; stack: { handle: Partial<ScopeGuard> }[] }
  handle?: { stack?: Layer[] }
  /** Where it is mounted, as it was written. */
  rawPath?: string | string[]
}

/** Every route an app answers, found in its routers. */
export function routesOf(app: Express): Route[] {
  return walk((app.router as unknown as { stack: Layer[] }).stack, '')
}

function walk(stack: Layer[], prefix: string): Route[] {
  return stack.flatMap((layer) => {
    if (layer.route) return routesIn(layer.route, prefix)
    if (!layer.handle?.stack) return []
    if (layer.rawPath === undefined) throw new Error('Express no longer tells where a router is mounted.')
    const mounts = [layer.rawPath].flat().map((path) => (path === '/' ? '' : path))
    return mounts.flatMap((mount) => walk(layer.handle!.stack!, prefix + mount))
  })
}

function routesIn({ path, methods, stack }: NonNullable<Layer['route']>, prefix: string): Route[] {
  const names = Object.keys(methods).filter((name) => methods[name])
  const scopes = stack.find(({ handle }) => handle.scopes)?.handle.scopes
  return [path]
    .flat()
    .flatMap((one) => names.map((name) => ({ method: name.toUpperCase(), path: prefix + one, scopes })))
}
