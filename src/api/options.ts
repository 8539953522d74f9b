/** What every route is given. */
import type { Coordinator } from '../coordinator/coordinator.ts'
import type { Access } from './access.ts'

export type ApiOptions = {
  readonly coordinator: Coordinator
  readonly access: Access
  /** Changes with every change of the program. */
  readonly build: string
  /** Called with every request. */
  readonly onRequest?: () => void
  /** Asked for over the socket: stop this coordinator. */
  readonly onShutdown: () => void
}
