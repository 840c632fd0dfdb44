import { createHash, createHmac } from 'node:crypto'
import { type EngineAnswer, EngineUnreachable } from '../clients/engine-http.js'
import { type EngineWebhook, type EvolutionClient, WEBHOOK_EVENTS } from '../clients/evolution.js'
import type { ServerPool } from '../clients/server-pool.js'
import type { PhoneNumber } from '../db/phone-numbers.js'
import { AppError, unavailable } from '../errors.js'
import { engineNameOf } from './engine-names.js'

export type Placed = Pick<PhoneNumber, 'instance_name' | 'engine_generation' | 'server_instance' | 'receive_groups'>

/** The header by which our ingress knows an event of this instance; nothing is stored, so it can be re-applied. */
export const INGRESS_HEADER = 'x-ingress-secret'

export function ingressSecret(engineApiKey: string, engineName: string): string {
  return createHmac('sha256', engineApiKey).update(engineName).digest('hex')
}

export interface Qr {
  image: string
  pairing_code: string | null
}

/** Thrown when a server certainly did not get the request: another one may be tried. */
export class ServerNotReached extends Error {
  override name = 'ServerNotReached'
}

/** How long a create that was not answered may still be under way in the engine. */
const LATE_SECONDS = 600

/** Seconds to watch for an instance whose create ended with this error; null where it cannot appear any more. */
export function watchAfter(err: unknown): number | null {
  const cause = err instanceof AppError ? err.options.cause : undefined
  return cause instanceof EngineUnreachable && /^(ECONNABORTED|ETIMEDOUT)$/.test(cause.code) ? LATE_SECONDS : null
}

/** The engine's side of phone numbers: bringing instances to life and removing them. */
export class InstanceService {
  constructor(
    private readonly pool: ServerPool,
    private readonly options: { ingress_url: string; api_key: string },
  ) {}

  /**
   * Creates the instance, or finds that it exists. Never repeated blindly: a second create of one name can remove the
   * first. Throws ServerNotReached when nothing was done, `unavailable` when it is not known or was refused.
   */
  async create(phone: Placed): Promise<void> {
    const name = engineNameOf(phone)
    const client = this.pool.client(phone.server_instance)
    const answer = await client
      .createInstance(name, this.webhookOf(name), phone)
      .catch((err: unknown) => this.lookAfterSilence(client, name, err))
    if (answer.status === 201) return
    if (answer.status === 403 && (await this.state(client, name)) !== undefined) return
    throw unavailable(
      'The WhatsApp engine refused to create this phone number. Try again in a minute.',
      describe(answer),
    )
  }

  /** Opens a socket, which takes the engine about two seconds; the QR code often comes later, as an event. */
  async connect(phone: Placed, phoneNumber?: string): Promise<Qr | undefined> {
    const client = this.pool.client(phone.server_instance)
    const { body } = await client.connect(engineNameOf(phone), phoneNumber).catch((err: unknown) => {
      throw unavailable('The WhatsApp engine did not answer. Try again in a minute.', err)
    })
    const { base64, pairingCode } = (body ?? {}) as { base64?: unknown; pairingCode?: unknown }
    if (typeof base64 !== 'string' || !base64.startsWith('data:image/')) return undefined
    return { image: base64, pairing_code: typeof pairingCode === 'string' ? pairingCode : null }
  }

  /** `open`, `connecting`, `close`, `refused`; undefined when the engine does not know the instance. */
  stateOf(phone: Placed): Promise<string | undefined> {
    return this.state(this.pool.client(phone.server_instance), engineNameOf(phone))
  }

  /** As `stateOf`, the cheap way: also `missing`, and `elsewhere` when another server runs it. Throws EngineUnreachable. */
  async look(phone: Placed): Promise<string> {
    const answer = await this.pool.client(phone.server_instance).probe(engineNameOf(phone))
    if (isUnknown(answer)) return 'missing'
    if (answer.status !== 200) throw new EngineUnreachable(`HTTP_${answer.status}`, true)
    return stateIn(answer)
  }

  /**
   * What the server has in its database, whether it runs it or not: one that has just started answers 404 for instances
   * it is still to load. Expensive for the engine. Throws EngineUnreachable.
   */
  async listStored(serverInstance: string): Promise<Set<string>> {
    const { status, body } = await this.pool.client(serverInstance).fetchInstances()
    if (status !== 200 || !Array.isArray(body)) throw new EngineUnreachable(`HTTP_${status}`, true)
    return new Set(body.flatMap((row) => storedName(row) ?? []))
  }

