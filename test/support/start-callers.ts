import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Call, Phase, Score } from './callers.js'

const PROGRAM = fileURLToPath(new URL('caller-process.ts', import.meta.url))

export type CallersOutside = Awaited<ReturnType<typeof startCallers>>

/** A process of its own that calls a server, phase after phase: load that shares no event loop with what it measures. */
export async function startCallers(server: { url: string; pid: number }) {
  const child = fork(PROGRAM, { execArgv: ['--import', 'tsx'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const exited = once(child, 'exit')
  const answer = async () => {
    const early = exited.then(() => Promise.reject(new Error('the callers ended early')))
    return ((await Promise.race([once(child, 'message'), early])) as unknown[])[0]
  }
  await answer() // that it is ready
  return {
    /** What came of each phase. */
    run: async (calls: Call[], phases: Phase[]): Promise<Score[]> => {
      child.send({ server: { port: Number(new URL(server.url).port), pid: server.pid }, calls, phases })
      return (await answer()) as Score[]
    },
    stop: async () => {
      child.disconnect()
      await exited
    },
  }
}

/** For the log of a run: what to look at when a bar is missed. */
export function describeScores(scores: Score[]): string {
  const lines = scores.map(
    ({ name, calls, goodput, goodput_per_cpu, p50, p99, statuses, last_refused }) =>
      `${name}: ${calls} calls, ${Math.round(goodput)} served/s (${Math.round(goodput_per_cpu)} per second of CPU), ` +
      `p50 ${Math.round(p50)} ms, p99 ${Math.round(p99)} ms, answers ${JSON.stringify(statuses)}, ` +
      `last refused at ${Math.round(last_refused * 100)} %`,
  )
  return lines.join('\n')
}
