export interface Call {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  path: string
  body?: Record<string, unknown>
  /** Print the answer as it is. */
  raw?: boolean
}

type Values = Record<string, string | boolean | undefined>

interface Command {
  words: string[]
  usage: string
  call: (args: string[], values: Values) => Call
}

/** Of every command, or of every list. */
const COMMON = ['json', 'help', 'limit', 'cursor']
const USER_FIELDS =
  '[--name TEXT] [--company TEXT] [--plan NAME] [--max-numbers N] [--max-messages N] [--active-until DATE|never]'
const SERVER_FIELDS = '[--capacity N|memory] [--memory-mb N]'

/** Every command is one call of /api/admin. */
export const COMMANDS: Command[] = [
  command('users list', '[--search TEXT] [--status active|suspended|expired] [--plan NAME]', (_, { plan, ...values }) =>
    get('/users', { ...pick(values, ['search', 'status', 'limit', 'cursor']), plan_type: plan }),
  ),
  command('users show', 'ID', ([id]) => get(`/users/${needed(id, 'ID')}`)),
  command('users create', `EMAIL [--password TEXT] [--time-zone ZONE] ${USER_FIELDS}`, ([email], values) => ({
    method: 'POST',
    path: '/users',
    body: {
      email: needed(email, 'EMAIL'),
      password: values.password,
      time_zone: values['time-zone'],
      ...userFields(values),
    },
  })),
  command('users set', `ID ${USER_FIELDS}`, ([id], values) => ({
    method: 'PATCH',
    path: `/users/${needed(id, 'ID')}`,
    body: userFields(values),
  })),
  command('users suspend', 'ID [--reason TEXT] [--unlink-numbers]', ([id], values) => ({
    method: 'POST',
    path: `/users/${needed(id, 'ID')}/suspend`,
    body: { reason: values.reason, unlink_numbers: values['unlink-numbers'] },
  })),
  command('users activate', 'ID', ([id]) => ({ method: 'POST', path: `/users/${needed(id, 'ID')}/activate` })),
  command('users reset-link', 'ID', ([id]) => ({ method: 'POST', path: `/users/${needed(id, 'ID')}/password-reset` })),
  command('users delete', 'ID --purge', ([id], values) => ({
    method: 'DELETE',
    path: `/users/${needed(id, 'ID')}?purge=${values.purge === true}`,
  })),
  command('plans list', '', () => get('/plans')),
  command('plans create', 'NAME --max-numbers N --max-messages N [--description TEXT]', ([name], values) => ({
    method: 'POST',
    path: '/plans',
    body: { plan_type: needed(name, 'NAME'), ...planFields(values) },
  })),
  command('plans set', 'NAME [--max-numbers N] [--max-messages N] [--apply-to-users]', ([name], values) => ({
    method: 'PATCH',
    path: `/plans/${encodeURIComponent(needed(name, 'NAME'))}`,
    body: { ...planFields(values), apply_to_users: values['apply-to-users'] },
  })),
  command('servers list', '', () => get('/servers')),
  command('servers show', 'NAME', ([name]) => get(server(name))),
  command('servers add', `NAME URL ${SERVER_FIELDS}`, ([name, url], values) => ({
    method: 'POST',
    path: '/servers',
    body: { name: needed(name, 'NAME'), url: needed(url, 'URL'), ...serverFields(values) },
  })),
  command('servers set', `NAME [--url URL] ${SERVER_FIELDS}`, ([name], values) => ({
    method: 'PATCH',
    path: server(name),
    body: { url: values.url, ...serverFields(values) },
  })),
  ...(['drain', 'disable', 'enable'] as const).map((verb) =>
    command(`servers ${verb}`, 'NAME', ([name]) => ({
      method: 'PATCH',
      path: server(name),
      body: { state: { drain: 'draining', disable: 'disabled', enable: 'active' }[verb] },
    })),
  ),
  command('servers evacuate', 'NAME [--force]', ([name], values) => ({
    method: 'POST',
    path: `${server(name)}/evacuate`,
    body: { force: values.force },
  })),
  command('servers remove', 'NAME', ([name]) => ({ method: 'DELETE', path: server(name) })),
  command('servers instances', 'NAME', ([name]) => get(`${server(name)}/instances`)),
  command('import-server', 'NAME --user ID --instances A,B,…', ([name], values) => ({
    method: 'POST',
    path: `${server(name)}/import`,
    body: {
      user_id: Number(needed(values.user, '--user')),
      instances: needed(values.instances, '--instances').split(','),
    },
  })),
  command('numbers list', '[--user ID] [--server NAME] [--status STATUS] [--search TEXT]', (_, values) =>
    get('/phone-numbers', {
      user_id: values.user,
      server: values.server,
      status: values.status,
      search: values.search,
      limit: values.limit,
      cursor: values.cursor,
    }),
  ),
  command('queues', '', () => get('/queues')),
  command('usage', '[--month 2026-11] [--csv]', (_, values) =>
    values.csv ? { ...get('/usage.csv', { month: values.month }), raw: true } : get('/usage', { month: values.month }),
  ),
  command('audit', '[--limit N]', (_, values) => get('/audit-log', { limit: values.limit, cursor: values.cursor })),
]

export function usageText(): string {
  const lines = COMMANDS.map(({ words, usage }) => `  npm run admin -- ${[...words, usage].join(' ').trim()}`)
  return ['The operator’s shell. With --json the answer as it came.', ...lines].join('\n')
}

function command(words: string, usage: string, call: Command['call']): Command {
  const known = new Set([...COMMON, ...[...usage.matchAll(/--([a-z-]+)/g)].map(([, name]) => name!)])
  return {
    words: words.split(' '),
    usage,
    call: (args, values) => {
      const unknown = Object.keys(values).filter((name) => !known.has(name))
      if (unknown.length === 0) return call(args, values)
      throw new Error(`${words} has no --${unknown.join(', --')}. It is: ${words} ${usage}`)
    },
  }
}

const pick = (values: Values, names: string[]): Values => Object.fromEntries(names.map((name) => [name, values[name]]))

function get(path: string, query: Values = {}): Call {
  const given = Object.entries(query).filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  return { method: 'GET', path: given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path }
}

const server = (name: string | undefined) => `/servers/${encodeURIComponent(needed(name, 'NAME'))}`

function needed(value: string | boolean | undefined, what: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new Error(`${what} is missing.\n${usageText()}`)
}

function userFields(values: Values) {
  const until = values['active-until']
  return {
    full_name: values.name,
    company_name: values.company,
    plan_type: values.plan,
    max_phone_numbers: values['max-numbers'],
    max_messages_per_day: values['max-messages'],
    active_until: until === 'never' ? null : typeof until === 'string' ? momentOf(until) : undefined,
  }
}

/** A day alone ends with its last moment in UTC. */
const momentOf = (text: string) => (/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T23:59:59Z` : text)

const planFields = (values: Values) => ({
  max_phone_numbers: values['max-numbers'],
  max_messages_per_day: values['max-messages'],
  description: values.description,
})

const serverFields = (values: Values) => ({
  capacity: values.capacity === 'memory' ? null : values.capacity,
  memory_mb: values['memory-mb'],
})
