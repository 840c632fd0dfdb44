import type { Response } from 'supertest'

/** The one shape of an error: a code, a sentence for people, the id of the request, and nothing of our inside. */
export function expectRefusal(response: Response, status: number, code: string | RegExp): void {
  const { error } = response.body as { error?: { code: string; message: string; request_id: string } }
  expect({ status: response.status, code: error?.code, text: response.text }).toEqual({
    status,
    code: typeof code === 'string' ? code : (expect.stringMatching(code) as string),
    text: response.text,
  })
  expect(response.body.success).toBe(false)
  expect(error!.message).toMatch(/^\S.+\.$/s)
  expect(error!.request_id).toBe(response.headers['x-request-id'])
  expect(response.text).not.toMatch(/node_modules|\.[tj]s:\d|\n\s+at |select |insert into/)
}
