import { isIP } from 'node:net'

/**
 * Names the network an address lies in, as an identifier: devices of one are likely behind the same
 * NAT, or the same kind of it. IPv4 by its first 24 bits (what one site or one gateway of a carrier
 * has), IPv6 by its first 48 (what a site is given).
 *
 *     203.0.113.9               v4-203.0.113
 *     ::ffff:203.0.113.9        v4-203.0.113
 *     2001:db8:7:1::9           v6-2001-db8-7
 *
 * Whatever is no address is a network of its own: `other`.
 */
export function networkOf(address: string): string {
  const plain = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
  if (isIP(plain) === 4) return `v4-${plain.slice(0, plain.lastIndexOf('.'))}`
  if (isIP(plain) !== 6) return 'other'
  const [head = '', tail] = plain.toLowerCase().split('::')
  const parts = head === '' ? [] : head.split(':')
  // Only what stands before a gap can be among the first three, save where the gap is short.
  if (parts.length < 3 && tail !== undefined) {
    const behind = tail === '' ? [] : tail.split(':')
    const length = behind.length + (behind.at(-1)?.includes('.') === true ? 1 : 0)
    while (parts.length + length < 8) parts.push('0')
    parts.push(...behind)
  }
  const group = (text = '0'): string => Number.parseInt(text, 16).toString(16)
  return `v6-${parts.slice(0, 3).map(group).join('-')}`
}
