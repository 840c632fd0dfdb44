import type { RequestHandler } from 'express'
import ipaddr from 'ipaddr.js'
import { noSuchAddress } from '../errors.js'

/**
 * For addresses that nobody outside may reach. Whoever comes straight from our own network passes; what came through a
 * proxy is hidden, unless its address lies in `networks`.
 */
export function onlyFrom(networks: string[]): RequestHandler {
  const ranges = networks.map(asRange)
  return (req, _res, next) => {
    if (req.get('x-forwarded-for') !== undefined && !isWithin(req.ip, ranges)) throw noSuchAddress()
    next()
  }
}

type Range = ReturnType<typeof ipaddr.parseCIDR>

/** `10.8.0.0/24`, or one address. Throws when it is neither. */
function asRange(network: string): Range {
  if (network.includes('/')) return ipaddr.parseCIDR(network)
  const address = ipaddr.parse(network)
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}

function isWithin(address: string | undefined, ranges: Range[]): boolean {
  if (!address || !ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  return ranges.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits))
}
