import { Router } from 'express'
import type { Context } from '../context.js'
import { ingressController } from '../controllers/ingress.js'

/** For the Evolution servers only; nginx never routes here. */
export function internalRoutes(ctx: Context): Router {
  const ingress = ingressController(ctx.ingress, { api_key: ctx.config.engine.api_key })
  return Router().post('/evolution/:engine_name', ingress.receive)
}
