import { Router } from 'express'
import type { Context } from '../context.js'
import { apiKeyController } from '../controllers/api-keys.js'
import { authController } from '../controllers/auth.js'
import { bulkController } from '../controllers/bulk.js'
import { contactController } from '../controllers/contacts.js'
import { deliveryController } from '../controllers/deliveries.js'
import { eventController } from '../controllers/events.js'
import { linkController } from '../controllers/link.js'
import { messageController } from '../controllers/messages.js'
import { phoneNumberController } from '../controllers/phone-numbers.js'
import { queueController } from '../controllers/queue.js'
import { requestController } from '../controllers/requests.js'
import { statisticsController } from '../controllers/statistics.js'
import { userController } from '../controllers/users.js'
import { webhookController } from '../controllers/webhooks.js'
import { authenticate, requireScope } from '../middleware/authenticate.js'
import { parseBody } from '../middleware/parse-body.js'
import { refuseMethod } from '../middleware/refuse-method.js'
import { noteMount } from '../middleware/request-log.js'
import { ByteRoom } from '../services/byte-room.js'
import { limitByAddress, limitByKey, limitByUser } from '../middleware/rate-limit.js'

/** A wrong key is no guess at a password: it costs us less, and a program with an old key repeats it. */
const REFUSED_PER_LOGIN = 10

/** Large bodies at a time: each takes four times its length until it is stored, and a replica has 384 MB. */
const BODIES_BYTES = 24 * 1024 * 1024

