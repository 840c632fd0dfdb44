import { Router } from 'express'
import type { Context } from '../context.js'
import { authController } from '../controllers/auth.js'
import { bulkController } from '../controllers/bulk.js'
import { contactController } from '../controllers/contacts.js'
import { messageController } from '../controllers/messages.js'
import { phoneNumberController } from '../controllers/phone-numbers.js'
import { queueController } from '../controllers/queue.js'
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
  const messages = messageController({ messages: ctx.messages, reactions: ctx.reactions, files: ctx.messageMedia })
  const bulk = bulkController(ctx.bulk)
  const queue = queueController(ctx.queue)
  const contacts = contactController(ctx.contacts)
  const statistics = statisticsController(ctx.statistics)
  const body = parseBody()
  const bodyWithFile = parseBody({ max_file_bytes: media.max_bytes })
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

    .get('/phone-numbers/:id/queue', queue.show)
    .delete('/phone-numbers/:id/queue', queue.purge)
    .post('/phone-numbers/:id/queue/pause', queue.pause)
    .post('/phone-numbers/:id/queue/resume', queue.resume)

    .post('/messages/send-text', body, messages.send('text'))
    .post('/messages/send-media', bodyWithFile, messages.send('media'))
    .post('/messages/send-sticker', bodyWithFile, messages.send('sticker'))
    .post('/messages/send-location', body, messages.send('location'))
    .post('/messages/send-contact', body, messages.send('contact'))
    .post('/messages/send-poll', body, messages.send('poll'))
    .post('/messages/send-reaction', body, messages.react)
    .post('/messages/bulk', bodyWithFile, bulk.send)
    .get('/messages', messages.list)
    .get('/messages/:id', messages.show)
    .patch('/messages/:id', body, messages.reschedule)
    .get('/messages/:id/media', messages.media)
    .post('/messages/:id/cancel', messages.cancel)
    .post('/messages/:id/retry', messages.retry)
    .post('/contacts/check', body, contacts.check)

    .get('/statistics', statistics.statistics)
    .get('/dashboard', statistics.dashboard)
}
