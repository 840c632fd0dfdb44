import fc from 'fast-check'
import { type TestApp, startTestApp } from './support/test-app.js'

let app: TestApp
beforeAll(async () => void (app = await startTestApp()))
afterAll(() => app.stop())

async function thereAndBack(type: string, values: unknown[]): Promise<unknown> {
  const { rows } = await app.server.context.db.query<{ values: unknown }>(`select $1::${type}[] as values`, [values])
  return rows[0]!.values
}

test.each([
  ['text', ['a', '', 'NULL', 'null', 'a,b', '{x}', ' y ', '"quoted"', 'C:\\dir\\"', '\n', 'ünï 🎉', null]],
  ['jsonb', [{ text: 'it\'s "so" \\ far' }, { list: [1, null] }].map((value) => JSON.stringify(value))],
  ['integer', [1, -2, 2147483647, null]],
  ['double precision', [0.1, -1e300, 0]],
  ['boolean', [true, false, null]],
  ['bytea', [Buffer.from([0, 255, 34, 92]), Buffer.alloc(0)]],
  ['timestamptz', [new Date('2026-02-28T23:59:59.999Z'), null]],
  ['text', []],
])('an array of %s arrives in PostgreSQL as it was', async (type, values) => {
  const expected = type === 'jsonb' ? values.map((value) => JSON.parse(value as string) as unknown) : values
  expect(await thereAndBack(type, values)).toEqual(expected)
})

test('so does an array of whatever texts', async () => {
  const storable = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.option(storable)), async (values) => {
      expect(await thereAndBack('text', values)).toEqual(values)
    }),
  )
})
