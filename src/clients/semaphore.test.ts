import { Semaphores } from './semaphore.js'

it('who waits for one key does not hold up another, and each key keeps its order', async () => {
  const rooms = new Semaphores<string>(1)
  const done: string[] = []
  let open = () => {}
  const stuck = rooms.run('stuck', () => new Promise<void>((resolve) => (open = resolve)))
  const behind = ['first', 'second'].map((name) => rooms.run('stuck', () => Promise.resolve(void done.push(name))))
  await rooms.run('other', () => Promise.resolve(void done.push('other')))
  expect(done).toEqual(['other'])
  open()
  await Promise.all([stuck, ...behind])
  expect(done).toEqual(['other', 'first', 'second'])
})

it('one that fails gives its place to the next', async () => {
  const rooms = new Semaphores<number>(1)
  const failed = rooms.run(1, () => Promise.reject(new Error('no')))
  const next = rooms.run(1, () => Promise.resolve('yes'))
  await expect(failed).rejects.toThrow('no')
  expect(await next).toBe('yes')
})
