import { Router } from 'express'
import type { Context } from '../context.js'
import { ingressController } from '../controllers/ingress.js'
import { onlyFrom } from '../middleware/only-from.js'

/** For the Evolution servers only; nginx routes here those of other hosts, when told to. */
export function internalRoutes(ctx: Context): Router {
  const { api_key, ingress_allow_cidr } = ctx.config.engine
  const ingress = ingressController(ctx.ingress, { api_key })
  return (
    Router()
      .use(onlyFrom(ingress_allow_cidr))
      .post('/evolution/:engine_name', ingress.receive)
      // Somebody may have switched byEvents on in Evolution's manager; until that is set right nothing is to be lost.
      .post('/evolution/:engine_name/:event', ingress.receive)
  )
}
