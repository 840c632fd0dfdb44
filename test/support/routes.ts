import type { Express } from 'express'

export interface Route {
  method: string
  path: string
}

interface Layer {
  route?: { path: string | string[]; methods: Record<string, boolean> }
  handle?: { stack?: Layer[] }
  path?: string
  match(path: string): boolean
}

/** Every route an app answers, found in its routers. Throws for a router under a prefix that is not listed. */
export function routesOf(app: Express, prefixes: string[]): Route[] {
  return walk((app.router as unknown as { stack: Layer[] }).stack, '', prefixes)
}

function walk(stack: Layer[], prefix: string, prefixes: string[]): Route[] {
  return stack.flatMap((layer) => {
    if (layer.route) return routesIn(layer.route, prefix)
    if (!layer.handle?.stack) return []
    return mountsOf(layer, prefixes).flatMap((mount) => walk(layer.handle!.stack!, prefix + mount, prefixes))
  })
}

function routesIn({ path, methods }: NonNullable<Layer['route']>, prefix: string): Route[] {
  const names = Object.keys(methods).filter((name) => methods[name])
  return [path].flat().flatMap((one) => names.map((name) => ({ method: name.toUpperCase(), path: prefix + one })))
}

/** Express keeps no prefix, but tells which part of an address it took. */
function mountsOf(layer: Layer, prefixes: string[]): string[] {
  const mounts = prefixes.filter((prefix) => {
    const taken = layer.match(prefix === '/' ? '/anything' : `${prefix}/anything`) ? layer.path : undefined
    return taken === (prefix === '/' ? '' : prefix)
  })
  if (mounts.length === 0) throw new Error(`A router is mounted elsewhere than on ${prefixes.join(', ')}.`)
  return mounts.map((mount) => (mount === '/' ? '' : mount))
}
