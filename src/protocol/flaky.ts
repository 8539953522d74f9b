/** What flaky means, apart from the schemas: the history process starts faster without a schema library. */
type Tried = { readonly status: string; readonly tries?: readonly { readonly status: string }[] }

export function isFlaky(test: Tried): boolean {
  return test.status === 'passed' && test.tries !== undefined && test.tries.some((one) => one.status === 'failed')
}
