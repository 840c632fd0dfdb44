import { SignJWT, jwtVerify } from 'jose'

const AUDIENCE = 'whatsapp-saas-api'
export const ACCESS_TOKEN_SECONDS = 3600

export interface AccessToken {
  user_id: number
  token_version: number
}

/** The short-lived key a login answers: HS256 only, for this audience only. */
export class AccessTokens {
  private readonly key: Uint8Array

  constructor(secret: string) {
    this.key = new TextEncoder().encode(secret)
  }

  issue({ user_id, token_version }: AccessToken): Promise<string> {
    return new SignJWT({ ver: token_version })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .setSubject(String(user_id))
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime(`${ACCESS_TOKEN_SECONDS}s`)
      .sign(this.key)
  }

  /** Undefined when the token is forged, expired, or meant for somebody else. */
  async read(token: string): Promise<AccessToken | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.key, { algorithms: ['HS256'], audience: AUDIENCE })
      const user_id = Number(payload.sub)
      const token_version = payload.ver
      if (!Number.isSafeInteger(user_id) || typeof token_version !== 'number') return undefined
      return { user_id, token_version }
    } catch {
      return undefined
    }
  }
}
