import { Router, type Request, type Response } from 'express'
import * as content from '../engine/content.js'
import type { Engine } from '../engine/engine.js'
import { badRequest } from '../engine/failure.js'
import { isBase64, isUrl } from '../engine/media.js'
import { send, type SendAnswer } from '../engine/send.js'
import type { Json } from '../store/records.js'
import { addInstanceRoute, requireLoaded } from './instance-route.js'
import type { Schema } from './json-schema.js'
import * as schemas from './request-schemas.js'

interface SendRoute {
  schema: Schema
  /** The name of Evolution's method, which shows in the error of a server that does not run the instance. */
  method: string
  build: content.Build
  check?: (body: Json) => void
}

const requireMedia =
  (member: string, complaint = 'Owned media must be a url or base64') =>
  (body: Json): void => {
    if (!isUrl(body[member]) && !isBase64(body[member])) throw badRequest(complaint)
  }

function checkMedia(body: Json): void {
  if (isBase64(body.media) && !body.fileName && body.mediatype === 'document') {
    throw badRequest('For base64 the file name must be informed.')
  }
  requireMedia('media')(body)
}

const SEND_ROUTES: Record<string, SendRoute> = {
  sendText: { schema: schemas.sendText, method: 'textMessage', build: content.text },
  sendMedia: { schema: schemas.sendMedia, method: 'mediaMessage', build: content.media, check: checkMedia },
  sendWhatsAppAudio: {
    schema: schemas.sendVoice,
    method: 'audioWhatsapp',
    build: content.voice,
    check: requireMedia('audio', 'Owned media must be a url, base64, or valid file with buffer'),
  },
  sendSticker: {
    schema: schemas.sendSticker,
    method: 'mediaSticker',
    build: content.sticker,
    check: requireMedia('sticker'),
  },
  sendPtv: {
    schema: schemas.sendRoundVideo,
    method: 'ptvMessage',
    build: content.roundVideo,
    check: requireMedia('video'),
  },
  sendLocation: { schema: schemas.sendLocation, method: 'locationMessage', build: content.location },
  sendContact: { schema: schemas.sendContact, method: 'contactMessage', build: content.contact },
  sendPoll: { schema: schemas.sendPoll, method: 'pollMessage', build: content.poll },
  sendReaction: { schema: schemas.sendReaction, method: 'reactionMessage', build: content.reaction },
}

/** Every way to send. */
export function messageRoutes(engine: Engine): Router {
  const router = Router()
  for (const [name, { schema, method, build, check }] of Object.entries(SEND_ROUTES)) {
    addInstanceRoute(router, engine, {
      method: 'post',
      path: `/message/${name}`,
      schema,
      handle: async ({ name: instanceName, body, req, res }) => {
        check?.(body)
        const instance = requireLoaded(engine, instanceName, method)
        const recipient = name === 'sendReaction' ? (body.key as Json).remoteJid : body.number
        deliver(await send(instance, body, build, recipient as string), req, res)
        return undefined
      },
    })
  }
  return router
}

function deliver(answer: SendAnswer, req: Request, res: Response): void {
  switch (answer.kind) {
    case 'created':
      res.status(201).json(answer.body)
      break
    case 'html_500':
      res.status(500).type('html').send('<html><body><h1>500 Internal Server Error</h1><hr>nginx</body></html>')
      break
    case 'reset':
      req.socket.resetAndDestroy()
  }
}
