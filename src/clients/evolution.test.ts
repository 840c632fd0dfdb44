import { type AddressInfo, type Server, type Socket, createServer } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Breaker } from './breaker.js'
import { EngineUnreachable } from './engine-http.js'
import { EvolutionClient } from './evolution.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

async function listen(server: Server): Promise<number> {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => open.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    for (const socket of open) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

/** An engine that does so with each request it has read, by its number from 0. */
const engineThat = (act: (socket: Socket, request: number) => void) => {
  let requests = 0
  return listen(createServer((socket) => void socket.on('data', () => act(socket, requests++))))
}

function clientOf(url: string) {
  const client = new EvolutionClient('engine', url, { api_key: 'key', send_timeout_seconds: 5 })
  closing.push(() => client.close())
  return client
}

const send = (client: EvolutionClient) => client.send('sendText', 'shop', { number: '628', text: 'Hello' })
const failure = (client: EvolutionClient) =>
  send(client).then(
    (answer) => answer,
    (err: unknown) => (err instanceof EngineUnreachable ? { written: err.written } : err),
  )

const CREATED = 'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n'
const answer = (body: string, length = body.length) => `${CREATED}content-length: ${length}\r\n\r\n${body}`

describe('nothing has been written', () => {
  it('where nobody listens', async () => {
    const port = await listen(createServer())
    await closing.pop()!()
    expect(await failure(clientOf(`http://127.0.0.1:${port}`))).toEqual({ written: false })
  })

  it('where the engine’s certificate is of no use', async () => {
    const port = await listen(createTlsServer({}))
    expect(await failure(clientOf(`https://127.0.0.1:${port}`))).toEqual({ written: false })
  })

  it('where no TLS is spoken', async () => {
    const port = await engineThat((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    expect(await failure(clientOf(`https://127.0.0.1:${port}`))).toEqual({ written: false })
  })
})

describe('it may have been written', () => {
  it('where the connection ends without an answer, also one that was good before', async () => {
    const port = await engineThat((socket, request) => {
      if (request === 0) socket.write(answer('{"key":{"id":"A"}}'))
      else socket.destroy()
    })
    const client = clientOf(`http://127.0.0.1:${port}`)
    expect(await send(client)).toEqual({ status: 201, body: { key: { id: 'A' } } })
    expect(await failure(client)).toEqual({ written: true })
  })

  it('where the answer ends too early', async () => {
    const port = await engineThat((socket) => socket.end(answer('{"key":{"id":"A"', 100)))
    expect(await failure(clientOf(`http://127.0.0.1:${port}`))).toEqual({ written: true })
  })

  it('where something else than HTTP comes back', async () => {
    const port = await engineThat((socket) => socket.end('220 mail.example.com ESMTP\r\n'))
    expect(await failure(clientOf(`http://127.0.0.1:${port}`))).toEqual({ written: true })
  })
})

it('an answer is taken as it is: redirects are not followed, what is no JSON stays a text', async () => {
  const location = 'location: /elsewhere\r\ncontent-length: 0\r\n\r\n'
  const port = await engineThat((socket, request) =>
    socket.write(request === 0 ? `HTTP/1.1 307 Temporary Redirect\r\n${location}` : answer('{"key":{"id"')),
  )
  const client = clientOf(`http://127.0.0.1:${port}`)
  expect(await send(client)).toEqual({ status: 307, body: '' })
  expect(await send(client)).toEqual({ status: 201, body: '{"key":{"id"' })
})

it('a server that is gone is not asked any more after some tries', async () => {
  const port = await listen(createServer())
  await closing.pop()!()
  const breaker = new Breaker()
  const client = new EvolutionClient(
    'gone',
    `http://127.0.0.1:${port}`,
    { api_key: 'key', send_timeout_seconds: 5 },
    breaker,
  )
  closing.push(() => client.close())
  const send = () => client.send('sendText', 'an_instance', {}).catch((err: EngineUnreachable) => err.code)
  for (let n = 0; n < 5; n++) {
    expect(breaker.isOpen).toBe(false)
    expect(await send()).toBe('ECONNREFUSED')
  }
  expect(await send()).toBe('BREAKER_OPEN')
})
