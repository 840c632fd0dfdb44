import { Bus } from './cache/bus.js'
import { Redis } from './cache/redis.js'
import { MediaClient } from './clients/media.js'
import { ServerPool } from './clients/server-pool.js'
import { WebhookHttp } from './clients/webhook-http.js'
import type { Config } from './config.js'
import { Database } from './db/database.js'
import type { Logger } from './logger.js'
import { createLogger } from './logger.js'
import { Acknowledgements } from './services/acknowledgements.js'
import { AccessTokens } from './services/access-tokens.js'
import { Authenticator } from './services/authenticator.js'
import { BulkService } from './services/bulk.js'
import { ContactService } from './services/contacts.js'
import { DeliveryService } from './services/deliveries.js'
import { Drafting } from './services/drafting.js'
import { HealthService } from './services/health.js'
import { IngressService } from './services/ingress.js'
import { InstanceService } from './services/instances.js'
import { Lanes } from './services/lanes.js'
import { Linking } from './services/linking.js'
import { MediaService } from './services/media.js'
import { Membership } from './services/membership.js'
import { MessageMediaService } from './services/message-media.js'
import { MessageService } from './services/messages.js'
import { PhoneNumberService } from './services/phone-numbers.js'
import { QueueService } from './services/queue.js'
import { Reactions } from './services/reactions.js'
import { Reconciliation } from './services/reconciliation.js'
import { RequestLog } from './services/request-log.js'
import { StatisticsService } from './services/statistics.js'
import { UserService } from './services/users.js'
import { WaitingRoom } from './services/waiting-room.js'
import { TargetGuard } from './webhooks/target-guard.js'

export type Context = ReturnType<typeof buildContext>

export type Resources = ReturnType<typeof openResources>

/** Opens everything that must be closed again. */
export function openResources(config: Config, log: Logger = createLogger(config.log.level)) {
  const webhookGuard = new TargetGuard({
    private_targets: config.webhooks.private_targets,
    setting: 'WEBHOOK_PRIVATE_TARGETS',
  })
  return {
    log,
    db: Database.connect(config.database),
    redis: config.redis.url ? new Redis(config.redis.url, log) : undefined,
    pool: new ServerPool(config.engine),
    media: new MediaClient({ private_targets: config.media.private_targets, max_bytes: config.media.max_bytes }),
    webhookGuard,
    webhookHttp: new WebhookHttp(webhookGuard),
  }
}

/** Wires the services. Nothing in here does I/O, so a test may call it with its own resources. */
export function buildContext(config: Config, resources: Resources) {
  const { log, db, redis, pool } = resources
  const bus = new Bus(redis)
  const tokens = new AccessTokens(config.auth.jwt_secret)
  const membership = new Membership(db, bus, config.role)
  const waitingRoom = new WaitingRoom(bus)
  const instances = new InstanceService(pool, config.engine)
  const linking = new Linking(db, instances, waitingRoom, bus)
  const lanes = new Lanes(db, pool, bus, membership, config.messages, log)
  const media = new MediaService(resources.media, config.media)
  const drafting = new Drafting(db, media, {
    default_country: config.users.default_country,
    ttl_seconds: config.messages.ttl_seconds,
  })
  const queue = new QueueService(db, bus)
  const messages = new MessageService(db, lanes, drafting, queue, waitingRoom)

  return {
    config,
    log,
    db,
    redis,
    bus,
    pool,
    membership,
    waitingRoom,
    instances,
    linking,
    lanes,
    authenticator: new Authenticator(db, tokens, bus),
    users: new UserService(db, tokens, bus, config.users),
    phoneNumbers: new PhoneNumberService(db, instances, linking, resources.webhookGuard),
    queue,
    messages,
    reactions: new Reactions(db, messages),
    messageMedia: new MessageMediaService(db, pool),
    bulk: new BulkService(db, drafting, bus, membership),
    contacts: new ContactService(db, pool, drafting, config.contacts),
    reconciliation: new Reconciliation(db, pool, bus, log),
    acknowledgements: new Acknowledgements(db, bus),
    statistics: new StatisticsService(db),
    ingress: new IngressService(db, bus, log),
    deliveries: new DeliveryService(db, resources.webhookHttp, log),
    requestLog: new RequestLog(db, log),
    health: new HealthService(db, redis),
  }
}
