import { PikeBackend, type PikeBackendOptions } from '../../src/backend/index.ts'
import type { GatewayProcess } from '../support/gateway-process.ts'

/** A client that does not wait long before it tries again. */
export const pikeFor = (
  { url, apiKey }: Pick<GatewayProcess, 'url' | 'apiKey'>,
  options: Partial<PikeBackendOptions> = {},
): PikeBackend =>
  new PikeBackend({ url, key: apiKey, retry: { minMs: 5, maxMs: 50, tries: 1_000 }, ...options })
