import { once } from 'node:events'
import { type IncomingMessage, type ServerResponse, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestApp } from './test-app.js'

/** Stands between us and a sandbox engine from now on, and answers in its place where `instead` does. */
export async function standBefore(app: TestApp, server: string) {
  const target = new URL(app.ctx.pool.client(server).url)
  const proxy = {
    /** Whether it has taken the request over. */
    instead: (() => false) as (req: IncomingMessage, res: ServerResponse) => boolean,
    leave: async () => {
      await move(app, server, target.origin)
      listener.closeAllConnections()
      listener.close()
      await app.crew.monitor.checkAll() // which may have seen it ill
    },
  }
  const listener = createServer((req, res) => {
    if (proxy.instead(req, res)) return
    const { method, headers, url: path } = req
    const onward = request({ host: target.hostname, port: target.port, path, method, headers }, (answer) => {
      answer.pipe(res.writeHead(answer.statusCode!, answer.headers))
    })
    req.pipe(onward)
  })
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  await move(app, server, `http://127.0.0.1:${(listener.address() as AddressInfo).port}`)
  return proxy
}

/** In the table as well, from which the monitor learns addresses in its own time. */
async function move(app: TestApp, server: string, url: string) {
  await app.db.query('update servers set url = $1 where name = $2', [url, server])
  app.ctx.pool.set(server, url)
}
