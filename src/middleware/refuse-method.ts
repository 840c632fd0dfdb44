import type { RequestHandler, Router } from 'express'
import { methodNotAllowed } from '../errors.js'

/** What Express keeps of a route and its types do not tell. */
interface Layer {
  route?: { path: string; methods: Record<string, boolean> }
  match(path: string): unknown
}

/** `/phone-numbers/create` is not what is meant with `/phone-numbers/:id`. */
const isLiteral = ({ route }: Layer) => !route!.path.includes(':')

/** Stands after a router: says which methods an address of it takes, for a request with another one. */
export function refuseMethod(router: Router): RequestHandler {
  const routes = (router.stack as unknown as Layer[]).filter(({ route }) => route)
  return (req, res, next) => {
    const here = routes.filter((layer) => layer.match(req.path))
    if (here.length === 0) return next()
    const meant = here.some(isLiteral) ? here.filter(isLiteral) : here
    const taken = meant.flatMap(({ route }) => Object.keys(route!.methods))
    // Express answers HEAD wherever it answers GET.
    const named = taken.flatMap((name) => (name === 'get' ? ['GET', 'HEAD'] : name.toUpperCase()))
    const allowed = [...new Set(named)].join(', ')
    res.set('Allow', allowed)
    throw methodNotAllowed(allowed)
  }
}
