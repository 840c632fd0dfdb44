import * as apiRequests from '../db/api-requests.js'
import type { LoggedRequest, RequestFilter } from '../db/api-requests.js'
import type { Database } from '../db/database.js'
import type { User } from '../db/users.js'

export type { LoggedRequest }

/** What a user asked of the API lately, as the request log remembers it. */
export class RequestService {
  constructor(private readonly db: Database) {}

  list(user: User, filter: RequestFilter): Promise<LoggedRequest[]> {
    return apiRequests.listOwned(this.db, user.id, filter)
  }
}
