import { fileURLToPath } from 'node:url'
import express from 'express'
import type { Context } from './context.js'
import { isDatabaseDown } from './db/database.js'
import { noSuchAddress } from './errors.js'
import { handleErrors } from './middleware/handle-errors.js'
import { refuseMethod } from './middleware/refuse-method.js'
import { requestId } from './middleware/request-id.js'
import { requestLog } from './middleware/request-log.js'
import { adminRoutes } from './routes/admin.js'
import { securityHeaders } from './middleware/security-headers.js'
import { apiRoutes } from './routes/api.js'
import { healthRoutes } from './routes/health.js'
import { internalRoutes } from './routes/internal.js'
import { pageRoutes } from './routes/pages.js'

/** Small files of each kind for trying out send-media without the internet; served in sandbox mode only. */
const SAMPLES = fileURLToPath(new URL('../samples/', import.meta.url))

export function buildApp(ctx: Context): express.Express {
  const app = express()
  app.disable('x-powered-by')
  app.set('trust proxy', ctx.config.http.trust_proxy)
  app.set('etag', false)
  const logged = requestLog(ctx.log, ctx.requestLog)
  const [api, admin] = [apiRoutes(ctx), adminRoutes(ctx)]
  app.use(requestId())
  // What is called most comes first: every layer before it costs each of its requests.
  app.use('/internal', logged, internalRoutes(ctx))
  app.use(['/api/v1/admin', '/api/admin'], logged, securityHeaders(), admin, refuseMethod(admin), notThere)
  app.use(['/api/v1', '/api'], logged, securityHeaders(), api, refuseMethod(api), notThere)
  app.use(healthRoutes(ctx))
  app.use(logged)
  app.use('/', pageRoutes(ctx))
  app.use(securityHeaders())
  if (ctx.config.sandbox) app.use('/samples', express.static(SAMPLES, { index: false, redirect: false }))
  app.use(notThere)
  app.use(handleErrors(ctx.log, isDatabaseDown))
  return app
}

function notThere() {
  throw noSuchAddress()
}
