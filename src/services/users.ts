import type { Database } from '../db/database.js'
import * as users from '../db/users.js'
import type { User } from '../db/users.js'
import { AppError, invalidRequest, unauthorized } from '../errors.js'
import { ACCESS_TOKEN_SECONDS, type AccessTokens } from './access-tokens.js'
import { insertUser } from './api-keys.js'
import type { LoginBackoff } from './login-backoff.js'
import { hashPassword, refuseCrowd, verifyPassword } from './passwords.js'

export interface Registration {
  email: string
  password: string
  full_name?: string
  company_name?: string
  plan_type: string
}

interface Options {
  registration: 'open' | 'closed'
  self_service_plans: readonly string[]
  default_time_zone: string
}

const emailTaken = () => new AppError('email_taken', 'This e-mail address is registered already. Log in instead.')

export class UserService {
  constructor(
    private readonly db: Database,
    private readonly tokens: AccessTokens,
    private readonly backoff: LoginBackoff,
    private readonly options: Options,
  ) {}

  /** Answers the only sight of the API key. */
  async register(input: Registration): Promise<{ user: User; api_key: string }> {
    if (this.options.registration === 'closed')
      throw new AppError('forbidden', 'Registration is closed on this server. Ask the operator for a user.')
    if (!this.options.self_service_plans.includes(input.plan_type))
      throw invalidRequest(`plan_type must be one of: ${this.options.self_service_plans.join(', ')}.`)
    refuseCrowd()
    const password_hash = await hashPassword(input.password)
    const row = {
      email: input.email,
      password_hash,
      full_name: input.full_name ?? null,
      company_name: input.company_name ?? null,
      plan_type: input.plan_type,
      time_zone: this.options.default_time_zone,
    }
    return this.db.transaction((tx) => insertUser(tx, row, emailTaken))
  }

  /** Does the same work for an e-mail address nobody has, so that neither answer nor time tells who is a user. */
  async logIn(email: string, password: string, address: string) {
    refuseCrowd()
    await this.backoff.begin({ email, address })
    const found = await users.findCredentials(this.db, email)
    if (!(await verifyPassword(password, found?.password_hash)) || !found)
      throw unauthorized('The e-mail address or the password is wrong.')
    await this.backoff.succeed({ email, address })
    const access_token = await this.tokens.issue({ user_id: found.id, token_version: found.token_version })
    return { user: found as User, access_token, expires_in: ACCESS_TOKEN_SECONDS }
  }
}
