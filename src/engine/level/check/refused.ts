/** Why a store was not checked; `advice` says what to do. */
export class CheckRefused extends Error {
  override readonly name = 'CheckRefused'
  readonly advice: string

  constructor(message: string, advice: string, options?: ErrorOptions) {
    super(message, options)
    this.advice = advice
  }
}
