import { randomUUID } from 'node:crypto'
import type * as Instances from '../../src/services/instances.js'
import { type Row, atLeast, micros, perSecond } from '../support/figures.js'
import { compete } from '../support/contest.js'
import { Clients, type NextCall, post } from '../support/load.js'
import { compiled } from '../support/compiled.js'
import { type Sender, seedSenders } from '../support/seed.js'
import { ENGINE_KEY, type Stage } from '../support/stage.js'

const NUMBERS = 128
const ROUNDS = 6
const ROUND_MS = 2_000

/** Incoming messages, each committed with its event and the delivery it owes, against Express that answers what it got. */
export async function ingress(stage: Stage): Promise<Row[]> {
  const senders = await seedSenders(stage.db, { batch: 'ingress', numbers: NUMBERS, numbers_per_user: 8 })
  const { ingressSecret, INGRESS_HEADER } = await compiled<typeof Instances>('services/instances.js')
  const callTo = (path: string, headers: Record<string, string>, engineName: string): NextCall => {
    return () => post(path, headers, JSON.stringify(upsert(engineName)))
  }
  const echo = await stage.startBaseline('bare-express', { ENGINE_URL: stage.engine_url })
  // The deliveries are left lying: attempting them is measured by itself.
  const product = await stage.startProduct({ ROLE: 'api' })
  const engineNames = senders.map(engineNameOf)
  const contestants = [
    {
      name: 'echo',
      subject: echo.subject,
      clients: new Clients(
        echo.port,
        engineNames.map((name) => callTo('/echo', {}, name)),
      ),
    },
    {
      name: 'product',
      subject: product.subject,
      clients: new Clients(
        product.port,
        engineNames.map((name) =>
          callTo(`/internal/evolution/${name}`, { [INGRESS_HEADER]: ingressSecret(ENGINE_KEY, name) }, name),
        ),
      ),
    },
  ]
  const scores = await compete(stage.db, contestants, ROUNDS, ROUND_MS)
  for (const { clients } of contestants) clients.close()
  await stage.stopAll()

  const [bare, own] = [scores.get('echo')!, scores.get('product')!]
  const faults = own.faults ? `, ${own.faults} FAULTS` : ''
  return [
    { what: 'Express JSON echo', measured: `${perSecond(bare.rate)}, ${micros(bare.cpu_us)} CPU`, bar: '' },
    {
      what: 'product, message + event + delivery committed',
      measured: `${perSecond(own.rate)}, ${micros(own.cpu_us)} CPU + ${micros(own.database_us)} of PostgreSQL${faults}`,
      bar: '',
    },
    atLeast('rate against the echo', own.rate / bare.rate, 0.5),
    atLeast('CPU against the echo', bare.cpu_us / own.cpu_us, 0.5),
  ]
}

const engineNameOf = ({ instance_name }: Sender) => `${instance_name}_g1`

/** What Evolution 2.3.6 posts for an incoming text. */
function upsert(instance: string) {
  return {
    event: 'messages.upsert',
    instance,
    data: {
      key: {
        remoteJid: '6281234567890@s.whatsapp.net',
        remoteJidAlt: '15511987654321@lid',
        fromMe: false,
        id: randomUUID(),
        participant: '',
        addressingMode: 'pn',
      },
      pushName: 'Ana',
      status: 'DELIVERY_ACK',
      message: { conversation: 'Where is my order 4711?' },
      contextInfo: null,
      messageType: 'conversation',
      messageTimestamp: 1_795_337_605,
      instanceId: '0f83cee5-4771-467b-91ab-437d73c9d6d6',
      source: 'android',
    },
    destination: 'http://127.0.0.1:3000/internal/evolution',
    date_time: '2026-11-22T08:53:25.547Z',
    sender: '5511911110002@s.whatsapp.net',
    server_url: 'http://127.0.0.1:8081',
    apikey: 'BB897935-F952-446A-A076-7F9900608A3C',
  }
}
