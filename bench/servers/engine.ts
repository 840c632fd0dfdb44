import { createServer } from 'node:http'

/** The least an Evolution server does: reads the call, answers 201 with a message id. No work, no delay. */
let sent = 0

const server = createServer((req, res) => {
  req.resume().on('end', () => {
    if (!req.url!.startsWith('/message/')) return void res.writeHead(404).end('{}')
    const id = `3EB0${(++sent).toString(16).toUpperCase().padStart(16, '0')}`
    const body = JSON.stringify({
      key: { remoteJid: '6281234567890@s.whatsapp.net', fromMe: true, id },
      pushName: '',
      status: 'PENDING',
      message: { conversation: 'Hello' },
      contextInfo: null,
      messageType: 'conversation',
      messageTimestamp: 1_795_336_453,
      instanceId: '04fbf8a7-ef16-45fb-bd6f-9376b6860a98',
      source: 'unknown',
    })
    res.writeHead(201, { 'content-type': 'application/json' }).end(body)
  })
})
server.keepAliveTimeout = 600_000
server.listen(Number(process.env.PORT), '127.0.0.1')