  /**
   * Asks the engine to remove an instance; true when it is gone. The webhook goes first: a delete waits for it. Not while
   * the engine is still to load it: what it calls unknown then comes back, and a delete would only forget its row, so
   * that the session stays linked. Throws EngineUnreachable.
   */
  async remove(engineName: string, serverInstance: string): Promise<boolean> {
    const client = this.pool.client(serverInstance)
    const seen = await client.connectionState(engineName)
    if (isUnknown(seen)) return !(await this.listStored(serverInstance)).has(engineName)
    if (seen.status === 200 && stateIn(seen) === 'elsewhere') return false
    await client.setWebhook(engineName, { ...this.webhookOf(engineName), enabled: false })
    await client.deleteInstance(engineName)
    return isUnknown(await client.connectionState(engineName))
  }

  /** Closes an open socket and opens it again; false when the engine has none to restart. */
  async restart(phone: Placed): Promise<boolean> {
    const { status, body } = await this.pool.client(phone.server_instance).restart(engineNameOf(phone))
    return status === 200 && (body as { error?: unknown } | null)?.error !== true
  }

  /** Gives the instance our webhook and its settings again; false when the engine refuses. */
  async configure(phone: Placed): Promise<boolean> {
    const name = engineNameOf(phone)
    const client = this.pool.client(phone.server_instance)
    const [webhook, settings] = [
      await client.setWebhook(name, { ...this.webhookOf(name), enabled: true }),
      await client.setSettings(name, phone),
    ]
    return webhook.status === 201 && settings.status === 201
  }

  /**
   * Whether its events carry files, in base64, as somebody else may have wanted it. One that has our address already may
   * still do: its socket goes by what was set when it was opened.
   */
  async postsFiles(phone: Placed): Promise<boolean> {
    const name = engineNameOf(phone)
    const { body } = await this.pool.client(phone.server_instance).findWebhook(name)
    const found = body as { webhookBase64?: unknown; url?: unknown } | null
    return found?.webhookBase64 === true || found?.url === this.webhookOf(name).url
  }

  /** Whether the engine still posts where and what it should. */
  async isConfigured(phone: Placed): Promise<boolean> {
    const name = engineNameOf(phone)
    const { status, body } = await this.pool.client(phone.server_instance).findWebhook(name)
    if (status !== 200) return false
    const found = body as {
      url?: string
      enabled?: boolean
      events?: string[]
      headers?: Record<string, string>
      webhookByEvents?: boolean
      webhookBase64?: boolean
    } | null
    const { url, headers } = this.webhookOf(name)
    return (
      found?.enabled === true &&
      found.webhookByEvents !== true &&
      found.webhookBase64 !== true &&
      found.url === url &&
      found.headers?.[INGRESS_HEADER] === headers[INGRESS_HEADER] &&
      WEBHOOK_EVENTS.every((event) => found.events?.includes(event))
    )
  }

  /** Changes when the instance must be configured again. */
  fingerprint(phone: Placed): string {
    const parts = [this.webhookOf(engineNameOf(phone)), WEBHOOK_EVENTS, phone.receive_groups]
    return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22)
  }

  webhookOf(engineName: string): EngineWebhook {
    return {
      url: `${this.options.ingress_url}/internal/evolution/${encodeURIComponent(engineName)}`,
      headers: { [INGRESS_HEADER]: ingressSecret(this.options.api_key, engineName) },
    }
  }

  private async lookAfterSilence(client: EvolutionClient, name: string, err: unknown): Promise<EngineAnswer> {
    if (!(err instanceof EngineUnreachable)) throw err
    if (!err.written) throw new ServerNotReached(err.message, { cause: err })
    const state = await this.state(client, name)
    if (state === undefined) throw unavailable('The WhatsApp engine did not answer. Try again in a minute.', err)
    return { status: 201, body: undefined }
  }

  private async state(client: EvolutionClient, name: string): Promise<string | undefined> {
    try {
      const answer = await client.connectionState(name)
      if (isUnknown(answer)) return undefined
      if (answer.status !== 200)
        throw unavailable('The WhatsApp engine is not well. Try again in a minute.', describe(answer))
      return stateIn(answer)
    } catch (err) {
      if (err instanceof EngineUnreachable)
        throw unavailable('The WhatsApp engine cannot be reached. Try again in a minute.', err)
      throw err
    }
  }
}

/** The engine's own word that there is no such instance; the 404 of a proxy in front of it proves nothing. */
const isUnknown = ({ status, body }: EngineAnswer) =>
  status === 404 && /does not exist/.test(JSON.stringify(body) ?? '')

/** Without a state another server of the same database runs it. */
export const stateIn = ({ body }: EngineAnswer) =>
  (body as { instance?: { state?: string } } | null)?.instance?.state ?? 'elsewhere'

/** The name in a row of fetchInstances: version 1.8 nests what newer ones answer flat. */
export function storedName(row: unknown): string | undefined {
  const { name, instance } = row as { name?: unknown; instance?: { instanceName?: unknown } }
  const found = name ?? instance?.instanceName
  return typeof found === 'string' ? found : undefined
}

/** For the log only: the engine's texts may hold database errors. */
const describe = ({ status, body }: EngineAnswer) =>
  new Error(`engine answered ${status}: ${JSON.stringify(body)?.slice(0, 300)}`)
