import type { Json, WebhookRow } from '../store/records.js'
import { SUBSCRIBABLE_EVENTS } from './event-names.js'
import { newRowId } from './ids.js'

/**
 * The row for what was asked. Members that are missing keep their value, an empty list of events means all of them,
 * and without a list there is no row: Evolution fails there.
 */
export function webhookFrom(asked: Json, instanceId: string, before?: WebhookRow | null): WebhookRow | undefined {
  const enabled = asked.enabled === true
  const events = enabled ? (asked.events as string[] | undefined) : []
  if (!events) return undefined
  const now = new Date().toISOString()
  return {
    id: before?.id ?? newRowId(),
    url: asked.url as string,
    headers: (asked.headers as Record<string, string> | undefined) ?? before?.headers ?? null,
    enabled,
    events: enabled && events.length === 0 ? SUBSCRIBABLE_EVENTS : events,
    webhookByEvents: (asked.byEvents as boolean | undefined) ?? before?.webhookByEvents ?? false,
    webhookBase64: (asked['base64'] as boolean | undefined) ?? before?.webhookBase64 ?? false,
    createdAt: before?.createdAt ?? now,
    updatedAt: now,
    instanceId,
  }
}
