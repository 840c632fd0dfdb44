import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { isWithin } from './public-address.js'

type Rule = { port?: number } & (
  { kind: 'loopback' } | { kind: 'host'; host: string } | { kind: 'range'; range: [ipaddr.IPv4 | ipaddr.IPv6, number] }
)

const HOST_NAME = /^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?$/

/** The operator's list of inside targets that may be called all the same. */
export class PrivateTargets {
  readonly #rules: Rule[]

  /**
   * Entries are `host`, `host:port`, `ip`, `ip:port`, `[ipv6]:port`, a CIDR range, or `loopback` with or without port.
   * @throws {RangeError} naming the entry and the setting it came from.
   */
  constructor(entries: string[], setting: string) {
    this.#rules = entries.map((entry) => {
      const rule = parseRule(entry.trim().toLowerCase())
      if (rule) return rule
      throw new RangeError(`${setting}: "${entry}" is no host, host:port, IP address, CIDR range or "loopback".`)
    })
  }

  /** At some port. */
  namesHost(host: string): boolean {
    return this.#rules.some((rule) => rule.kind === 'host' && rule.host === host)
  }

  allowsHost(host: string, port: number): boolean {
    return this.#rules.some((rule) => rule.kind === 'host' && rule.host === host && fits(rule, port))
  }

  allowsAddress(text: string, port: number): boolean {
    if (isIP(text) === 0) return false
    const address = ipaddr.parse(text)
    return this.#rules.some((rule) => {
      if (!fits(rule, port) || rule.kind === 'host') return false
      return rule.kind === 'loopback' ? address.range() === 'loopback' : isWithin(address, rule.range)
    })
  }
}

function fits(rule: Rule, port: number): boolean {
  return rule.port === undefined || rule.port === port
}

function parseRule(entry: string): Rule | undefined {
  if (entry.includes('/')) {
    return ipaddr.isValidCIDR(entry) ? { kind: 'range', range: ipaddr.parseCIDR(entry) } : undefined
  }
  if (isIP(entry) === 6) return addressRule(entry)

  const [, bracketed, name, digits] = /^(?:\[(.+)\]|([^:[\]]+))(?::(\d+))?$/.exec(entry) ?? []
  const rule = bracketed === undefined ? nameRule(name ?? '') : isIP(bracketed) === 6 && addressRule(bracketed)
  if (!rule) return undefined
  if (digits === undefined) return rule
  const port = Number(digits)
  return port >= 1 && port <= 65_535 ? { ...rule, port } : undefined
}

function nameRule(name: string): Rule | undefined {
  if (name === 'loopback') return { kind: 'loopback' }
  if (isIP(name) === 4) return addressRule(name)
  // Only digits and dots, yet no address: a slip that must not silently become a host name.
  if (/^[\d.]+$/.test(name)) return undefined
  return HOST_NAME.test(name) ? { kind: 'host', host: name } : undefined
}

function addressRule(text: string): Rule {
  const address = ipaddr.parse(text)
  return { kind: 'range', range: [address, address.kind() === 'ipv4' ? 32 : 128] }
}
