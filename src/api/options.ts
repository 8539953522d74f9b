/** What every route is given. */
import type { Coordinator } from '../coordinator/coordinator.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Say } from '../telemetry/say.ts'
import type { Access } from './access.ts'

export type ApiOptions = {
  readonly coordinator: Coordinator
  readonly access: Access
  readonly metrics: Metrics
  /** Who asks for /metrics needs no token. */
  readonly metricsOpen?: boolean
  /** Says something to whoever runs this coordinator. */
  readonly say: Say
  /** Changes with every change of the program. */
  readonly build: string
  /** Called with every request. */
  readonly onRequest?: () => void
  /** Small secrets that a whole backup holds: the tokens. */
  readonly records?: () => Promise<readonly { readonly name: string; readonly bytes: Uint8Array }[]>
  /** Asked for over the socket: stop this coordinator. */
  readonly onShutdown: () => void
}
