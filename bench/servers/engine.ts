import { type ServerResponse, createServer } from 'node:http'

/** The least an Evolution server does: every send is taken at once, every instance of ours is connected. */
let sent = 0

const server = createServer((req, res) => {
  req.resume().on('end', () => {
    if (req.url!.startsWith('/message/')) take(res)
    else answer(res, ...about(req.url!))
  })
})
server.keepAliveTimeout = 600_000
server.listen(Number(process.env.PORT), '127.0.0.1')

function take(res: ServerResponse) {
  answer(res, 201, {
    key: {
      remoteJid: '6281234567890@s.whatsapp.net',
      fromMe: true,
      id: `3EB0${(++sent).toString(16).toUpperCase().padStart(16, '0')}`,
    },
    pushName: '',
    status: 'PENDING',
    message: { conversation: 'Hello' },
    contextInfo: null,
    messageType: 'conversation',
    messageTimestamp: 1_795_336_453,
    instanceId: '04fbf8a7-ef16-45fb-bd6f-9376b6860a98',
    source: 'unknown',
  })
}

/** What the product asks in the background to know that a server and its numbers are well. */
function about(url: string): [number, object] {
  if (url === '/') return [200, { status: 200, message: 'Welcome to the Evolution API', version: '2.3.6' }]
  if (url === '/instance/fetchInstances') return [200, []]
  const name = /^\/instance\/connectionState\/(.+_g\d+)$/.exec(url)?.[1]
  if (name) return [200, { instance: { instanceName: name, state: 'open' } }]
  if (/^\/(verify-creds|webhook|settings)/.test(url)) return [200, {}]
  return [404, { status: 404, error: 'Not Found', response: { message: ['Not Found'] } }]
}

function answer(res: ServerResponse, status: number, body: object) {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
