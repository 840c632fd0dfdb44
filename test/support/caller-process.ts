import { type Call, Callers, type Phase } from './callers.js'

interface Order {
  server: { port: number; pid: number }
  calls: Call[]
  phases: Phase[]
}

/** Each order is answered with its scores; the process ends with its parent, or when that lets it go. */
process.on('message', ({ server, calls, phases }: Order) => {
  void new Callers(server, calls).run(phases).then((scores) => process.send!(scores))
})
process.on('disconnect', () => process.exit())
process.send!('ready')
