import { Command } from 'commander'
import { settingsOf, withSettings } from './config.ts'

export const serveCommand = (): Command =>
  withSettings(new Command('serve'))
    .summary('run a gateway')
    .description(
      'Runs a gateway until SIGTERM or Ctrl-C. When every listener answers, one line of JSON with "event":"gateway.ready" is printed; the log goes to standard error.',
    )
    .addHelpText(
      'after',
      `
Examples:
  pike serve
  pike serve --data-dir /var/lib/pike --api-port 9000
  PIKE_API_PORT=0 PIKE_TCP_PORT=0 pike serve       any free ports; the ready line names them

Settings may also come from the environment or a file; "pike config" shows the result.`,
    )
    .action(async (_options: unknown, command: Command) => {
      const loaded = settingsOf(command)
      // Only who runs a gateway waits for all that it is made of.
      const { serve } = await import('./gateway.ts')
      await serve(loaded)
    })
