import { Router } from 'express'
import type { Context } from '../context.js'
import { authController } from '../controllers/auth.js'
import { messageController } from '../controllers/messages.js'
import { phoneNumberController } from '../controllers/phone-numbers.js'
import { statisticsController } from '../controllers/statistics.js'
import { userController } from '../controllers/users.js'
import { authenticate } from '../middleware/authenticate.js'
import { parseBody } from '../middleware/parse-body.js'
import { limitByAddress, limitByUser } from '../middleware/rate-limit.js'

/** The public API: everything a user can do. What stands above `authenticate` needs no key. */
export function apiRoutes(ctx: Context): Router {
  const { rate_limits, media } = ctx.config
  const auth = authController(ctx.users)
  const users = userController(ctx.users)
  const phoneNumbers = phoneNumberController(ctx.phoneNumbers)
  const messages = messageController(ctx.messages)
  const statistics = statisticsController(ctx.statistics)
  const body = parseBody()
  const limitAuth = limitByAddress('auth', rate_limits.auth_per_minute, ctx.redis)

  return Router()
    .post('/auth/register', limitAuth, body, auth.register)
    .post('/auth/login', limitAuth, body, auth.logIn)

    .use(authenticate(ctx.authenticator))
    .use(limitByUser('api', rate_limits.per_minute, ctx.redis))

    .get('/user/profile', users.profile)
    .post('/user/api-key/rotate', users.rotateApiKey)

    .post('/phone-numbers/create', body, phoneNumbers.create)
    .get('/phone-numbers', phoneNumbers.list)
    .get('/phone-numbers/:id/qr', phoneNumbers.qr)
    .get('/phone-numbers/:id/status', phoneNumbers.status)
    .delete('/phone-numbers/:id', phoneNumbers.delete)

    .post('/messages/send-text', body, messages.sendText)
    .post('/messages/send-media', parseBody({ max_file_bytes: media.max_bytes }), messages.sendMedia)

    .get('/statistics', statistics.statistics)
    .get('/dashboard', statistics.dashboard)
}
