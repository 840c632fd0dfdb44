import { Router } from 'express'
import { createInstance } from '../engine/create-instance.js'
import type { Engine } from '../engine/engine.js'
import { thrown } from '../engine/failure.js'
import { webhookFrom } from '../engine/webhook-settings.js'
import type { InstanceRow, Json } from '../store/records.js'
import { bodyOf, namesToFetch, queryOf, requireFreeName, requireGlobalKey } from './guards.js'
import { addInstanceRoute, created, ok, requireLoaded, requireValid, type Answer, type Call } from './instance-route.js'
import * as schemas from './request-schemas.js'

/** Failures of connect and restart are answered with 200. */
const SOMETHING_FAILED = ok({ error: true, message: '[object Object]' })

/** Making, connecting and removing instances, and their settings. */
export function instanceRoutes(engine: Engine): Router {
  const { world } = engine
  const router = Router()

  router.post('/instance/create', async (req, res) => {
    requireFreeName(engine, req)
    requireGlobalKey(engine, req)
    const body = bodyOf(req)
    requireValid(body, schemas.createInstance)
    const answer = await createInstance(engine, body)
    if (world.troubles.of(body.instanceName as string).create_times_out) {
      await world.timers.sleep(world.settings.hang_seconds * 1000)
    }
    res.status(201).json(answer)
  })

  router.get('/instance/fetchInstances', (req, res) => {
    const names = namesToFetch(engine, req)
    const rows = world.database.instancesWhere(
      (row) => row.clientName === world.settings.name && (names?.has(row.name) ?? true),
    )
    res.json(rows.map((row) => present(row, world.database.messages.count(row.id))))
  })

  addInstanceRoute(router, engine, {
    method: 'get',
    path: '/instance/connect',
    handle: (call) => connect(engine, call),
  })
  addInstanceRoute(router, engine, {
    method: 'post',
    path: '/instance/restart',
    handle: (call) => restart(engine, call),
  })
  addInstanceRoute(router, engine, {
    method: 'get',
    path: '/instance/connectionState',
    handle: ({ name }) => ok(stateOf(engine, name)),
  })
  addInstanceRoute(router, engine, {
    method: 'delete',
    path: '/instance/logout',
    handle: ({ name }) => {
      engine.logout(name)
      return succeeded('Instance logged out')
    },
  })
  addInstanceRoute(router, engine, {
    method: 'delete',
    path: '/instance/delete',
    handle: ({ name }) => {
      engine.delete(name)
      return succeeded('Instance deleted')
    },
  })
  addSettingRoutes(router, engine)
  return router
}

function addSettingRoutes(router: Router, engine: Engine): void {
  addInstanceRoute(router, engine, {
    method: 'post',
    path: '/webhook/set',
    schema: schemas.setWebhook,
    handle: ({ name, body }) => {
      const instance = requireLoaded(engine, name, 'instanceId')
      const webhook = webhookFrom(body.webhook as Json, instance.id, instance.row.webhook)
      if (!webhook) throw thrown("Cannot read properties of undefined (reading 'length')")
      instance.update({ webhook })
      return created(webhook)
    },
  })
  addInstanceRoute(router, engine, {
    method: 'get',
    path: '/webhook/find',
    handle: ({ name }) => ok(engine.get(name)?.row.webhook ?? null),
  })
  addInstanceRoute(router, engine, {
    method: 'post',
    path: '/settings/set',
    schema: schemas.setSettings,
    handle: ({ name, body }) => {
      const instance = requireLoaded(engine, name, 'setSettings')
      instance.update({ settings: { ...instance.row.settings, ...body } })
      return created({ settings: { instanceName: name, settings: body } })
    },
  })
  addInstanceRoute(router, engine, {
    method: 'get',
    path: '/settings/find',
    handle: ({ name }) => ok(engine.get(name)?.row.settings ?? null),
  })
}

async function connect(engine: Engine, { name, req }: Call): Promise<Answer> {
  const connection = engine.get(name)?.connection
  if (!connection) return SOMETHING_FAILED
  if (connection.state === 'open') return ok(stateOf(engine, name))
  if (connection.state === 'close') {
    connection.open(queryOf(req, 'number'))
    await engine.world.timers.sleep(engine.world.settings.connect_wait_ms)
  }
  return ok(connection.presentQr())
}

function restart(engine: Engine, { name }: Call): Answer {
  const connection = engine.get(name)?.connection
  if (!connection || connection.state === 'close') return SOMETHING_FAILED
  engine.world.troubles.instanceRestarted(name)
  connection.restart()
  return ok(connection.state === 'open' ? stateOf(engine, name) : connection.presentQr())
}

const stateOf = (engine: Engine, name: string) => ({
  instance: { instanceName: name, state: engine.get(name)?.connection.state },
})

const succeeded = (message: string): Answer => ok({ status: 'SUCCESS', error: false, response: { message } })

function present(row: InstanceRow, messages: number): Json {
  const { settings, settingId, ...columns } = row
  const absent = { Chatwoot: null, Proxy: null, Rabbitmq: null, Nats: null, Sqs: null, Websocket: null }
  const dates = { createdAt: row.createdAt, updatedAt: row.createdAt }
  return {
    ...columns,
    webhook: undefined,
    paired: undefined,
    integration: 'WHATSAPP-BAILEYS',
    businessId: null,
    ...absent,
    Setting: { id: settingId, ...settings, ...dates, instanceId: row.id },
    _count: { Message: messages, Contact: 0, Chat: 0 },
  }
}
