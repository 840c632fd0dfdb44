import pg from 'pg'
import { GroupCommit } from './group-commit.js'

/** A writer that is held until it is let go, and remembers its batches. */
function heldWriter(judge: (row: number) => number | Error = (row) => row * 10) {
  const batches: number[][] = []
  const gates: (() => void)[] = []
  const write = async (rows: number[]) => {
    batches.push(rows)
    await new Promise<void>((resolve) => gates.push(resolve))
    return rows.map(judge)
  }
  return { write, batches, letGo: () => gates.shift()!() }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

it('writes a lone row at once, and together what comes while a batch is being written', async () => {
  const { write, batches, letGo } = heldWriter()
  const commit = new GroupCommit(write)
  const first = commit.add(1)
  const rest = [commit.add(2), commit.add(3), commit.add(4)]
  expect(batches).toEqual([[1]])
  expect(commit.depth).toBe(3)
  letGo()
  expect(await first).toBe(10)
  await turn()
  expect(batches).toEqual([[1], [2, 3, 4]])
  letGo()
  expect(await Promise.all(rest)).toEqual([20, 30, 40])
  expect(commit.depth).toBe(0)
})

it('keeps batches within max_rows and writers within their number', async () => {
  const { write, batches, letGo } = heldWriter()
  const commit = new GroupCommit(write, { max_rows: 2, writers: 2 })
  const all = [1, 2, 3, 4, 5, 6].map((row) => commit.add(row))
  expect(batches).toEqual([[1], [2]])
  for (let n = 0; n < 4; n++) {
    letGo()
    await turn()
  }
  expect(await Promise.all(all)).toEqual([10, 20, 30, 40, 50, 60])
  expect(batches).toEqual([[1], [2], [3, 4], [5, 6]])
})

it('an Error among the results rejects its own row alone', async () => {
  const commit = new GroupCommit((rows: number[]) =>
    Promise.resolve(rows.map((row) => (row === 2 ? new Error('no room') : row))),
  )
  const results = await Promise.allSettled([commit.add(1), commit.add(2), commit.add(3)])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
})

it('a row the database refuses does not take its neighbours with it', async () => {
  const written: number[] = []
  const commit = new GroupCommit((rows: number[]) => {
    if (rows.includes(3)) return Promise.reject(new pg.DatabaseError('check', 5, 'error'))
    written.push(...rows)
    return Promise.resolve(rows)
  })
  const results = await Promise.allSettled([1, 2, 3, 4].map((row) => commit.add(row)))
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled'])
  expect(written.sort()).toEqual([1, 2, 4])
})

it('writes nothing again after a lost connection: the commit may have happened', async () => {
  let calls = 0
  const commit = new GroupCommit<number, number>(() => {
    calls++
    return Promise.reject(new Error('Connection terminated unexpectedly'))
  })
  const results = await Promise.allSettled([1, 2, 3].map((row) => commit.add(row)))
  expect(results.every(({ status }) => status === 'rejected')).toBe(true)
  expect(calls).toBe(2) // the first row, then the two that waited
})
