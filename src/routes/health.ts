import { Router } from 'express'
import type { Context } from '../context.js'
import { healthController } from '../controllers/health.js'

export function healthRoutes(ctx: Context): Router {
  const health = healthController(ctx.health)
  return Router().get('/livez', health.live).get('/readyz', health.ready).get('/health', health.ready)
}