/** The public API: everything a user can do. What stands above `authenticate` needs no key. */
export function apiRoutes(ctx: Context): Router {
  const { rate_limits, media } = ctx.config
  const apiKeys = apiKeyController(ctx.apiKeys)
  const auth = authController(ctx.users, ctx.profiles)
  const users = userController({ profiles: ctx.profiles, exporting: ctx.userExport, deletion: ctx.userDeletion })
  const link = linkController(ctx.linkPages, { brand: ctx.config.brand_name })
  const phoneNumbers = phoneNumberController(ctx)
  const messages = messageController({ messages: ctx.messages, reactions: ctx.reactions, files: ctx.messageMedia })
  const bulk = bulkController(ctx.bulk)
  const queue = queueController(ctx.queue)
  const contacts = contactController(ctx.contacts)
  const requests = requestController(ctx.requests)
  const statistics = statisticsController(ctx.statistics)
  const webhooks = webhookController(ctx.webhooks, ctx.webhookTester)
  const deliveries = deliveryController(ctx.redelivery)
  const events = eventController(ctx.eventFeed)
  const room = new ByteRoom(BODIES_BYTES)
  const body = parseBody({ room })
  const bodyWithFile = parseBody({ max_file_bytes: media.max_bytes, room })
  const limitAuth = limitByAddress('auth', rate_limits.auth_per_minute, ctx.redis)
  const limitRefused = limitByAddress('refused', rate_limits.auth_per_minute * REFUSED_PER_LOGIN, ctx.redis)

  const authRoutes = Router()
    .use(noteMount)
    .post('/register', limitAuth, body, auth.register)
    .post('/login', limitAuth, body, auth.logIn)
    .post('/reset-password', limitAuth, body, auth.resetPassword)

  return (
    Router()
      .use('/auth', authRoutes, limitRefused, refuseMethod(authRoutes))

      .use(authenticate(ctx.authenticator, limitRefused))
      .use(limitByUser('api', rate_limits.per_minute, ctx.redis))
      .use(limitByKey('key', ctx.redis))

      // Sending comes first: the router looks from the top.
      .post('/messages/send-text', requireScope('send'), body, messages.send('text'))
      .post('/messages/send-media', requireScope('send'), bodyWithFile, messages.send('media'))
      .post('/messages/send-sticker', requireScope('send'), bodyWithFile, messages.send('sticker'))
      .post('/messages/send-location', requireScope('send'), body, messages.send('location'))
      .post('/messages/send-contact', requireScope('send'), body, messages.send('contact'))
      .post('/messages/send-poll', requireScope('send'), body, messages.send('poll'))
      .post('/messages/send-reaction', requireScope('send'), body, messages.react)
      .post('/messages/bulk', requireScope('send'), bodyWithFile, bulk.send)
      .get('/messages', requireScope('read'), messages.list)
      .get('/messages/:id', requireScope('read'), messages.show)
      .patch('/messages/:id', requireScope('send'), body, messages.reschedule)
      .get('/messages/:id/media', requireScope('read'), messages.media)
      .post('/messages/:id/cancel', requireScope('send'), messages.cancel)
      .post('/messages/:id/retry', requireScope('send'), messages.retry)

      .get('/user/profile', requireScope('read'), users.profile)
      .patch('/user/profile', requireScope('account'), body, users.update)
      .post('/user/password', requireScope('account'), body, users.changePassword)
      .get('/user/export', requireScope('account', 'read'), users.export)
      .delete('/user', requireScope('account'), body, users.delete)
      .get('/requests', requireScope('account'), requests.list)
      .post('/user/api-key/rotate', requireScope('account'), apiKeys.rotateAll)

      .get('/api-keys', requireScope('account'), apiKeys.list)
      .post('/api-keys', requireScope('account'), body, apiKeys.create)
      .patch('/api-keys/:id', requireScope('account'), body, apiKeys.update)
      .delete('/api-keys/:id', requireScope('account'), apiKeys.delete)
      .post('/api-keys/:id/rotate', requireScope('account'), body, apiKeys.rotate)

      .post('/phone-numbers/create', requireScope('numbers'), body, phoneNumbers.create)
      .get('/phone-numbers', requireScope('read'), phoneNumbers.list)
      .patch('/phone-numbers/:id', requireScope('numbers'), body, phoneNumbers.update)
      .get('/phone-numbers/:id', requireScope('read'), phoneNumbers.status)
      .get('/phone-numbers/:id/qr', requireScope('numbers'), phoneNumbers.qr)
      .get('/phone-numbers/:id/qr.png', requireScope('numbers'), phoneNumbers.qr)
      .post('/phone-numbers/:id/pairing-code', requireScope('numbers'), body, phoneNumbers.pairingCode)
      .post('/phone-numbers/:id/reconnect', requireScope('numbers'), phoneNumbers.reconnect)
      .post('/phone-numbers/:id/restart', requireScope('numbers'), phoneNumbers.restart)
      .post('/phone-numbers/:id/logout', requireScope('numbers'), phoneNumbers.logout)
      .post('/phone-numbers/:id/link', requireScope('numbers'), body, link.create)
      .delete('/phone-numbers/:id/link', requireScope('numbers'), link.revoke)
      .get('/phone-numbers/:id/history', requireScope('read'), phoneNumbers.history)
      .get('/phone-numbers/:id/status', requireScope('read'), phoneNumbers.status)
      .delete('/phone-numbers/:id', requireScope('numbers'), phoneNumbers.delete)

      .get('/phone-numbers/:id/queue', requireScope('read'), queue.show)
      .delete('/phone-numbers/:id/queue', requireScope('send'), queue.purge)
      .post('/phone-numbers/:id/queue/pause', requireScope('send'), queue.pause)
      .post('/phone-numbers/:id/queue/resume', requireScope('send'), queue.resume)

      .post('/contacts/check', requireScope('send'), body, contacts.check)

      .get('/webhooks', requireScope('webhooks'), webhooks.list)
      .post('/webhooks', requireScope('webhooks'), body, webhooks.create)
      .get('/webhooks/:id', requireScope('webhooks'), webhooks.get)
      .patch('/webhooks/:id', requireScope('webhooks'), body, webhooks.update)
      .delete('/webhooks/:id', requireScope('webhooks'), webhooks.delete)
      .post('/webhooks/:id/rotate-secret', requireScope('webhooks'), body, webhooks.rotateSecret)
      .post('/webhooks/:id/test', requireScope('webhooks'), body, webhooks.test)
      .get('/webhooks/:id/deliveries', requireScope('webhooks'), deliveries.list)
      .post('/webhooks/:id/redeliver', requireScope('webhooks'), body, deliveries.redeliverRange)
      .get('/deliveries/:id', requireScope('webhooks'), deliveries.get)
      .post('/deliveries/:id/redeliver', requireScope('webhooks'), deliveries.redeliver)

      .get('/events', requireScope('read'), events.list)
      .get('/events/stream', requireScope('read'), events.stream)
      .get('/events/:id', requireScope('read'), events.get)

      .get('/statistics', requireScope('read'), statistics.statistics)
      .get('/dashboard', requireScope('read'), statistics.dashboard)
  )
}
