import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'

/** The first of `count` consecutive ports of 127.0.0.1 that are free at this moment. */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const probes: Server[] = []
    try {
      const first = await listen(0)
      probes.push(first)
      const { port } = first.address() as AddressInfo
      while (probes.length < count) probes.push(await listen(port + probes.length))
      return port
    } catch {
      // A neighbour was taken: look elsewhere.
    } finally {
      await Promise.all(probes.map((probe) => once(probe.close(), 'close')))
    }
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}
