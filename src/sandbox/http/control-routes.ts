import { Router, type Request } from 'express'
import { z } from 'zod'
import type { Controls } from '../controls.js'
import { ORDINARY } from '../engine/behaviours.js'
import type { Engine } from '../engine/engine.js'
import { failure } from '../engine/failure.js'
import { Troubles } from '../engine/troubles.js'
import { MAGIC_GROUP, MAGIC_RECIPIENTS } from '../magic-recipients.js'
import { queryOf, requireGlobalKey } from './guards.js'

const Profile = z.strictObject({ phone: z.string().regex(/^\d+$/).optional(), name: z.string().optional() })
const Media = z.strictObject({
  type: z.enum(['image', 'video', 'audio', 'document', 'sticker']),
  base64: z.string(),
  mimetype: z.string(),
  caption: z.string().optional(),
  file_name: z.string().optional(),
})
const Written = z.strictObject({
  chat: z.string(),
  text: z.string().optional(),
  media: Media.optional(),
  message: z.record(z.string(), z.unknown()).optional(),
  quoted_key_id: z.string().optional(),
  push_name: z.string().optional(),
  lid: z.boolean().optional(),
  group: z.string().optional(),
  key_id: z.string().optional(),
})
const KeyId = z.strictObject({ key_id: z.string() })
const InTrouble = Troubles.extend({ instance: z.string().optional() })
const Recipient = z.strictObject({ number: z.string(), behaviour: z.record(z.string(), z.unknown()) })
const Group = z.strictObject({ jid: z.string().endsWith('@g.us'), name: z.string() })
const LedgerQuery = z.object({
  instance: z.string().optional(),
  recipient: z.string().optional(),
  text: z.string().optional(),
  min_count: z.coerce.number().int().positive().optional(),
  limit: z.coerce.number().int().nonnegative().optional(),
})

/** The controls over HTTP; every call needs the global key. */
export function controlRoutes(engine: Engine, controls: Controls): Router {
  const router = Router()
  router.use((req, _res, next) => {
    requireGlobalKey(engine, req)
    next()
  })
  addLooks(router, controls)
  addTroubles(router, controls)
  addPhone(router, controls)
  return router
}

function addLooks(router: Router, controls: Controls): void {
  router.get('/instances', (_req, res) => void res.json({ instances: controls.instances() }))
  router.get('/recipients', (_req, res) => void res.json({ recipients: MAGIC_RECIPIENTS, group: MAGIC_GROUP }))
  router.get('/reads', (_req, res) => void res.json({ reads: controls.reads }))
  router.get('/ledger', (req, res) => {
    const query = read(LedgerQuery, req.query)
    res.json({
      total: controls.ledger.total,
      counts: controls.ledger.countsOf(query),
      messages: controls.ledger.messagesOf(query),
    })
  })
  router.get('/requests', (req, res) => {
    res.json(controls.requests({ path: queryOf(req, 'path'), method: queryOf(req, 'method') }))
  })
  router.delete('/requests', (_req, res) => {
    controls.clearRequests()
    res.json({ ok: true })
  })
}

function addTroubles(router: Router, controls: Controls): void {
  router.get('/troubles', (_req, res) => void res.json(controls.troubles()))
  router.post('/troubles', (req, res) => {
    const { instance, ...troubles } = read(InTrouble, req.body)
    controls.setTroubles(troubles, instance)
    res.json(controls.troubles())
  })
  router.delete('/troubles', (req, res) => {
    controls.clearTroubles(queryOf(req, 'instance'))
    res.json(controls.troubles())
  })
  router.post('/recipients', (req, res) => {
    const { number, behaviour } = read(Recipient, req.body)
    const unknown = Object.keys(behaviour).filter((member) => !(member in ORDINARY))
    if (unknown.length > 0) throw failure(400, [`unknown behaviour: ${unknown.join(', ')}`])
    controls.teachRecipient(number, behaviour)
    res.json({ ok: true })
  })
  router.post('/groups', (req, res) => {
    const { jid, name } = read(Group, req.body)
    controls.addGroup(jid, name)
    res.json({ ok: true })
  })
}

function addPhone(router: Router, controls: Controls): void {
  const add = (path: string, act: (name: string, body: unknown) => unknown): void => {
    router.post(`/instances/:name/${path}`, (req: Request, res) => {
      res.json({ ok: true, ...(act(req.params.name as string, req.body ?? {}) as object | undefined) })
    })
  }
  router.get('/instances/:name', (req, res) => void res.json(controls.instance(req.params.name)))
  add('scan', (name, body) => ({ instance: controls.scan(name, read(Profile, body)) }))
  add('incoming', (name, body) => ({ key_id: controls.incoming(name, read(Written, body)) }))
  add('typed', (name, body) => ({ key_id: controls.typed(name, read(Written, body)) }))
  add('disconnect', (name, body) => controls.disconnect(name, read(z.strictObject({ code: z.int() }), body).code))
  add('status', (name, body) => {
    const { key_id, status } = read(KeyId.extend({ status: z.string() }), body)
    return { reported: controls.status(name, key_id, status) }
  })
  add('edit', (name, body) => {
    const { key_id, text } = read(KeyId.extend({ text: z.string() }), body)
    return { reported: controls.edit(name, key_id, text) }
  })
  add('revoke', (name, body) => ({ reported: controls.revoke(name, read(KeyId, body).key_id) }))
}

function read<Output>(schema: z.ZodType<Output>, value: unknown): Output {
  const result = schema.safeParse(value)
  if (!result.success) throw failure(400, [z.prettifyError(result.error)])
  return result.data
}
