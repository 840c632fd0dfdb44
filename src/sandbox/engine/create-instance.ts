import { randomUUID } from 'node:crypto'
import type { InstanceRow, InstanceSettings, Json, WebhookRow } from '../store/records.js'
import type { Engine } from './engine.js'
import { badRequest, databaseText } from './failure.js'
import { newRowId, newToken } from './ids.js'
import { Cleared } from './timers.js'
import { webhookFrom } from './webhook-settings.js'

/** How long each half of a create takes; simultaneous creates of one name meet in between. */
const STEP_MS = 4

/** Makes an instance. When that fails, whatever has its name is removed, also one that was there before. */
export async function createInstance(engine: Engine, body: Json): Promise<Json> {
  const name = body.instanceName as string
  try {
    return await create(engine, name, body)
  } catch (error) {
    // a server that stops in the middle cleans nothing up
    if (typeof name === 'string' && !(error instanceof Cleared)) engine.remove(name)
    throw error
  }
}

async function create(engine: Engine, name: string, body: Json): Promise<Json> {
  const { world } = engine
  const { database, timers, settings } = world
  checkIntegration(body)
  const row = newRow(name, body, settings.name)
  await timers.sleep(STEP_MS + (world.troubles.of(name).slow_create_ms ?? 0))
  if (typeof name !== 'string') throw missingRow('Setting_instanceId_fkey')
  if (database.instanceByName(name)) {
    throw badRequest(databaseText('Unique constraint failed on the fields: (`name`)'))
  }
  database.saveInstance(row)
  await timers.sleep(STEP_MS)
  if (!database.instanceById(row.id)) throw missingRow('Webhook_instanceId_fkey')

  const instance = engine.load(row)
  void instance.emit('instance.create', { instanceName: name, instanceId: row.id })
  const answer = present(row, body)
  if (body.qrcode !== true) return { ...answer, instance: { ...answer.instance, status: 'close' } }
  instance.connection.open(row.number ?? undefined)
  await timers.sleep(settings.connect_wait_ms * 2.5)
  return {
    ...answer,
    instance: { ...answer.instance, status: instance.connection.state },
    qrcode: instance.connection.presentQr(),
  }
}

/** The other channels are validated like the real ones, but there is nothing behind them. */
function checkIntegration({ integration, number, token }: Json): void {
  if (integration === 'WHATSAPP-BUSINESS') {
    if (!number) throw badRequest('number is required')
    if (!token) throw badRequest('token is required')
  }
  if (integration === 'WHATSAPP-BUSINESS' || integration === 'EVOLUTION') {
    throw badRequest('The sandbox has WHATSAPP-BAILEYS instances only')
  }
  if (integration !== 'WHATSAPP-BAILEYS') throw badRequest('Invalid integration')
}

function newRow(name: string, body: Json, clientName: string): InstanceRow {
  const id = randomUUID()
  const now = new Date().toISOString()
  const webhook = body.webhook as Json | undefined
  return {
    id,
    name,
    connectionStatus: 'close',
    ownerJid: null,
    profileName: null,
    profilePicUrl: null,
    number: (body.number as string | undefined) ?? null,
    token: (body.token as string | undefined) ?? newToken(),
    clientName,
    disconnectionReasonCode: null,
    disconnectionObject: null,
    disconnectionAt: null,
    createdAt: now,
    updatedAt: now,
    settingId: newRowId(),
    settings: settingsFrom(body),
    webhook: webhook?.['url'] ? firstWebhook(id, webhook) : null,
    paired: false,
  }
}

function firstWebhook(instanceId: string, webhook: Json): WebhookRow {
  const row = webhookFrom({ ...webhook, enabled: true }, instanceId)
  if (!row) throw badRequest("Cannot read properties of undefined (reading 'length')")
  return row
}

function settingsFrom(body: Json): InstanceSettings {
  const flag = (name: string) => body[name] === true
  const words = (name: string) => (typeof body[name] === 'string' ? body[name] : '')
  return {
    rejectCall: flag('rejectCall'),
    msgCall: words('msgCall'),
    groupsIgnore: flag('groupsIgnore'),
    alwaysOnline: flag('alwaysOnline'),
    readMessages: flag('readMessages'),
    readStatus: flag('readStatus'),
    syncFullHistory: flag('syncFullHistory'),
    wavoipToken: words('wavoipToken'),
  }
}

function present(row: InstanceRow, { webhook }: Json) {
  const asked = (webhook ?? {}) as Json
  return {
    instance: {
      instanceName: row.name,
      instanceId: row.id,
      integration: 'WHATSAPP-BAILEYS',
      webhookWaBusiness: null,
      accessTokenWaBusiness: '',
      status: 'close',
    },
    hash: row.token,
    webhook: {
      webhookUrl: asked.url,
      webhookHeaders: asked.headers,
      webhookByEvents: asked.byEvents,
      webhookBase64: asked['base64'],
    },
    websocket: {},
    rabbitmq: {},
    nats: {},
    sqs: {},
    settings: row.settings,
  }
}

const missingRow = (constraint: string) =>
  badRequest(databaseText(`Foreign key constraint violated on the constraint: \`${constraint}\``))
