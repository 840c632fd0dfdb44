import { Bus } from './cache/bus.js'
import { Redis } from './cache/redis.js'
import { AlertChannel } from './clients/alert-channel.js'
import { MediaClient } from './clients/media.js'
import { ServerPool } from './clients/server-pool.js'
import { WebhookHttp } from './clients/webhook-http.js'
import type { Config } from './config.js'
import { Database } from './db/database.js'
import type { Logger } from './logger.js'
import { createLogger } from './logger.js'
import { AdminReports } from './services/admin-reports.js'
import { AdminUsers } from './services/admin-users.js'
import { Acknowledgements } from './services/acknowledgements.js'
import { AccessTokens } from './services/access-tokens.js'
import { Alerts } from './services/alerts.js'
import { ApiKeyService } from './services/api-keys.js'
import { Authenticator } from './services/authenticator.js'
import { BulkService } from './services/bulk.js'
import { ContactService } from './services/contacts.js'
import { systemClock } from './services/clock.js'
import { DeliveryService } from './services/deliveries.js'
import { Drafting } from './services/drafting.js'
import { Evacuation } from './services/evacuation.js'
import { EventFeed } from './services/event-feed.js'
import { FeedWatch } from './services/feed-watch.js'
import { GapFiller } from './services/gap-filler.js'
import { HealthService } from './services/health.js'
import { IngressService } from './services/ingress.js'
import { InstanceImport } from './services/instance-import.js'
import { InstanceRemovals } from './services/instance-removals.js'
import { InstanceService } from './services/instances.js'
import { KeyUsage } from './services/key-usage.js'
import { Lanes } from './services/lanes.js'
import { LinkPages } from './services/link-pages.js'
import { Linking } from './services/linking.js'
import { Load } from './services/load.js'
import { LoginBackoff } from './services/login-backoff.js'
import { MediaService } from './services/media.js'
import { Membership } from './services/membership.js'
import { MessageMediaService } from './services/message-media.js'
import { MessageService } from './services/messages.js'
import { NumberChanges } from './services/number-changes.js'
import { NumberCreation } from './services/number-creation.js'
import { NumberConnections } from './services/number-connections.js'
import { NumberReports } from './services/number-reports.js'
import { NumberSettings } from './services/number-settings.js'
import { PhoneNumberService } from './services/phone-numbers.js'
import { PlanService } from './services/plans.js'
import { Placement } from './services/placement.js'
import { ProfileService } from './services/profiles.js'
import { QueueService } from './services/queue.js'
import { Reactions } from './services/reactions.js'
import { Reconciliation } from './services/reconciliation.js'
import { RedeliveryService } from './services/redelivery.js'
import { RequestService } from './services/requests.js'
import { RequestLog } from './services/request-log.js'
import { ServerAdministration } from './services/server-administration.js'
import { StatisticsService } from './services/statistics.js'
import { UserDeletion } from './services/user-deletion.js'
import { UserExport } from './services/user-export.js'
import { UserExpiry } from './services/user-expiry.js'
import { UserService } from './services/users.js'
import { WaitingRoom } from './services/waiting-room.js'
import { WebhookTester } from './services/webhook-tester.js'
import { WebhookService } from './services/webhooks.js'
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
    alertChannel: config.alerts.url ? new AlertChannel({ url: config.alerts.url, from: config.brand_name }) : undefined,
  }
}

/** Wires the services. Nothing in here does I/O, so a test may call it with its own resources. */
export function buildContext(config: Config, resources: Resources) {
  const { log, db, redis, pool } = resources
  const bus = new Bus(redis)
  const clock = systemClock()
  const tokens = new AccessTokens(config.auth.jwt_secret)
  const keyUsage = new KeyUsage(db, log)
  const membership = new Membership(db, bus, config.role)
  const waitingRoom = new WaitingRoom(bus)
  const instances = new InstanceService(pool, config.engine)
  const placement = new Placement(db, pool, config.engine)
  const changes = new NumberChanges(db, bus)
  const linking = new Linking(db, instances, placement, changes, waitingRoom)
  const removals = new InstanceRemovals(db, instances)
  const lanes = new Lanes(db, pool, bus, membership, waitingRoom, config.messages, log)
  const ingress = new IngressService(db, bus, log)
  const feedWatch = new FeedWatch(db, bus)
  const { webhookHttp, webhookGuard } = resources
  const media = new MediaService(resources.media, config.media)
  const drafting = new Drafting(db, media, {
    default_country: config.users.default_country,
    ttl_seconds: config.messages.ttl_seconds,
  })
  const queue = new QueueService(db, bus)
  const messages = new MessageService(db, lanes, drafting, queue, waitingRoom)
  const phoneNumbers = new PhoneNumberService(db, removals, bus)
  const numberCreation = new NumberCreation(db, linking, placement, webhookGuard, waitingRoom)
  const webhooks = new WebhookService(db, webhookGuard, bus, clock)
  const numberConnections = new NumberConnections(db, instances, linking, changes, removals, config.users)
  const loginBackoff = new LoginBackoff(db, clock, config.auth.jwt_secret)
  const profiles = new ProfileService(db, tokens, loginBackoff, bus, clock)
  const userDeletion = new UserDeletion(db, profiles, phoneNumbers, bus, clock, log)
  const expiry = new UserExpiry(db, bus, config.expiry)
  const parked = () => waitingRoom.size + feedWatch.size
  const load = new Load({ parked, commits: () => lanes.backlog }, config.http, log)

  return {
    config,
    log,
    db,
    redis,
    bus,
    clock,
    pool,
    membership,
    waitingRoom,
    instances,
    linking,
    lanes,
    authenticator: new Authenticator(db, tokens, keyUsage, bus),
    keyUsage,
    apiKeys: new ApiKeyService(db, bus),
    users: new UserService(db, tokens, loginBackoff, config.users),
    profiles,
    loginBackoff,
    load,
    userExport: new UserExport(db),
    userDeletion,
    requests: new RequestService(db),
    phoneNumbers,
    placement,
    changes,
    expiry,
    plans: new PlanService(db, bus),
    adminUsers: new AdminUsers(db, expiry, changes, userDeletion, {
      public_url: config.http.public_url,
      default_time_zone: config.users.default_time_zone,
    }),
    adminReports: new AdminReports(db),
    alerts: new Alerts(db, placement, resources.alertChannel, config.alerts, log),
    serverAdministration: new ServerAdministration(db, pool, placement),
    evacuation: new Evacuation(db, changes),
    instanceImport: new InstanceImport(db, pool, instances, changes),
    numberCreation,
    numberConnections,
    linkPages: new LinkPages(db, linking, numberConnections, config.http),
    numberSettings: new NumberSettings(db, instances, webhooks),
    numberReports: new NumberReports(db),
    queue,
    messages,
    reactions: new Reactions(db, messages),
    messageMedia: new MessageMediaService(db, pool),
    bulk: new BulkService(db, drafting, bus),
    contacts: new ContactService(db, pool, drafting, config.contacts),
    reconciliation: new Reconciliation(db, pool, bus, log),
    acknowledgements: new Acknowledgements(db, bus),
    statistics: new StatisticsService(db),
    ingress,
    gaps: new GapFiller(db, pool, ingress, clock, log),
    webhooks,
    webhookTester: new WebhookTester(db, webhookHttp, clock),
    deliveries: new DeliveryService(db, webhookHttp, bus, clock, log),
    redelivery: new RedeliveryService(db, bus, clock),
    feedWatch,
    eventFeed: new EventFeed(db, feedWatch),
    requestLog: new RequestLog(db, log),
    health: new HealthService(db, redis),
  }
}
