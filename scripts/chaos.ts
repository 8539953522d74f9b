/** `npm run chaos`: the program is src/testing/chaos/main.ts, which says what it takes. */
import '../src/testing/chaos/main.ts'
