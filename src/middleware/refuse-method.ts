import type { RequestHandler, Router } from 'express'
import { methodNotAllowed } from '../errors.js'

/** What Express keeps of a route and its types do not tell. */
interface Layer {
  route?: { methods: Record<string, boolean> }
  match(path: string): unknown
}

/** Stands after a router: says which methods an address of it takes, for a request with another one. */
export function refuseMethod(router: Router): RequestHandler {
  const routes = (router.stack as unknown as Layer[]).filter(({ route }) => route)
  return (req, res, next) => {
    const taken = routes.filter((layer) => layer.match(req.path)).flatMap(({ route }) => Object.keys(route!.methods))
    if (taken.length === 0) return next()
    // Express answers HEAD wherever it answers GET.
    const named = taken.flatMap((name) => (name === 'get' ? ['GET', 'HEAD'] : name.toUpperCase()))
    const allowed = [...new Set(named)].join(', ')
    res.set('Allow', allowed)
    throw methodNotAllowed(allowed)
  }
}
