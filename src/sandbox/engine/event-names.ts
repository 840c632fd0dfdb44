/** What /webhook/set lets one subscribe to. GROUP_UPDATE is Evolution's own slip: the event fired is groups.update. */
export const SUBSCRIBABLE_EVENTS = [
  'APPLICATION_STARTUP',
  'QRCODE_UPDATED',
  'MESSAGES_SET',
  'MESSAGES_UPSERT',
  'MESSAGES_EDITED',
  'MESSAGES_UPDATE',
  'MESSAGES_DELETE',
  'SEND_MESSAGE',
  'SEND_MESSAGE_UPDATE',
  'CONTACTS_SET',
  'CONTACTS_UPSERT',
  'CONTACTS_UPDATE',
  'PRESENCE_UPDATE',
  'CHATS_SET',
  'CHATS_UPSERT',
  'CHATS_UPDATE',
  'CHATS_DELETE',
  'GROUPS_UPSERT',
  'GROUP_UPDATE',
  'GROUP_PARTICIPANTS_UPDATE',
  'CONNECTION_UPDATE',
  'LABELS_EDIT',
  'LABELS_ASSOCIATION',
  'CALL',
  'TYPEBOT_START',
  'TYPEBOT_CHANGE_STATUS',
  'REMOVE_INSTANCE',
  'LOGOUT_INSTANCE',
  'INSTANCE_CREATE',
  'INSTANCE_DELETE',
  'STATUS_INSTANCE',
]

export type EventName =
  | 'instance.create'
  | 'instance.delete'
  | 'remove.instance'
  | 'logout.instance'
  | 'status.instance'
  | 'qrcode.updated'
  | 'connection.update'
  | 'messages.upsert'
  | 'messages.update'
  | 'messages.edited'
  | 'messages.delete'
  | 'send.message'
  | 'send.message.update'

/** `messages.upsert` -> `MESSAGES_UPSERT` */
export const subscriptionOf = (event: EventName): string => event.toUpperCase().replaceAll(/[.-]/g, '_')

/** `messages.upsert` -> `/messages-upsert`, appended to the URL with byEvents. */
export const pathOf = (event: EventName): string => `/${event.replaceAll(/[._]/g, '-')}`
