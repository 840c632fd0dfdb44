import { Router } from 'express'
import type { Context } from '../context.js'
import { adminReportController } from '../controllers/admin-reports.js'
import { adminServerController } from '../controllers/admin-servers.js'
import { adminUserController } from '../controllers/admin-users.js'
import { audit, requireOperator } from '../middleware/operator.js'
import { parseBody } from '../middleware/parse-body.js'
import { limitByAddress } from '../middleware/rate-limit.js'

/** The operator's calls. Whatever changes something is noted in the audit log first. */
export function adminRoutes(ctx: Context): Router {
  const users = adminUserController(ctx.adminUsers, ctx.plans)
  const servers = adminServerController(ctx.serverAdministration, ctx.evacuation, ctx.instanceImport)
  const reports = adminReportController(ctx.adminReports)
  const body = parseBody()
  const noted = (action: string) => [body, audit(ctx.adminReports, ctx.log, action)]

  return Router()
    .use(limitByAddress('admin', ctx.config.rate_limits.auth_per_minute, ctx.redis))
    .use(requireOperator(ctx.config.admin.api_key))

    .get('/users', users.list)
    .post('/users', noted('users.create'), users.create)
    .get('/users/:id', users.get)
    .patch('/users/:id', noted('users.update'), users.update)
    .post('/users/:id/suspend', noted('users.suspend'), users.suspend)
    .post('/users/:id/activate', noted('users.activate'), users.activate)
    .post('/users/:id/password-reset', noted('users.password_reset'), users.resetLink)
    .delete('/users/:id', noted('users.delete'), users.purge)

    .get('/plans', users.listPlans)
    .post('/plans', noted('plans.create'), users.createPlan)
    .patch('/plans/:plan_type', noted('plans.update'), users.updatePlan)

    .get('/servers', servers.list)
    .post('/servers', noted('servers.add'), servers.add)
    .get('/servers/:name', servers.get)
    .patch('/servers/:name', noted('servers.update'), servers.update)
    .delete('/servers/:name', noted('servers.remove'), servers.remove)
    .post('/servers/:name/evacuate', noted('servers.evacuate'), servers.evacuate)
    .get('/servers/:name/instances', servers.instances)
    .post('/servers/:name/import', noted('servers.import'), servers.import)

    .get('/phone-numbers', reports.numbers)
    .get('/queues', reports.queues)
    .get('/usage', reports.usage)
    .get('/usage.csv', reports.usageCsv)
    .get('/audit-log', reports.audit)
}
