import { type AddressInfo, type Socket, connect, createServer } from 'node:net'

/** A fixed address in front of a database that comes and goes. */
export async function startProxy() {
  let target = 0
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    const upstream = connect(target, '127.0.0.1')
    for (const one of [socket, upstream]) {
      open.add(one)
      one.on('error', () => one.destroy()).on('close', () => open.delete(one))
    }
    socket.pipe(upstream).pipe(socket)
    upstream.on('close', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    pointTo: (port: number) => {
      target = port
    },
    close: async () => {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
