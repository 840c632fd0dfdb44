import { Router } from 'express'
import * as chat from '../engine/chat.js'
import type { Engine } from '../engine/engine.js'
import { Failure } from '../engine/failure.js'
import type { Instance } from '../engine/instance.js'
import type { Json } from '../store/records.js'
import { addInstanceRoute, created, ok, requireLoaded, type Answer } from './instance-route.js'
import { violations, type Schema } from './json-schema.js'
import * as schemas from './request-schemas.js'

interface Differently {
  answer?: (body: unknown) => Answer
  schema?: Schema
  method?: 'post' | 'delete'
}

/** Finding messages, media, numbers, read marks, presence, edits and deletions. */
export function chatRoutes(engine: Engine): Router {
  const router = Router()
  const add = (
    path: string,
    work: (instance: Instance, body: Json) => unknown,
    { answer = created, schema = schemas.anything, method = 'post' }: Differently = {},
  ): void =>
    addInstanceRoute(router, engine, {
      method,
      path: `/chat/${path}`,
      schema,
      handle: async ({ name, body }): Promise<Answer> => answer(await work(requireLoaded(engine, name, path), body)),
    })

  add('findMessages', chat.findMessages, { answer: ok })
  add('findStatusMessage', chat.findStatuses, { answer: ok })
  add('whatsappNumbers', (instance, body) => chat.whatsappNumbers(instance, requireNumbers(body)), { answer: ok })
  add('getBase64FromMediaMessage', chat.mediaOf)
  add('markMessageAsRead', chat.markAsRead, { schema: schemas.markMessageAsRead })
  add('sendPresence', chat.showPresence, { schema: schemas.sendPresence })
  add('updateMessage', chat.updateMessage, { answer: ok })
  add('deleteMessageForEveryone', chat.deleteForEveryone, { method: 'delete', schema: schemas.deleteMessage })
  return router
}

/** This route alone puts its complaints beside the status instead of below `response`. */
function requireNumbers(body: Json, schema: Schema = schemas.whatsappNumbers): Json {
  const found = violations(body, schema)
  if (found.length > 0) throw new Failure(400, { status: 400, error: 'Bad Request', message: [found] })
  return body
}
