import type { Queryable } from './database.js'

/** The parts of an export, in its order. No secret is among the columns: no hash, no token, no header's value. */
const SECTIONS = {
  api_keys: `select id as key, json_build_object('id', id, 'name', name, 'hint', hint, 'scopes', scopes,
                    'created_at', created_at, 'expires_at', expires_at, 'revoked_at', revoked_at,
                    'last_used_at', last_used_at) as line
               from api_keys where user_id = $1 and id > $2::bigint order by id limit $3`,
  phone_numbers: `select id as key, json_build_object('id', id, 'instance_name', instance_name,
                         'phone_number', phone_number, 'display_name', display_name, 'status', status,
                         'status_reason', status_reason, 'metadata', metadata, 'receive_groups', receive_groups,
                         'created_at', created_at, 'first_connected_at', first_connected_at, 'deleted_at', deleted_at) as line
                    from phone_numbers where user_id = $1 and id > $2::bigint order by id limit $3`,
  webhooks: `select id as key, json_build_object('id', id, 'phone_number_id', phone_number_id, 'url', url,
                    'description', description, 'event_types', event_types, 'enabled', enabled,
                    'header_names', array(select jsonb_object_keys(headers)), 'created_at', created_at,
                    'deleted_at', deleted_at) as line
               from webhooks where user_id = $1 and id > $2::bigint order by id limit $3`,
  usage: `select day - date '2000-01-01' as key, json_build_object('day', day, 'messages_used', used) as line
            from daily_usage where user_id = $1 and day - date '2000-01-01' > $2::bigint order by day limit $3`,
  statistics: `select s.date - date '2000-01-01' as key,
                      json_build_object('date', s.date, 'phone_numbers', json_agg(json_build_object(
                        'id', p.id, 'messages_sent', s.messages_sent, 'messages_received', s.messages_received,
                        'media_sent', s.media_sent, 'media_received', s.media_received) order by p.id)) as line
                 from phone_numbers p join message_stats s on s.phone_number_id = p.id
                where p.user_id = $1 and s.date - date '2000-01-01' > $2::bigint
                group by s.date order by s.date limit $3`,
  messages: `select id as key, json_build_object('id', id, 'phone_number_id', phone_number_id, 'direction', direction,
                    'source', source, 'type', type, 'recipient', recipient, 'content', content, 'status', status,
                    'error_code', error_code, 'error_message', error_message, 'whatsapp_id', whatsapp_id,
                    'reply_to', reply_to, 'history', history, 'created_at', created_at, 'sent_at', sent_at,
                    'delivered_at', delivered_at, 'read_at', read_at) as line
               from messages where user_id = $1 and id > $2::bigint order by id limit $3`,
  events: `select position as key, payload as line
             from events where user_id = $1 and position > $2::bigint order by position limit $3`,
  requests: `select id as key, json_build_object('id', id, 'endpoint', endpoint, 'method', method,
                    'ip_address', ip_address, 'status_code', status_code, 'duration_ms', duration_ms,
                    'created_at', created_at) as line
               from api_requests where user_id = $1 and id > $2::bigint order by id limit $3`,
} satisfies Record<string, string>

export type Section = keyof typeof SECTIONS
export const sections = Object.keys(SECTIONS) as Section[]

/** The rows of a section after `key`, each as JSON text. */
export async function page(db: Queryable, section: Section, userId: number, after: number, limit: number) {
  const { rows } = await db.query<{ key: number; line: string }>(SECTIONS[section], [userId, after, limit])
  return rows
}
