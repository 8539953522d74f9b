/** Keeps results small enough to travel: a test may print megabytes, a file may hold ten thousand such tests. */
import type { TaskResult, TestError, TestResult, TestTry } from '../protocol/results.ts'

const testOutputMax = 64 * 1024
const errorTextMax = 16 * 1024
const errorsMax = 20
/** What outputs and stacks of one file may add up to; after that only messages remain. */
const fileDetailMax = 8 * 1024 * 1024
const messageMaxBeyond = 1024

export class DetailBudget {
  #left = fileDetailMax

  test(test: TestResult): TestResult {
    if (test.errors === undefined && test.output === undefined && test.tries === undefined) return test
    return {
      ...test,
      ...(test.errors && { errors: this.errors(test.errors) }),
      ...(test.output !== undefined && { output: this.#text(test.output, testOutputMax) }),
      ...(test.tries && { tries: test.tries.slice(-errorsMax).map((one) => this.#try(one)) }),
    }
  }

  errors(errors: readonly TestError[]): TestError[] {
    const kept = errors.slice(0, errorsMax).map((error) => this.#error(error))
    if (errors.length > errorsMax) kept.push({ message: `… ${errors.length - errorsMax} more errors left out …` })
    return kept
  }

  #try(one: TestTry): TestTry {
    return {
      ...one,
      ...(one.errors && { errors: this.errors(one.errors) }),
      ...(one.output !== undefined && { output: this.#text(one.output, testOutputMax) }),
    }
  }

  #error(error: TestError): TestError {
    const beyond = this.#left <= 0
    return {
      ...error,
      message: truncate(error.message, beyond ? messageMaxBeyond : errorTextMax),
      ...(error.stack !== undefined && { stack: this.#text(error.stack, errorTextMax) }),
      ...(error.expected !== undefined && { expected: this.#text(error.expected, errorTextMax) }),
      ...(error.actual !== undefined && { actual: this.#text(error.actual, errorTextMax) }),
    }
  }

  #text(text: string, max: number): string {
    const kept =
      this.#left <= 0
        ? `… ${text.length} characters left out: this file's tests printed too much …`
        : truncate(text, max)
    this.#left -= kept.length
    return kept
  }
}

/** The beginning and the end, around a line that says how much is missing. */
export function truncate(text: string, max: number): string {
  if (text.length <= max) return text
  const half = Math.floor(max / 2)
  return `${text.slice(0, half)}\n… ${text.length - 2 * half} characters left out …\n${text.slice(-half)}`
}

/** Whether the short form of a report says everything. */
export function isPlain(result: TaskResult): boolean {
  return result.tests.length === 0 && result.errors === undefined
}
