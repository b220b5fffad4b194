import type { SecureContextOptions } from 'node:tls'

/** For a TLS handshake; Node's own allows two minutes. */
export const tlsHandshakeTimeoutMs = 10_000

/** Authenticated encryption only; Node's default allows more. */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
].join(':')

/** What every TLS listener for devices allows, around a certificate and its key, both PEM. */
export const secureOptions = (tls: {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}): SecureContextOptions => ({
  cert: tls.cert,
  key: tls.key,
  ciphers,
  minVersion: 'TLSv1.2',
  honorCipherOrder: true,
})
