// Does one thing to several containers or images at once and tells of each, in the order they were named.
import { errorLine } from '../errors.ts';

const atOnce = 16;

/** `act` answers with what to print, or null for nothing. Returns 1 where any failed; the others are done all the same. */
export async function several(names: readonly string[], act: (name: string) => Promise<string | null>): Promise<number> {
  const results: Promise<{ text: string | null } | { error: unknown }>[] = [];
  const turn: Promise<unknown>[] = [];
  for (const [number, name] of names.entries()) {
    const before = number < atOnce ? Promise.resolve() : turn[number - atOnce];
    const result = Promise.resolve(before).then(() => act(name)).then((text) => ({ text }), (error: unknown) => ({ error }));
    results.push(result);
    turn.push(result);
  }
  let code = 0;
  for (const pending of results) {
    const result = await pending;
    if ('error' in result) {
      process.stderr.write(`${errorLine(result.error)}\n`);
      code = 1;
    } else if (result.text !== null) process.stdout.write(`${result.text}\n`);
  }
  return code;
}
