/** Codes of RFC 7252 §12.1 and its companions: class * 32 + detail. */
export const code = {
  empty: 0x00,
  get: 0x01,
  post: 0x02,
  put: 0x03,
  delete: 0x04,

  created: 0x41,
  deleted: 0x42,
  changed: 0x44,
  content: 0x45,
  continue: 0x5f,

  badRequest: 0x80,
  unauthorized: 0x81,
  badOption: 0x82,
  forbidden: 0x83,
  notFound: 0x84,
  methodNotAllowed: 0x85,
  notAcceptable: 0x86,
  requestEntityIncomplete: 0x88,
  conflict: 0x89,
  requestEntityTooLarge: 0x8d,
  unsupportedContentFormat: 0x8f,
  /** RFC 8516. */
  tooManyRequests: 0x9d,

  internalServerError: 0xa0,
  serviceUnavailable: 0xa3,
  proxyingNotSupported: 0xa5,
} as const

export const classOf = (number: number): number => number >> 5

/** As people write it: `2.05`. */
export const codeText = (number: number): string =>
  `${number >> 5}.${String(number & 31).padStart(2, '0')}`

/** Option numbers. Odd ones are critical: who does not know one may not go on (RFC 7252 §5.4.1). */
export const option = {
  uriHost: 3,
  etag: 4,
  observe: 6,
  uriPort: 7,
  locationPath: 8,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  accept: 17,
  block2: 23,
  block1: 27,
  size2: 28,
  proxyUri: 35,
  proxyScheme: 39,
  size1: 60,
  /** RFC 9175. */
  echo: 252,
  requestTag: 292,
  /** Ours, elective, of the range for experiments: the gateway's time, ms since 1970, for devices that know none. */
  time: 65_008,
} as const

/** Content-Format numbers of RFC 7252 §12.3 and their names in the core. */
export const format = { text: 0, links: 40, octets: 42, json: 50, cbor: 60 } as const
