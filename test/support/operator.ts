import request from 'supertest'

export const ADMIN_KEY = 'operator-key-of-the-tests-0123456789abcdef'

/** The operator's calls of a test server that was started with ADMIN_API_KEY. */
export function operatorOf(url: string, key = ADMIN_KEY) {
  const withKey = (call: request.Test) => call.set('x-admin-key', key)
  const api = request(url)
  return {
    get: (path: string) => withKey(api.get(`/api/admin${path}`)),
    post: (path: string, body?: object) => withKey(api.post(`/api/admin${path}`)).send(body),
    patch: (path: string, body?: object) => withKey(api.patch(`/api/admin${path}`)).send(body),
    delete: (path: string) => withKey(api.delete(`/api/admin${path}`)),
  }
}
