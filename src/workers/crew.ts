import type { Context } from '../context.js'
import { ConnectionReconciler } from './connection-reconciler.js'
import { DeliveryWorker } from './delivery-worker.js'
import { EnginePruner } from './engine-pruner.js'
import { InstanceRemover } from './instance-remover.js'
import { Pruner } from './pruner.js'
import { ServerInspector } from './server-inspector.js'
import { ServerMonitor } from './server-monitor.js'
import { Worker } from './worker.js'

export type Crew = ReturnType<typeof buildCrew>

/** Everything that works without being asked. A process of role `api` keeps its own sends and looks out for trouble. */
export function buildCrew(ctx: Context) {
  const { db, log, bus, config } = ctx
  const delivery = new DeliveryWorker(ctx.deliveries, bus, log)
  const monitor = new ServerMonitor(db, ctx.pool, log)
  const remover = new InstanceRemover(db, ctx.instances, log)
  const reconciler = new ConnectionReconciler(db, ctx.instances, ctx.changes, log, config.engine)
  const inspector = new ServerInspector(db, ctx.pool, log)
  const pruner = new Pruner(db, config.retention)
  const enginePruner = new EnginePruner(db, config.retention.evolution_message_days)
  const worker = (name: string, every_ms: number, round: () => Promise<unknown>) =>
    new Worker(name, { every_ms, log }, round)

  const lanes = worker('lanes', 500, () => ctx.lanes.runDue())
  bus.on('lanes.due', () => lanes.wake())

  return {
    delivery,
    monitor,
    remover,
    reconciler,
    inspector,
    pruner,
    enginePruner,
    always: [
      worker('heartbeat', 3_000, () => ctx.membership.beat()),
      worker('lost-claims', 10_000, () => ctx.lanes.recoverLost()),
      worker('server-monitor', 10_000, () => monitor.checkAll()),
      // Also where no worker runs: that is what they must be able to tell.
      worker('alerts', 15_000, () => ctx.alerts.runOnce()),
    ],
    workers: [
      lanes,
      worker('undertaker', 5_000, () => ctx.membership.buryDead()),
      worker('scheduler', 1_000, () => ctx.queue.releaseScheduled()),
      worker('queue-expiry', 15_000, () => ctx.queue.expire()),
      worker('reconciliation', 2_000, () => ctx.reconciliation.runDue()),
      worker('silence', 30_000, () => ctx.acknowledgements.warnSilent()),
      worker('ack-ratio', 60_000, () => ctx.acknowledgements.measure()),
      worker('instance-remover', 2_000, () => remover.runDue()),
      worker('connection-reconciler', 5_000, () => reconciler.runOnce()),
      worker('number-history', 3_600_000, () => reconciler.prune()),
      worker('connection-suspicion', 120_000, () => reconciler.suspect()),
      worker('user-expiry', 60_000, () => ctx.expiry.runOnce()),
      worker('unlinked-numbers', 60_000, () => reconciler.parkUnlinked()),
      worker('server-inspector', 10_000, () => inspector.runOnce()),
      worker('gap-watch', 5_000, () => ctx.gaps.watch()),
      worker('gap-filler', 2_000, () => ctx.gaps.runDue()),
      worker('time-zones', 5_000, () => ctx.profiles.switchTimeZones()),
      worker('user-deletion', 5_000, () => ctx.userDeletion.runOnce()),
      worker('login-backoff', 3_600_000, () => ctx.loginBackoff.prune()),
      worker('pruner', 600_000, () => pruner.runOnce()),
      worker('engine-pruner', 6 * 3_600_000, () => enginePruner.runOnce()),
    ],
  }
}
