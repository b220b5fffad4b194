/** Events pushed to back ends as signed batches, and callbacks of commands (rule 33). */
export { notUnderstood } from './addresses.ts'
export { webhookBounds } from './bounds.ts'
export { createWebhooks, type RunningWebhooks, type WebhooksOptions } from './webhooks.ts'
