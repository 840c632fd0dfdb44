import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number]

const GLOBAL_UNICAST_V6 = ipaddr.parseCIDR('2000::/3')

/** Counted as unicast by ipaddr.js, but never somebody's public web server. */
const FURTHER_RANGES = [
  '168.63.129.16/32', // Azure's host agent, reachable from every virtual machine there
  '2001::/23', // IETF protocol assignments, with Teredo, benchmarking and ORCHID
  '2001:db8::/32',
  '2002::/16', // 6to4 carries an IPv4 address, which may be an inside one
  '3fff::/20', // documentation
].map((range) => ipaddr.parseCIDR(range))

/** Names that mean this machine or this network by convention, whatever they resolve to. */
const LOCAL_NAME = /(^|\.)(localhost|localdomain|internal|local|home\.arpa)$/

/** Whether an IP address in text form is a global unicast one; mapped, translated and tunnelled ones are not. */
export function isPublicAddress(text: string): boolean {
  if (isIP(text) === 0) return false
  const address = ipaddr.parse(text)
  if (address.range() !== 'unicast') return false
  if (address.kind() === 'ipv6' && !isWithin(address, GLOBAL_UNICAST_V6)) return false
  return !FURTHER_RANGES.some((range) => isWithin(address, range))
}

/** Whether an address lies in a range; false when one is IPv4 and the other IPv6. */
export function isWithin(address: ipaddr.IPv4 | ipaddr.IPv6, range: Range): boolean {
  return address.kind() === range[0].kind() && address.match(range)
}

/** Whether a host name, in lower case and without trailing dots, is local by convention. */
export function isLocalName(host: string): boolean {
  return LOCAL_NAME.test(host)
}
