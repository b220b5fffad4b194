import { StoreCannotOpen, StoreUnavailable } from '../contract/index.ts'

/** Why a gateway did not start: one line for the operator, saying what to do. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure'
}

/** Turns what start-up threw into that line. What we did not expect stays itself, with its stack. */
export function startFailure(
  error: unknown,
  settingOf: (port: number) => string | undefined,
): unknown {
  if (error instanceof StoreCannotOpen)
    return new StartFailure(oneLine(`${error.message}; ${error.advice}`), { cause: error })
  if (error instanceof StoreUnavailable)
    return new StartFailure(
      error.full
        ? `${error.message}; free some, or choose another place with PIKE_DATA_DIR (--data-dir)`
        : `${error.message}; look at the disk, or choose another place with PIKE_DATA_DIR (--data-dir)`,
      { cause: error },
    )
  const { code, syscall, address, port, path } = (error ?? {}) as NodeJS.ErrnoException & {
    address?: string
    port?: number
  }
  if (syscall === 'listen' || syscall === 'bind') {
    const setting = port === undefined ? undefined : settingOf(port)
    const change = setting === undefined ? '' : `, or choose another port with ${setting}`
    const why =
      code === 'EADDRINUSE'
        ? `port ${port} on ${address} is taken by another program: stop that one${change}`
        : code === 'EACCES'
          ? `port ${port} on ${address} may not be used: low ports need privileges; get them${change}`
          : `cannot listen on ${address} (${code}): is it an address of this machine? See PIKE_API_HOST and PIKE_DEVICE_HOST`
    return new StartFailure(why, { cause: error })
  }
  if (syscall === 'getaddrinfo')
    return new StartFailure(
      `a host name to listen on is not known (${code}): check PIKE_API_HOST and PIKE_DEVICE_HOST`,
      { cause: error },
    )
  if (code === 'ENOSPC')
    return new StartFailure(
      'the disk of the data folder is full; free some, or choose another place with PIKE_DATA_DIR (--data-dir)',
      { cause: error },
    )
  if ((code === 'EACCES' || code === 'EPERM' || code === 'EROFS') && path !== undefined)
    return new StartFailure(
      `${path} cannot be read or written (${code}): give this user the right to, or choose another PIKE_DATA_DIR (--data-dir)`,
      { cause: error },
    )
  return error
}

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ')
